"""The history of agents, models and skills, and two periods beside each other: checked by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.ops.client import Client, RequestRefused
from rookery.ops.comparison import comparison
from rookery.ops.history import By, InvalidPeriod, Unit, history
from rookery.projections import Projections
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentTimedOut,
    Event,
    EventData,
    LlmCallCompleted,
    LlmCallFailed,
    MessageRecorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
    encode,
)
from rookery.tests.projections.colony import Colony

from .conftest import Rookery

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def told(data: EventData, subject: str, time: datetime, *, source: str = "/agents/coder-7") -> Event:
    return Event.of(data, subject=subject, source=source, time=time, id=f"{type(data).__name__}-{subject}")


def call(agent: str | None, cost: str | None, model: str = "gpt-4o") -> LlmCallCompleted:
    return LlmCallCompleted(
        provider="openai", request_model=model, agent_id=agent, input_tokens=10, output_tokens=2, cost_usd=cost
    )


# On Monday coder-7 succeeds once in two runs, on Tuesday twice; coder-8 comes on Tuesday, and calls nobody knows whose.
WEEK = [
    told(RunStarted(agent_id="coder-7", skill="fix"), "r-1", MONDAY + HOUR),
    told(RunCompleted(agent_id="coder-7", skill="fix", success=True), "r-1", MONDAY + 2 * HOUR),
    told(RunStarted(agent_id="coder-7", skill="fix"), "r-2", MONDAY + 2 * HOUR),
    told(RunFailed(agent_id="coder-7", skill="fix", error="no"), "r-2", MONDAY + 3 * HOUR),
    told(call("coder-7", "0.5"), "c-1", MONDAY + 2 * HOUR),
    told(ToolCallCompleted(tool="sed", run_id="r-1", error="no such file"), "t-1", MONDAY + 2 * HOUR),
    told(MessageRecorded(run_id="r-1", step=0, role="user"), "m-1", MONDAY + 2 * HOUR),
    told(RunCompleted(agent_id="coder-7", skill="fix", success=True), "r-3", MONDAY + DAY),
    told(RunCompleted(agent_id="coder-7", skill="review", success=True), "r-4", MONDAY + DAY + HOUR),
    told(RunCancelled(), "r-5", MONDAY + DAY + HOUR, source="/agents/coder-8"),
    told(AssignmentCompleted(agent_id="coder-8", skill="review"), "a-1", MONDAY + DAY + HOUR),
    told(AssignmentTimedOut(skill="review"), "a-2", MONDAY + DAY + HOUR, source="/nodes/local"),
    told(call("coder-7", "1.25"), "c-2", MONDAY + DAY),
    told(call("coder-8", None, "o9"), "c-3", MONDAY + DAY),
    told(
        LlmCallFailed(provider="openai", request_model="gpt-4o", error="429"), "c-4", MONDAY + DAY, source="/people/a"
    ),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Projections]:
    """What the week comes to, folded at once, for tests that only look."""
    with Colony(tmp_path_factory.mktemp("week")) as colony:
        yield colony.given(*WEEK).projections


def rows(models: Projections, by: By, unit: Unit, *figures: str, days: int = 2) -> list[tuple[object, ...]]:
    found = history(models, by, unit, start=MONDAY, end=MONDAY + days * DAY)
    return [(row.start, row.name, *(getattr(row, figure) for figure in figures)) for row in found.rows]


def test_each_day_has_what_each_agent_did(models: Projections) -> None:
    figures = ("runs_started", "runs_completed", "runs_failed", "success_rate", "tool_errors", "cost_usd")
    assert rows(models, "agent", "day", *figures) == [
        (MONDAY, "coder-7", 2, 1, 1, 0.5, 1, "0.5"),
        (MONDAY + DAY, "coder-7", 0, 2, 0, 1.0, 0, "1.25"),
        (MONDAY + DAY, "coder-8", 0, 0, 0, None, 0, None),  # its call has no known price
        (MONDAY + DAY, None, 0, 0, 0, None, 0, None),
    ]


def test_a_skill_has_the_work_that_named_it_and_no_calls(models: Projections) -> None:
    figures = ("runs_completed", "assignments_completed", "assignments_failed", "llm_calls", "cost_usd")
    assert rows(models, "skill", "day", *figures) == [
        (MONDAY, "fix", 1, 0, 0, None, None),
        (MONDAY + DAY, "fix", 1, 0, 0, None, None),
        (MONDAY + DAY, "review", 1, 1, 1, None, None),
    ]


def test_a_models_success_is_that_of_its_calls(models: Projections) -> None:
    assert rows(models, "model", "day", "llm_calls", "llm_errors", "success_rate", "cost_usd", "runs_started") == [
        (MONDAY, "openai/gpt-4o", 1, 0, 1.0, "0.5", None),
        (MONDAY + DAY, "openai/gpt-4o", 2, 1, 0.5, "1.25", None),
        (MONDAY + DAY, "openai/o9", 1, 0, 1.0, None, None),
    ]


def test_hours_and_months_are_told_alike(models: Projections) -> None:
    hours = [row for row in rows(models, "agent", "hour", "runs_completed", "runs_failed") if row[1] == "coder-7"]
    assert [(start, *counts) for start, _, *counts in hours] == [
        (MONDAY + HOUR, 0, 0),
        (MONDAY + 2 * HOUR, 1, 0),
        (MONDAY + 3 * HOUR, 0, 1),
        (MONDAY + DAY, 1, 0),
        (MONDAY + DAY + HOUR, 1, 0),
    ]
    month = history(models, "agent", "month", start=MONDAY, end=MONDAY + 2 * DAY).rows[0]
    assert (month.start, month.name, month.runs_completed) == (datetime(2026, 11, 1, tzinfo=UTC), "coder-7", 3)


def test_what_is_kept_by_day_and_month_is_summed_from_the_hours(models: Projections) -> None:
    for one, key in (("agent", "agent_id"), ("skill", "skill"), ("model", "provider, model")):
        for unit, start in (("daily", "hour::date as day"), ("monthly", "date_trunc('month', hour)::date as month")):
            summed = f"select {start}, {key}, sum(columns(* exclude (hour, {key}))) from {one}_hourly group by all"
            kept = models.sql(f"from {one}_{unit} order by all").rows
            assert kept == models.sql(f"from ({summed}) order by all").rows
            assert kept


def test_of_a_day_that_is_cut_the_hours_between_count(models: Projections) -> None:
    found = history(models, "agent", "day", start=MONDAY + 2 * HOUR, end=MONDAY + 3 * HOUR).rows
    assert [(row.start, row.runs_started, row.runs_completed, row.runs_failed) for row in found] == [(MONDAY, 1, 1, 0)]


def test_a_history_without_a_beginning_has_the_last_periods(models: Projections) -> None:
    end = MONDAY + DAY + HOUR
    assert history(models, "agent", "hour", start=None, end=end).start == MONDAY - 4 * HOUR
    assert history(models, "agent", "day", start=None, end=end).start == datetime(2026, 10, 19, tzinfo=UTC)
    assert history(models, "agent", "month", start=None, end=end).start == datetime(2024, 6, 1, tzinfo=UTC)


def test_more_rows_than_are_wanted_are_cut_and_that_is_said(models: Projections) -> None:
    found = history(models, "agent", "day", start=MONDAY, end=MONDAY + 2 * DAY, limit=2)
    assert (len(found.rows), found.truncated) == (2, True)


def test_two_periods_are_compared_figure_by_figure(models: Projections) -> None:
    found = comparison(models, "agent", start=MONDAY + DAY, end=MONDAY + 2 * DAY)
    assert (found.before.start, found.before.end) == (MONDAY, MONDAY + DAY)
    (first, *others) = found.rows
    assert first.name == "coder-7"
    assert msgspec.to_builtins(first.runs_completed) == {"now": 2, "before": 1, "absolute": 1, "relative": 1.0}
    assert msgspec.to_builtins(first.success_rate) == {"now": 1.0, "before": 0.5, "absolute": 0.5}
    assert msgspec.to_builtins(first.cost_usd) == {
        "now": "1.25", "before": "0.5", "absolute": "0.75", "relative": 1.5,
    }  # fmt: skip
    assert {one.name for one in others} == {"coder-8", None}
    assert msgspec.to_builtins(found.total.llm_calls) == {"now": 3, "before": 1, "absolute": 2, "relative": 2.0}
    assert msgspec.to_builtins(found.total.success_rate) == {"now": 1.0, "before": 0.5, "absolute": 0.5}
    assert found.total.cost_usd.now == "1.25"


def test_who_cost_most_comes_first_and_then_who_did_most(tmp_path: Path) -> None:
    with Colony(tmp_path) as colony:
        colony.given(
            told(call("a", "1"), "1", MONDAY),
            told(call("b", "10"), "2", MONDAY),
            told(RunStarted(agent_id="d"), "3", MONDAY),
            told(AssignmentCompleted(agent_id="c"), "4", MONDAY),
        )
        found = comparison(colony.projections, "agent", start=MONDAY, end=MONDAY + DAY)
        spent = [(one.name, one.cost_usd.now) for one in found.rows]
        assert spent == [("b", "10"), ("a", "1"), ("d", "0"), ("c", "0")]
        first = comparison(colony.projections, "agent", start=MONDAY, end=MONDAY + DAY, limit=1)
        assert ([one.name for one in first.rows], first.truncated) == (["b"], True)
        assert first.total == found.total


def test_all_together_count_however_few_rows_are_shown(tmp_path: Path) -> None:
    with Colony(tmp_path) as colony:
        colony.given(*(told(call(f"a-{n}", str(n)), f"{n}-{day}", MONDAY + n * DAY) for n in range(2) for day in "xyz"))
        colony.given(told(call(None, "100"), "nobody's", MONDAY + DAY))
        found = comparison(colony.projections, "agent", start=MONDAY + DAY, end=MONDAY + 2 * DAY, limit=1)
        assert [(one.name, one.cost_usd.now, one.cost_usd.before) for one in found.rows] == [(None, "100", "0")]
        assert (found.total.cost_usd.now, found.total.cost_usd.before, found.truncated) == ("103", "0", True)


def test_a_name_that_is_shown_has_both_its_periods(tmp_path: Path) -> None:
    with Colony(tmp_path) as colony:
        colony.given(
            *(told(call(f"a-{n}", str(n)), f"{n}-{day}", MONDAY + day * DAY) for n in range(4) for day in (0, 1))
        )
        for limit in range(1, 5):
            found = comparison(colony.projections, "agent", start=MONDAY + DAY, end=MONDAY + 2 * DAY, limit=limit)
            shown = [(one.name, one.cost_usd.now, one.cost_usd.before) for one in found.rows]
            assert shown == [(f"a-{n}", str(n), str(n)) for n in (3, 2, 1, 0)][:limit]
            assert (found.total.cost_usd.now, found.truncated) == ("6", limit < 4)


@pytest.mark.parametrize("by", ["agent", "model"])
def test_a_total_is_not_known_where_no_call_has_a_known_price(tmp_path: Path, by: By) -> None:
    with Colony(tmp_path) as colony:
        # a-1 called no model, and so has cost nothing: that is no price of what a-2 called.
        colony.given(told(RunStarted(agent_id="a-1"), "r-1", MONDAY), told(call("a-2", None), "c-1", MONDAY))
        found = comparison(colony.projections, by, start=MONDAY, end=MONDAY + DAY)
        assert (found.total.cost_usd.now, found.total.cost_usd.before) == (None, "0")
        assert found.total.unpriced_calls is not None
        assert found.total.unpriced_calls.now == 1


def test_who_did_nothing_before_has_zeros_then(models: Projections) -> None:
    found = comparison(models, "skill", start=MONDAY + DAY, end=MONDAY + 2 * DAY)
    review = next(one for one in found.rows if one.name == "review")
    assert review.runs_completed is not None
    assert (review.runs_completed.now, review.runs_completed.before, review.runs_completed.relative) == (1, 0, None)
    assert review.llm_calls is None
    assert review.cost_usd.now is None


def test_periods_may_lie_apart_and_never_overlap(models: Projections) -> None:
    found = comparison(models, "model", start=MONDAY + DAY, end=MONDAY + 2 * DAY, before=MONDAY - 7 * DAY)
    assert found.total.llm_calls is not None
    assert (found.total.llm_calls.now, found.total.llm_calls.before) == (3, 0)
    for before in (MONDAY + HOUR, MONDAY + DAY):
        with pytest.raises(InvalidPeriod, match="must end by"):
            comparison(models, "model", start=MONDAY + DAY, end=MONDAY + 2 * DAY, before=before)
    with pytest.raises(InvalidPeriod, match="is not after"):
        comparison(models, "model", start=MONDAY, end=MONDAY)
    with pytest.raises(InvalidPeriod, match="is not after"):
        history(models, "model", "day", start=MONDAY, end=MONDAY - DAY)


@settings(deadline=None, max_examples=10)
@given(cuts=st.sets(st.integers(0, len(WEEK)), max_size=4), reverse=st.booleans())
def test_the_history_is_the_same_however_it_was_folded(
    tmp_path_factory: pytest.TempPathFactory, models: Projections, cuts: set[int], reverse: bool
) -> None:
    week = WEEK[::-1] if reverse else WEEK
    with Colony(tmp_path_factory.mktemp("colony")) as colony:
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(week)], strict=True):
            colony.given(*week[begin:end])
        assert figures_of(colony.projections) == figures_of(models)


def figures_of(models: Projections) -> tuple[object, ...]:
    days = rows(models, "agent", "day", "runs_completed", "llm_calls", "cost_usd")
    return comparison(models, "agent", start=MONDAY + DAY, end=MONDAY + 2 * DAY), days


@pytest.fixture
def filled(client: Client) -> Client:
    client.publish([encode(event) for event in WEEK])
    return client


def test_the_history_is_answered_over_http_under_both_its_paths(filled: Client) -> None:
    asked = {"by": "skill", "unit": "day", "from": "2026-11-16", "to": "2026-11-18T02:00+02:00"}
    found = filled.get("/history", **asked)
    assert (found["from"], found["to"]) == ("2026-11-16T00:00:00Z", "2026-11-18T00:00:00Z")
    assert [(row["start"], row["name"]) for row in found["rows"]] == [
        ("2026-11-16T00:00:00Z", "fix"),
        ("2026-11-17T00:00:00Z", "fix"),
        ("2026-11-17T00:00:00Z", "review"),
    ]
    assert filled.get("/hobby/archive/history", **asked) == found
    assert filled.get("/history", as_of="start", **asked)["rows"] == []
    compared = filled.get("/history/compare", **{"from": "2026-11-17", "to": "2026-11-18"})
    assert compared["total"]["runs_completed"] == {"now": 2, "before": 1, "absolute": 1, "relative": 1.0}


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/history", {"by": "colour"}),
        ("/history", {"unit": "week"}),
        ("/history", {"from": "yesterday"}),
        ("/history", {"from": "2026-11-18", "to": "2026-11-17"}),
        ("/history", {"from": "0001-01-01"}),
        ("/history", {"limit": "0"}),
        ("/history", {"limit": "10001"}),
        ("/history/compare", {}),
        ("/history/compare", {"from": "2026-11-18", "to": "2026-11-17"}),
        ("/history/compare", {"from": "2026-11-17", "to": "2026-11-18", "before": "2026-11-17"}),
        ("/history/compare", {"from": "1970-01-01", "to": "9998-01-01"}),
        ("/history/compare", {"from": "1970-01-01", "to": "9998-01-01", "before": "5000-01-01"}),
    ],
)
def test_a_history_that_cannot_be_is_refused(client: Client, path: str, asked: dict[str, str]) -> None:
    with pytest.raises(RequestRefused) as refused:
        client.get(path, **asked)
    assert refused.value.status == 422


def test_the_command_shows_days_and_a_comparison(rookery: Rookery, filled: Client) -> None:
    days = rookery("history", "--from", "2026-11-16", "--to", "2026-11-18", "--csv")
    assert days.code == 0
    table = list(csv.DictReader(io.StringIO(days.out)))
    assert [(row["name"], row["success_rate"]) for row in table][:2] == [("coder-7", "0.5"), ("coder-7", "1.0")]
    compared = rookery("history", "compare", "--from", "2026-11-17", "--to", "2026-11-18", "--csv")
    lines = {(row["name"], row["figure"]): row for row in csv.DictReader(io.StringIO(compared.out))}
    assert lines["all", "runs_completed"]["change"] == "1.0"
    # A cost says how many calls it leaves out: two on Tuesday, one by coder-8 and one that failed.
    assert [int(row["unpriced_calls"]) for row in table] == [0, 0, 1, 1]
    assert lines["all", "unpriced_calls"]["now"] == "2"
    assert "unpriced_calls" in rookery("history", "--from", "2026-11-17", "--to", "2026-11-18").out
    assert "unpriced_calls" not in rookery("history", "--from", "2026-11-16", "--to", "2026-11-17").out
    assert lines["coder-7", "success_rate"]["change"] == "0.5"
    assert ("all", "runs_started") in lines
    assert rookery("history", "--by", "model", "--unit", "month", "--json").json["unit"] == "month"
    assert rookery("history", "--unit", "week").code == 2
    assert rookery("history", "compare").code == 2
    assert rookery("history", "--json", "--csv").code == 2


def test_the_statistics_of_agents_say_how_many_calls_a_cost_leaves_out(rookery: Rookery, filled: Client) -> None:
    head, *lines = (line.split() for line in rookery("agents", "stats").out.splitlines())
    assert head[-2:] == ["cost_usd", "unpriced_calls"]
    unpriced = {agent_id: int(count) for agent_id, *_, count in lines}
    assert (unpriced["coder-7"], unpriced["coder-8"]) == (0, 1)
