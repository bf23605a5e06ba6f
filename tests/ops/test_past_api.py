"""Asking about the past over HTTP and on the command line: as of a time or a vector, in every format, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    Event,
    LlmCallCompleted,
    RunCompleted,
    RunStarted,
    decode,
    encode,
)

from .conftest import Rookery
from .test_api import assert_problem

BOTH = [{"run_id": "run-1"}, {"run_id": "run-2"}]


class Told(NamedTuple):
    """A node that was told things at two times; how far its log was in between, and when that was."""

    url: str
    between: str
    time: datetime


@pytest.fixture(scope="module")
def told(node: NodeProcess) -> Told:
    """First a run begins, a call is made and an assignment given; then these end, and another run begins."""
    with Client(node.node.url) as client:
        tell(
            client, ("run-1", RunStarted(task="first")), ("call-1", call("0.5")), ("as-1", AssignmentCreated(kind="k"))
        )
        last = client.post("/sql", b'{"sql": "select origin, n, recorded_time from events order by n desc limit 1"}')
        tell(client, ("run-1", RunCompleted()), ("run-2", RunStarted(task="second")), ("call-2", call("0.25")))
        tell(client, ("as-1", AssignmentStarted(agent_id="a")), ("as-1", AssignmentCompleted(agent_id="a", result=3)))
    (row,) = last["rows"]
    return Told(node.node.url, f"{row['origin']}:{row['n']}", datetime.fromisoformat(row["recorded_time"]))


@pytest.fixture
def http(told: Told) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=told.url, timeout=60, trust_env=False) as http:
        yield http


def call(cost_usd: str) -> LlmCallCompleted:
    return LlmCallCompleted(provider="p", request_model="m", run_id="run-1", cost_usd=cost_usd)


def tell(client: Client, *facts: tuple[str, Any]) -> None:
    client.publish([encode(Event.of(fact, subject=subject, source="/agents/a")) for subject, fact in facts])


def test_rows_of_a_moment_are_those_of_then(told: Told, http: httpx.Client) -> None:
    then = http.get("/query/runs", params={"select": "run_id,status,cost_usd", "as_of": told.between})
    now = http.get("/query/runs", params={"select": "run_id,status,cost_usd", "sort": "run_id"})
    assert then.json()["rows"] == [{"run_id": "run-1", "status": "running", "cost_usd": "0.5"}]
    assert now.json()["rows"][0] == {"run_id": "run-1", "status": "completed", "cost_usd": "0.75"}
    assert then.headers["rookery-as-of"] == told.between
    assert "rookery-as-of" not in now.headers


@pytest.mark.parametrize("format", ["json", "ndjson", "csv", "arrow", "parquet"])
def test_every_format_can_be_of_the_past(told: Told, http: httpx.Client, format: str) -> None:
    asked = {"format": format, "as_of": told.between}
    by_name = http.get("/query/runs", params=asked)
    in_sql = http.post("/sql", params=asked, json={"sql": "from runs"})
    for answer in (by_name, in_sql):
        assert answer.status_code == 200, answer.text
        assert b"run-1" in answer.content
        assert b"run-2" not in answer.content
        assert answer.headers["rookery-as-of"] == told.between


def test_a_time_is_the_moment_when_the_log_had_learnt_of_what_was_recorded_by_then(
    told: Told, http: httpx.Client
) -> None:
    at_that_time = http.get("/query/runs", params={"select": "run_id", "as_of": told.time.isoformat()})
    assert at_that_time.json()["rows"] == BOTH[:1]
    assert at_that_time.headers["rookery-as-of"] == told.between
    assert http.get("/query/runs", params={"as_of": "2020-01-01"}).json()["rows"] == []
    assert http.get("/query/runs", params={"as_of": "3 days ago"}).headers["rookery-as-of"] == "start"
    everything = http.get("/query/runs", params={"select": "run_id", "sort": "run_id", "as_of": "now"})
    assert everything.json()["rows"] == BOTH


def test_events_in_sql_are_those_of_then_too(told: Told, http: httpx.Client) -> None:
    def events(**parameters: str) -> int:
        answer = http.post("/sql", params=parameters, json={"sql": "select count(*) as n from events"})
        return int(answer.json()["rows"][0]["n"])

    assert events(as_of=told.between) == int(told.between.rpartition(":")[2])
    assert events(as_of="start") == 0
    assert events() > events(as_of=told.between)


def test_the_log_is_read_as_far_as_it_went_then(told: Told, http: httpx.Client) -> None:
    n = int(told.between.rpartition(":")[2])

    def numbers(**parameters: Any) -> list[int]:
        answer = http.get("/events", params={"as_of": told.between, **parameters})
        assert answer.headers["rookery-as-of"] == told.between
        return [json.loads(line)["n"] for line in answer.iter_lines()]

    assert numbers() == list(range(1, n + 1))
    assert numbers(last=2) == [n - 1, n]
    assert numbers(type="run.started") == [n - 2]
    assert_problem(http.get("/events", params={"as_of": told.between, "follow": True}), 422, "gains nothing")
    live = http.get("/events", params={"as_of": told.between}, headers={"accept": "text/event-stream"})
    assert_problem(live, 422, "as_of")


def test_statements_that_join_read_models_with_the_log_have_both_as_of_then(told: Told, http: httpx.Client) -> None:
    joined = "select run_id, calls from cost_by_run join events on subject = run_id and type = 'run.started'"
    answer = http.post("/sql", params={"as_of": told.between}, json={"sql": joined})
    assert answer.json()["rows"] == [{"run_id": "run-1", "calls": 1}]


def test_show_tables_lists_what_can_be_asked_at_any_moment(told: Told, http: httpx.Client) -> None:
    then = http.post("/sql", params={"as_of": told.between}, json={"sql": "show tables"})
    assert then.json()["rows"] == http.post("/sql", json={"sql": "show tables"}).json()["rows"]


def test_the_next_page_is_of_the_moment_of_the_first(told: Told, http: httpx.Client) -> None:
    first = http.get("/query/runs", params={"select": "run_id", "limit": 1, "as_of": "now"})
    following = first.links["next"]["url"]
    assert parse_qs(urlsplit(following).query)["as_of"] == [first.headers["rookery-as-of"]]
    with Client(told.url) as client:
        tell(client, ("run-15", RunStarted()))
    second = http.get(following)
    assert [first.json()["rows"], second.json()["rows"]] == [BOTH[:1], BOTH[1:]]
    assert second.json()["next"] is None


def test_an_answer_about_the_past_never_changes_and_its_tag_says_so(told: Told, http: httpx.Client) -> None:
    asked = {"as_of": told.between}
    first = http.get("/query/cost_by_model", params=asked)
    with Client(told.url) as client:
        tell(client, ("call-3", call("0.125")))
    again = http.get("/query/cost_by_model", params=asked, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.headers["rookery-as-of"]) == (304, told.between)
    of_now = http.get("/query/cost_by_model", headers={"if-none-match": first.headers["etag"]})
    assert of_now.status_code == 200


def test_the_summary_and_the_charts_are_of_then(told: Told, http: httpx.Client) -> None:
    then = http.get("/hobby/metrics/summary", params={"as_of": told.time.isoformat()})
    assert then.json()["totals"]["cost_usd"] == "0.5"
    assert then.json()["hourly"][-1]["hour"] == f"{told.time:%Y-%m-%dT%H}:00:00Z"
    before = http.get("/hobby/metrics/summary", params={"as_of": "0001-01-02"})
    assert before.json()["totals"]["events"] == 0
    charts = http.get("/hobby/dashboard", params={"as_of": told.between})
    assert charts.headers["rookery-as-of"] == told.between
    (runs,) = [chart for chart in charts.json()["charts"] if chart["name"] == "runs_by_status"]
    assert runs["labels"] == ["running"]


def test_an_assignment_stands_as_it_stood_then(told: Told, http: httpx.Client) -> None:
    then = http.get("/assignments/as-1", params={"as_of": told.between, "wait_seconds": 60})
    assert then.json()["status"] == "pending"
    assert http.get("/assignments/as-1", params={"as_of": "now"}).json()["result"] == 3
    assert http.get("/assignments/as-1").json()["status"] == "completed"
    assert_problem(http.get("/assignments/as-1", params={"as_of": "start"}), 404, "as-1")


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        ("nonsense", "is no moment"),
        ("", "is no moment"),
        ("2999-01-01", "is in the future"),
        ("3 fortnights ago", "'fortnights' is no unit"),
        ("mars:1", "no origin 'mars'"),
        ("local:99999999999", "ends at"),
        ("local:1,local:2", "names local twice"),
        ("local:1" * 2_000, "is longer than"),
    ],
)
@pytest.mark.parametrize("path", ["/query/runs", "/hobby/metrics/summary", "/hobby/dashboard", "/dead-letters"])
def test_what_is_no_moment_of_the_past_is_refused(http: httpx.Client, path: str, moment: str, why: str) -> None:
    assert_problem(http.get(path, params={"as_of": moment}), 422, "as of", why)


async def test_dead_letters_are_those_of_then(node: NodeProcess, told: Told, client: Client) -> None:
    event = Event.of(RunStarted(), subject="r", source="/agents/a")
    stranger = encode(event).replace(b"run.started", b"run.teleported")
    async with await NatsBus.connect(node.node.nats_url) as bus:  # whoever has the bus can get round the API
        await bus.publish(decode(stranger), stranger)
    tell(client, ("behind", RunStarted()))
    assert len(client.get("/dead-letters")) == 1
    assert client.get("/dead-letters", as_of=told.between) == []
    assert len(client.get("/dead-letters", as_of="now")) == 1


def test_an_unknown_read_model_is_as_unknown_in_the_past(told: Told, http: httpx.Client) -> None:
    assert_problem(http.get("/query/run", params={"as_of": told.between}), 404, "did you mean 'runs'")
    assert_problem(http.post("/sql", params={"as_of": told.between}, json={"sql": "drop table runs"}), 400, "DROP")


def test_the_command_line_asks_about_the_past(told: Told, rookery: Rookery) -> None:
    assert rookery("query", "runs", "--select=run_id", f"--as-of={told.between}", "--json").json == BOTH[:1]
    in_sql = rookery("sql", "select run_id from runs order by all limit 1", f"--as-of={told.time.isoformat()}", "--csv")
    assert in_sql.out.split() == ["run_id", "run-1"]
    assert rookery("dead-letters", "--as-of=1 hour ago", "--json").json == []
    refused = rookery("query", "runs", "--as-of=someday")
    assert (refused.code, "is no moment" in refused.err) == (2, True)
