"""What anybody may send to /sql: refused or stopped with a reason, and the node goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.schemas import Event, RunStarted, encode

from .test_api import assert_problem


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, NodeProcess]]:
    """A node whose queries may run for one second, and its data folder."""
    data = tmp_path_factory.mktemp("target")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROOKERY_QUERY_SECONDS_MAX", "1")
        with node_process(data) as running, httpx.Client(base_url=running.node.url, timeout=60) as http:
            http.post("/events", content=encode(Event.of(RunStarted(), subject="r", source="/agents/a")))
            yield data, running


@pytest.fixture
def http(target: tuple[Path, NodeProcess]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=target[1].node.url, timeout=60, trust_env=False) as http:
        yield http


def assert_well(http: httpx.Client, name: str) -> None:
    """The node takes an event, folds it, and answers."""
    event = encode(Event.of(RunStarted(), subject=name, source="/agents/a"))
    assert http.post("/events", content=event).json()["new"] == 1
    assert len(http.get("/query/runs", params={"run_id": name}).json()["rows"]) == 1


REACHING_OUT = [
    "from read_text('/etc/passwd')",
    "from read_csv('/etc/passwd')",
    "from '/etc/passwd'",
    "from 'planted.csv'",
    'from "/etc/passwd"',
    "from glob('/*')",
    "from read_blob('/proc/self/environ')",
    "from system.main.read_text('/etc/passwd')",
    "from READ_TEXT('/etc/passwd')",
    "from \"read_text\"('/etc/passwd')",
    "select (select content from read_text('/etc/passwd'))",
    "with t as (from read_text('/etc/passwd')) from t",
    "select 1 where exists (from glob('/*'))",
    "from runs, lateral (from read_text('/etc/passwd'))",
    "explain analyze from read_text('/etc/passwd')",
    "explain analyze (format json) from read_text('/etc/passwd')",
    "describe from read_text('/etc/passwd')",
    "summarize from read_text('/etc/passwd')",
    "from query('from read_text(''/etc/passwd'')')",
    "from query_table('rookery.checkpoints')",
    "from json_execute_serialized_sql(json_serialize_sql('from runs'))",
    "from parquet_metadata('/etc/passwd')",
    "from sniff_csv('/etc/passwd')",
    "from read_json_objects('/dev/stdin')",
    "from read_duckdb('other.duckdb')",
    "from duckdb_secrets()",
    "from which_secret('a', 's3')",
    "from duckdb_settings()",
    "from pg_settings",
    "from pg_catalog.pg_settings",
    "from duckdb_databases()",
    "from duckdb_databases",
    "from duckdb_extensions()",
    "from duckdb_logs()",
    "from duckdb_temporary_files()",
    "from pragma_database_size()",
    "from checkpoint()",
    "from force_checkpoint()",
    "from enable_logging()",
    "select getenv('HOME')",
    "select current_setting('temp_directory')",
    "select 'temp_directory'.current_setting()",
    "select list_transform(['a'], x -> current_setting(x))",
    "select write_log('x')",
    "select nextval('x')",
    "from rookery.checkpoints",
    "from rookery.made_from",
    "show databases",
    "from (show databases)",
    "from (show all tables)",
]
WRITING = [
    "attach 'http://127.0.0.1/x'",
    "copy runs to '/tmp/stolen.csv'",
    "copy (select 1) to 'stolen.parquet'",
    "export database 'stolen'",
    "import database 'stolen'",
    "install httpfs",
    "load httpfs",
    "set memory_limit = '1TB'",
    "set session timezone = 'Europe/Berlin'",
    "reset all",
    "pragma enable_profiling",
    "pragma database_list",
    "call pragma_database_size()",
    "use memory",
    "prepare p as select 1",
    "execute p",
    "deallocate p",
    "create temp macro m() as 1",
    "create or replace temp view events as select 1",
    "create secret (type s3)",
    "with gone as (delete from run_starts returning *) from gone",
    "with gone as (copy runs to 'stolen.csv') select 1",
    "select 1; drop table run_starts",
    "/* */ select 1; -- \n drop table run_starts",
    "select 1; select 2",
    ";",
    "detach memory",
    "vacuum",
    "analyze",
    "kill 1",
    "update run_starts set task = 'x'",
    "merge into run_starts using (select 1) on true when matched then delete",
    "explain copy runs to 'stolen.csv'",
]


@pytest.mark.parametrize("format", ["json", "parquet"])
def test_what_reaches_out_or_writes_is_refused(
    target: tuple[Path, NodeProcess], http: httpx.Client, format: str
) -> None:
    answered = []
    for text in [*REACHING_OUT, *WRITING]:
        answer = http.post("/sql", params={"format": format}, json={"sql": text})
        if answer.status_code != 400 or not answer.json()["detail"]:
            answered.append((text, answer.status_code, answer.text[:200]))
    assert answered == []
    assert not list(target[0].rglob("stolen*"))
    assert_well(http, f"after-{format}")


def test_no_file_of_the_data_folder_can_be_read_as_a_file(target: tuple[Path, NodeProcess], http: httpx.Client) -> None:
    files = [path for path in target[0].rglob("*") if path.is_file()]
    assert any(path.suffix == ".duckdb" for path in files)
    for path in [*files, target[0] / "log", target[0] / "log" / ".." / ".." / "x"]:
        for function in ("read_text", "read_blob", "read_csv"):
            assert_problem(http.post("/sql", json={"sql": f"from {function}('{path}')"}), 400, "can't be selected from")


# Of memory that is filled byte by byte, a busy processor fills so little that a minute goes by before there is no more.
KILOBYTE = "x" * 1_000


@pytest.mark.parametrize(
    "text",
    [
        "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
        "select sum(range) from range(1000000000000)",
        "select count(*) from range(1000000000) a, range(1000000000) b where a.range + b.range = 7",
        "select a.range from range(100000000) a, range(10) b order by sin(a.range), b.range",
        "select repeat('x', 10000000000)",
        f"select length(repeat('{KILOBYTE}', 1000000)) from range(1000)",
        f"select sum(length(repeat('{KILOBYTE}', 100000 + range::int))) from range(2000)",
        "select length(array_to_string(range(1000000000), ','))",
        "select list(range) from range(10000000000)",
        "select range(100000000) from range(100)",
        "with recursive r as (select 'x' as s union all select s || s from r) select max(length(s)) from r",
        "select " + "(" * 20_000 + "1" + ")" * 20_000,
        "select " + "+".join("1" * 20_000),
        "select " + "-" * 5_000 + "1",
        "select [" * 3_000 + "1" + "]" * 3_000,
        "select timestamp '2026-01-01' at time zone 'Nowhere/Land'",
        "select '\ud800'",
    ],
    ids=lambda text: text.replace(KILOBYTE, "x...")[:60],
)
def test_what_would_never_end_or_fill_the_memory_fails_alone(http: httpx.Client, text: str) -> None:
    answer = http.post("/sql", content=json.dumps({"sql": text}))
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert answer.json()["detail"]
    assert_well(http, f"after-{abs(hash(text))}")


def test_a_thousand_million_rows_come_as_many_as_are_ever_sent(http: httpx.Client) -> None:
    for name in ("json", "ndjson", "csv", "arrow", "parquet"):
        answer = http.post("/sql", params={"format": name}, json={"sql": "from range(1000000000)"})
        assert (answer.status_code, answer.headers["rookery-truncated"]) == (200, "true")


@pytest.mark.parametrize(
    "text",
    [
        "select count(*) from events",
        "select unnest([1, 2])",
        "from range(2)",
        "select * from generate_series(1, 2)",
        "select 1 as one -- with a comment;",
        "select ';'",
        "select 1;",
        "describe runs",
        "show tables",
        "from (describe runs)",
        "summarize runs",
        "values (1), (2)",
        "with t as (select 1 as a) from t",
        "select run_id, status from runs as read_text order by all",
        "select 'read_text(1)' as text",
        "select started_at + interval 1 hour from runs",
        "select timestamp '2026-01-01' at time zone 'Europe/Berlin' at time zone 'UTC'",
    ],
)
@pytest.mark.parametrize("format", ["json", "arrow", "parquet"])
def test_what_only_reads_is_answered_in_every_format(http: httpx.Client, text: str, format: str) -> None:
    answer = http.post("/sql", params={"format": format}, json={"sql": text})
    assert answer.status_code == 200, answer.text


def test_tables_behind_the_read_models_are_not_shown(http: httpx.Client) -> None:
    shown = {row["name"] for row in http.post("/sql", json={"sql": " SHOW  TABLES; "}).json()["rows"]}
    assert shown == {model["name"] for model in http.get("/query").json()} | {"events"}
