"""SQL that anybody may send reads, and does nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import duckdb
import pytest
from rookery.projections import Leash, QueryFailed, QueryRefused, UnknownReadModel, answers
from rookery.projections.sandbox import refuse_all_but_reading
from rookery.schemas import AgentRegistered, LlmCallCompleted, MessageRecorded, RunStarted, ToolCallCompleted

from .colony import Colony, fact

ENDLESS = "select count(*) from range(1_000_000_000) as a, range(1_000_000_000) as b"


LIFE = [
    fact(RunStarted(task="mend it"), "run-1", 0),
    fact(MessageRecorded(run_id="run-1", step=0, role="user", content="hi"), "m-1", 1),
    fact(LlmCallCompleted(provider="p", request_model="m", run_id="run-1", cost_usd="0.0034375"), "c-1", 2),
]


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Colony]:
    """What `LIFE` comes to, for tests that only look."""
    with Colony(tmp_path_factory.mktemp("lively") / "colony") as colony:
        yield colony.given(*LIFE)


@pytest.mark.parametrize(
    "text",
    [
        "insert into messages by name select 1 as step",
        "delete from messages",
        "drop table messages",
        "create table mine as select 1",
        "attach 'other.duckdb'",
        "copy messages to 'stolen.csv'",
        "copy messages from 'planted.csv'",
        "set threads = 1",
        "pragma version",
        "call pragma_version()",
        "install httpfs",
        "load httpfs",
        "begin",
        "checkpoint",
        "select 1; select 2",
        "explain analyze delete from messages",
        "explain copy messages to 'stolen.csv'",
        "explain analyze explain analyze delete from messages",
        "explain explain select 1",
        "explain /* */ analyze delete from messages",
        "prepare p as select 1",
        "",
        "-- nothing",
        "selec 1",
    ],
)
def test_anything_but_one_query_is_refused(lively: Colony, text: str) -> None:
    before = lively.projections.digests()
    with pytest.raises(QueryRefused):
        lively.projections.sql(text)
    assert lively.projections.digests() == before


@pytest.mark.parametrize(
    "text",
    [
        "select 1 as n",
        "from runs",
        "with r as (from runs) select * from r",
        "values (1)",
        "show tables",
        "describe runs",
        "summarize runs",
        "explain select 1",
        "explain (format json) select 1",
        "explain analyze (format json) select 1;",
        "  explain\n-- why\nselect 1",
        "EXPLAIN ANALYZE select 1",
        "select 1 -- with a comment;",
    ],
)
def test_whatever_only_reads_is_answered(lively: Colony, text: str) -> None:
    assert lively.projections.sql(text).rows


# Each writes into the log's folder and looks like a query: a COPY in a CTE, or behind an EXPLAIN that is elsewhere.
HIDDEN = [
    "with x as (copy (select 1 as n) to '{target}') select 1",
    "explain analyze with x as (copy (select 1 as n) to '{target}') select 1",
    "select (with recursive x as (copy (select 1 as n) to '{target}') select 1)",
    "(with x as (with y as (copy (select 1 as n) to '{target}') select 1) from x) union all select 2",
    "-- explain\nexplain analyze copy (select 1 as n) to '{target}' (format csv) /*\nselect 1 --*/",
    "explain (/*) select 1 --*/ analyze) copy (select 1 as n) to '{target}'",
    "explain analyze copy (select 1 as n) to '{target}'",
    "explain (analyze) copy (select 1 as n) to '{target}' --) select 1",
    "explain/**/analyze copy (select 1 as n) to '{target}'",
    "explain analyze/**/copy (select 1 as n) to '{target}'",
    "/* explain */ explain analyze copy (select 1 as n) to '{target}'",
    "explain analyze export database '{target}'",
    "select 1\0; copy (select 1 as n) to '{target}'",
    "explain analyze select 1\0; copy (select 1 as n) to '{target}'",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_nothing_can_be_written_where_the_database_itself_may_write(lively: Colony, text: str) -> None:
    target = lively.log.folder / f"planted-{uuid4()}"
    with pytest.raises(QueryRefused):
        lively.projections.sql(text.format(target=target))
    assert not target.exists()


def test_what_writes_in_a_cte_is_refused_by_what_it_is() -> None:
    """Not only because the tables' storage is older than such CTEs."""
    with duckdb.connect() as con:
        for inner in (
            "copy (select 1) to 'planted'",
            "insert into runs values (1)",
            "delete from runs",
            "update runs set n = 1",
        ):
            with pytest.raises(QueryRefused, match="in a WITH as well"):
                refuse_all_but_reading(con, f"with x as ({inner}) select 1")


@pytest.mark.parametrize(
    "text",
    ["explain/**/select 1", "explain(format json) select 1", "explain analyze(select 1)", "explain (select 1)"],
)
def test_explain_needs_no_blank_behind_it(lively: Colony, text: str) -> None:
    assert lively.projections.sql(text).rows


def test_other_files_are_out_of_reach(lively: Colony) -> None:
    secret = lively.folder.parent / "secret.txt"
    secret.write_text("secret")
    for text in (
        f"select * from read_text('{secret}')",
        f"select * from glob('{secret.parent}/*')",
        f"select * from read_csv('{lively.folder}/log/../../secret.txt')",
    ):
        with pytest.raises(QueryRefused, match="can't be selected from"):
            lively.projections.sql(text)


def test_a_query_sees_the_events_of_the_log(colony: Colony) -> None:
    colony.given(*LIFE).append([b'{"not":"an event"}', b"nonsense"])
    answer = colony.projections.sql("select origin, n, type, subject, data from events order by n")
    assert answer.rows[0] == ["here", 1, "run.started", "run-1", {"task": "mend it"}]
    assert [row[2] for row in answer.rows] == ["run.started", "message.recorded", "llm_call.completed", None, None]
    (event,) = colony.projections.sql("from events where n = 2").records()
    assert (event["time"], event["source"]) == ("2026-11-20T12:00:01.000000Z", "/agents/coder-7")
    assert event["recorded_time"].endswith("Z")


def test_events_are_whole_in_sealed_segments_and_beside_a_half_written_line(tmp_path: Path) -> None:
    with Colony(tmp_path / "colony", segment_events_max=2) as colony:
        colony.append([fact(RunStarted(), f"run-{index}") for index in range(5)])
        colony.log.seal_full_segments()
        with colony.log.files()[-1].open("ab") as torn:
            torn.write(b'{"n":6,"seq":6,"recordedtime":"2026-')
        counted = colony.projections.sql("select count(*) as events, max(n) as n from events").records()
        assert counted == [{"events": 5, "n": 5}]


def test_an_empty_log_has_no_events(colony: Colony) -> None:
    assert colony.projections.sql("select * from events").rows == []


def test_events_are_read_again_when_a_segment_is_sealed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Colony(tmp_path / "colony", segment_events_max=2) as colony:
        colony.append([fact(RunStarted(), f"run-{index}") for index in range(3)])
        stale = iter([colony.log.files()])
        colony.log.seal_full_segments()
        fresh = colony.log.files
        monkeypatch.setattr(colony.log, "files", lambda: next(stale, None) or fresh())
        assert colony.projections.sql("select count(*) as events from events").rows == [[3]]


def test_values_are_exact_and_fit_for_json(colony: Colony) -> None:
    answer = colony.projections.sql(
        "select 1.50::decimal(38, 12), 100::decimal(38, 2), 0::decimal(4, 2), 0.000000000001::decimal(38, 12), "
        "12345678901234567890123456.789012345678::decimal(38, 12), 170141183460469231731687303715884105727, "
        "'nan'::double, "
        "timestamp '2026-11-20 12:00:00', date '2026-11-20', [1.5, null], {'a': timestamp '2026-11-20 12:00:00'}, "
        "interval 90 minute, '{\"a\": [1]}'::json, map {'k': 1.0}"
    )
    assert answer.rows == [
        [
            *("1.5", "100", "0", "0.000000000001", "12345678901234567890123456.789012345678"),
            *(2**127 - 1, None, "2026-11-20T12:00:00.000000Z", "2026-11-20", ["1.5", None]),
            *({"a": "2026-11-20T12:00:00.000000Z"}, 5400.0, {"a": [1]}, {"k": "1"}),
        ]
    ]


def test_columns_of_the_same_name_are_told_apart(colony: Colony) -> None:
    assert colony.projections.sql("select 1 as a, 2 as a").records() == [{"a": 1, "a_1": 2}]


def test_columns_stay_apart_where_one_is_named_as_another_would_be(lively: Colony) -> None:
    answer = lively.projections.sql("select 1 as a, 2 as a, 3 as a_1, 4 as a")
    assert answer.records() == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]


@pytest.mark.parametrize(
    "value",
    ["range(100)", "{'a': range(100)}", "map {'a': range(100)}", "[repeat('x', 900)]", "{'a': repeat('x', 900)}"],
)
def test_what_is_within_a_value_counts_for_how_much_an_answer_may_have(
    lively: Colony, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "ANSWER_BYTES_MAX", 10_000)
    assert len(lively.projections.sql(f"select {value} as v from range(5)").rows) == 5
    with pytest.raises(QueryFailed, match="more than 10,000 bytes"):
        lively.projections.sql(f"select {value} as v from range(20)")


def test_a_value_that_is_too_large_to_be_told_fails_its_query(lively: Colony) -> None:
    with pytest.raises(QueryFailed, match="ask for it as text"):
        lively.projections.sql("select interval '100000000 years'")


def test_a_time_with_a_zone_is_answered_in_utc(colony: Colony) -> None:
    found = colony.projections.sql(
        "select timestamptz '2026-11-20 12:00:00-05' as at, {'at': timestamptz '2026-01-01'} as o"
    )
    assert found.records() == [{"at": "2026-11-20T17:00:00.000000Z", "o": {"at": "2026-01-01T00:00:00.000000Z"}}]


def test_parameters_are_values_and_never_sql(lively: Colony) -> None:
    assert lively.projections.sql("select count(*) from runs where run_id = ?", ["' or true --"]).rows == [[0]]
    assert lively.projections.sql("select run_id from runs where task = $task", {"task": "mend it"}).rows == [["run-1"]]


def test_an_answer_says_when_it_is_cut_off(colony: Colony) -> None:
    answer = colony.projections.sql("from range(10)", limit=3)
    assert (answer.rows, answer.truncated) == ([[0], [1], [2]], True)
    assert not colony.projections.sql("from range(3)", limit=3).truncated


def test_rows_are_ordered_by_the_columns_that_come_first(colony: Colony) -> None:
    colony.given(*(fact(ToolCallCompleted(tool=f"t-{index % 3}"), f"c-{index}", index) for index in (5, 3, 1, 4, 0, 2)))
    tools = [["t-0"], ["t-1"], ["t-2"]]
    assert [row[:1] for row in colony.projections.rows("tool_use").rows] == tools


def test_a_read_model_that_is_not_there_is_named_with_the_nearest_that_is(colony: Colony) -> None:
    with pytest.raises(UnknownReadModel, match="'runs'") as missed:
        colony.projections.rows("run")
    assert missed.value.name == "run"


def test_every_read_model_and_every_column_is_described(colony: Colony) -> None:
    models = colony.projections.models()
    undescribed = [(model.name, column.name) for model in models for column in model.columns if not column.description]
    assert undescribed == []
    assert all(model.description for model in models)


def test_a_long_query_is_cut_off_while_folding_goes_on(colony: Colony) -> None:
    failures: list[QueryFailed] = []

    def ask() -> None:
        try:
            colony.projections.sql(ENDLESS, leash=Leash(0.5))
        except QueryFailed as failed:
            failures.append(failed)

    colony.given()
    asking = threading.Thread(target=ask)
    asking.start()
    rounds = 0
    while asking.is_alive():
        colony.given(fact(AgentRegistered(name="a"), f"a-{rounds}", rounds))
        rounds += 1
    asking.join()
    assert "0.5 seconds" in failures[0].reason
    assert len(colony.records("agents")) == rounds > 0
