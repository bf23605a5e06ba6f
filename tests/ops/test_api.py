"""The HTTP API over a real node: every route, what it refuses, and how it says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rookery.ops.api.bodies import REQUEST_EVENTS_MAX
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.ops.lanes import QUERIES_AT_ONCE_MAX, QUERIES_WAITING_MAX
from rookery.schemas import AgentRegistered, Event, RunStarted, encode, new_id

NDJSON = {"content-type": "application/x-ndjson"}
SLOW = {"sql": "select count(*) from range(1000000000000) a where sin(a.range) > 2"}


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


def run_started(name: str = "run-1", **attributes: Any) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(encode(Event.of(RunStarted(), subject=name, source="/agents/a")))
    return {**event, **attributes}


def ndjson(*events: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def log_of(http: httpx.Client, **filters: Any) -> list[dict[str, Any]]:
    answer = http.get("/events", params=filters)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def assert_problem(answer: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """RFC 9457: the media type, the members, and a detail that says what was wrong."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert (found["type"], found["status"]) == ("about:blank", status)
    assert found["title"]
    for word in words:
        assert word in found["detail"]
    return found


# Publishing


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [
        ("application/cloudevents+json", lambda event: json.dumps(event)),
        ("application/cloudevents+json; charset=utf-8", lambda event: json.dumps(event, indent=4)),
        ("", lambda event: "\r\n " + json.dumps(event, indent=2).replace("\n", "\r\n") + "\n\n"),
        ("application/json", lambda event: json.dumps([event], indent=2)),
        ("application/cloudevents-batch+json", lambda event: json.dumps([event])),
        ("application/x-ndjson", lambda event: "\n\n" + json.dumps(event) + "\r\n\n"),
        ("Application/X-NDJSON; charset=utf-8", lambda event: json.dumps(event)),
        ("application/jsonl", lambda event: json.dumps(event)),
    ],
)
def test_an_event_comes_alone_in_an_array_or_one_a_line(http: httpx.Client, content_type: str, encoded: Any) -> None:
    event = run_started(data={"task": 'say "hi",\n  twice'})
    answer = http.post("/events", content=encoded(event).encode(), headers={"content-type": content_type})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["new"], answer.json()["duplicates"], answer.json()["refusals"]) == (1, 0, [])
    (kept,) = [one for one in log_of(http, last=3) if one["id"] == event["id"]]
    assert {name: kept[name] for name in event} == event


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ["empty"]),
        (b" \n ", ["empty"]),
        (b"{", ["event 0", "truncated"]),
        (b"[{]", ["body", "malformed"]),
        (b"[" * 100_000, ["body"]),
        (b'{"a":' * 100_000, ["event 0"]),
        (b'{\n"a":' * 100_000, ["body"]),
        (b"[1, 2]", ["event 0", "object"]),
        (b"\xff\xfe", ["event 0"]),
        (b'{"specversion": "1.0"}', ["event 0", "`id`"]),
        (b"null", ["event 0", "object"]),
    ],
)
def test_a_body_that_is_no_event_is_refused_with_the_reason(http: httpx.Client, body: bytes, words: list[str]) -> None:
    assert_problem(http.post("/events", content=body), 422, *words)


def test_no_events_are_no_error(http: httpx.Client) -> None:
    assert http.post("/events", content=b"[]").json()["new"] == 0
    assert http.post("/events", content=b"\n", headers=NDJSON).json()["new"] == 0


def test_valid_events_are_taken_and_the_others_listed_by_index_field_and_reason(http: httpx.Client) -> None:
    good = [run_started("mixed-0"), run_started("mixed-1")]
    bad = [run_started(type="run.teleported"), run_started(time="yesterday"), run_started(data={"task": 7})]
    body = ndjson(bad[0], good[0], bad[1], good[1], bad[2])
    found = assert_problem(http.post("/events", content=body, headers=NDJSON), 422, "event 0, type", "run.teleported")
    assert (found["new"], found["duplicates"]) == (2, 0)
    assert [(one["index"], one["field"]) for one in found["refusals"]] == [(0, "type"), (2, "time"), (4, "data.task")]
    assert all(one["reason"] for one in found["refusals"])
    assert {one["subject"] for one in log_of(http, last=2)} == {"mixed-0", "mixed-1"}


def test_an_id_counts_once_within_a_request_and_across_requests(http: httpx.Client) -> None:
    first, second = run_started("twice"), run_started("twice-more")
    within = http.post("/events", json=[first, first, second]).json()
    assert (within["new"], within["duplicates"]) == (2, 1)
    changed = run_started("another-subject", id=first["id"])
    across = http.post("/events", json=[second, changed]).json()
    assert (across["new"], across["duplicates"]) == (0, 2)
    assert sum(one["id"] in {first["id"], second["id"]} for one in log_of(http)) == 2


def test_more_events_than_a_request_may_bring_are_refused_before_any_is_taken(http: httpx.Client) -> None:
    before = http.get("/status").json()["events"]
    for body, headers in ((b"1\n" * (REQUEST_EVENTS_MAX + 1), NDJSON), (b"[%b1]" % (b"1," * REQUEST_EVENTS_MAX), {})):
        answer = http.post("/events", content=body, headers=headers)
        assert_problem(answer, 413, f"{REQUEST_EVENTS_MAX:,} events", "send several")
    assert http.get("/status").json()["events"] == before


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_is_too_large_is_refused_whether_it_announces_its_size_or_not(
    http: httpx.Client, announced: bool
) -> None:
    chunk = b" " * 2**20
    content = chunk * 66 if announced else (chunk for _ in range(66))
    assert_problem(http.post("/events", content=content), 413, "67,108,864 bytes", "send several")


def test_one_event_beyond_the_bus_is_refused_with_what_to_do_and_the_others_are_taken(http: httpx.Client) -> None:
    large = run_started("large", data={"task": "x" * 2**20})
    found = assert_problem(http.post("/events", json=[run_started(), large]), 422, "event 1", "object store")
    assert (found["new"], len(found["refusals"])) == (1, 1)


def test_an_id_that_makes_no_nats_subject_is_refused_and_the_others_are_taken(http: httpx.Client) -> None:
    long = run_started("🦜" * 256)
    found = assert_problem(http.post("/events", json=[run_started(), long]), 422, "event 1, subject", "shorter ids")
    assert found["new"] == 1


@pytest.mark.parametrize("name", ["origin", "n", "seq", "chain", "recordedtime", "undecodable"])
def test_an_event_may_not_say_what_the_log_says_of_it(http: httpx.Client, name: str) -> None:
    assert_problem(http.post("/events", json=run_started(**{name: "elsewhere"})), 422, name, "the log's own")


@pytest.mark.parametrize("name", ["a.b", "two words", "*", ">", "a.*.>", "ünïcødé", "$JS.API", "%2E", "🦜", "a/b", "'"])
def test_ids_are_kept_as_they_are_whatever_is_in_them(http: httpx.Client, name: str) -> None:
    event = run_started(name, source="/agents/x.y*>$")
    assert http.post("/events", json=event).json()["new"] == 1
    (kept,) = log_of(http, entity=f"run/{name}", source="/agents/x.y*>$")
    assert (kept["subject"], kept["id"]) == (name, event["id"])
    rows = http.post("/sql", json={"sql": "select status from runs where run_id = ?", "parameters": [name]}).json()
    assert rows["rows"] == [{"status": "running"}]


@pytest.mark.parametrize("wait", ["durable", "logged", "visible"])
def test_a_publisher_waits_for_as_much_as_it_asks_for(http: httpx.Client, wait: str) -> None:
    event = run_started(f"wait-{wait}")
    taken = http.post("/events", params={"wait": wait}, json=event).json()
    assert taken["new"] == 1
    if wait == "logged":
        assert [one["id"] for one in log_of(http, entity=f"run/wait-{wait}")] == [event["id"]]
    if wait == "visible":
        assert f"wait-{wait}" in {row["run_id"] for row in http.get("/query/runs").json()["rows"]}


def test_an_unknown_wait_is_refused_with_those_there_are(http: httpx.Client) -> None:
    answer = http.post("/events", params={"wait": "forever"}, json=run_started())
    assert_problem(answer, 422, "query.wait", "durable", "logged", "visible")


# Reading


@pytest.fixture(scope="module")
def story(node: NodeProcess) -> str:
    """Three events of one source, an hour apart, about two entities."""
    source = f"/agents/{new_id()}"
    times = [datetime(2030, 1, 1, hour, tzinfo=UTC) for hour in (8, 9, 10)]
    facts = [("story-1", RunStarted()), ("story-2", RunStarted()), ("story-1", AgentRegistered(name="a"))]
    events = [
        Event.of(fact, subject=subject, source=source, time=time)
        for (subject, fact), time in zip(facts, times, strict=True)
    ]
    with Client(node.node.url) as client:
        for event in events:
            client.publish([encode(event)])
    return source


@pytest.mark.parametrize(
    ("filters", "hours"),
    [
        ({}, [8, 9, 10]),
        ({"type": "run.started"}, [8, 9]),
        ({"type": ["run.started", "agent.registered"]}, [8, 9, 10]),
        ({"entity": "run/story-1"}, [8]),
        ({"entity": "agent/story-1"}, [10]),
        ({"since": "2030-01-01T09:00:00Z"}, [9, 10]),
        ({"until": "2030-01-01T09:00:00Z"}, [8]),
        ({"since": "2030-01-01T08:30:00", "until": "2030-01-01T09:30:00"}, [9]),
        ({"since": "2030-01-01T10:30:00+01:00"}, [10]),
        ({"limit": 1}, [8]),
        ({"limit": 0}, []),
        ({"after": "local:0", "limit": 2}, [8, 9]),
        ({"after": "local:999999999999999999999"}, []),
        ({"last": 0}, []),
        ({"since": "0001-01-01T00:00:00+14:00", "until": "9999-12-31T23:59:59-14:00"}, [8, 9, 10]),
    ],
)
def test_events_are_filtered(http: httpx.Client, story: str, filters: dict[str, Any], hours: list[int]) -> None:
    found = log_of(http, source=story, **filters)
    assert [datetime.fromisoformat(one["time"]).hour for one in found] == hours


def test_reading_goes_on_behind_an_address(http: httpx.Client, story: str) -> None:
    first, second, _ = log_of(http, source=story)
    assert first["origin"] == "local"
    assert log_of(http, source=story, after=f"local:{first['n']}", limit=1) == [second]
    assert len(log_of(http, last=2)) == 2


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [
        ("after", "41", ["after", "local:41"]),
        ("after", "local:", ["after"]),
        ("after", "local:-1", ["after"]),
        ("after", "local:\u0664", ["after"]),
        ("after", "nowhere:1", ["after", "'nowhere'", "local"]),
        ("entity", "run-9", ["entity", "run/run-9"]),
        ("since", "yesterday", ["query.since"]),
        ("last", "-1", ["query.last"]),
        ("limit", "many", ["query.limit"]),
        ("follow", "perhaps", ["query.follow"]),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(
    http: httpx.Client, parameter: str, value: str, words: list[str]
) -> None:
    assert_problem(http.get("/events", params={parameter: value}), 422, *words)


def test_a_follower_sees_what_the_log_gains(http: httpx.Client, node: NodeProcess) -> None:
    asked = {"last": 0, "follow": True, "type": "run.started"}
    with Client(node.node.url) as follower, ThreadPoolExecutor(1) as thread:
        lines = follower.lines("/events", **asked)
        coming = thread.submit(next, lines)
        while not coming.done():  # one that is published before the follower has begun is not new to it
            http.post("/events", json=run_started("followed"))
        assert json.loads(coming.result())["subject"] == "followed"
        last = run_started("followed-last")
        http.post("/events", json=last)
        assert any(json.loads(line)["id"] == last["id"] for line in lines)


def test_a_follower_that_goes_away_leaves_nothing_behind(http: httpx.Client, node: NodeProcess) -> None:
    process = psutil.Process(node.process.pid)
    with httpx.Client(base_url=node.node.url, trust_env=False) as goers:
        for _ in range(20):
            with goers.stream("GET", "/events", params={"last": 1, "follow": True}) as followed:
                next(followed.iter_lines())
    port = node.node.url.rpartition(":")[2]
    while sum(one.laddr.port == int(port) and one.status != "LISTEN" for one in process.net_connections()) > 1:
        http.get("/health")  # all but our own connection


def test_dead_letters_are_listed_in_json(http: httpx.Client) -> None:
    assert http.get("/dead-letters").json() == []
    assert_problem(http.get("/dead-letters", params={"limit": -1}), 422, "query.limit")


# Asking


def test_read_models_are_described_and_asked_by_name(http: httpx.Client) -> None:
    models = http.get("/query").json()
    assert {"name", "version", "description", "columns"} <= models[0].keys()
    for model in models:
        answer = http.get(f"/query/{model['name']}", params={"limit": 1}).json()
        assert [column["name"] for column in answer["columns"]] == [column["name"] for column in model["columns"]]


def test_an_unknown_read_model_is_not_found_and_the_nearest_named(http: httpx.Client) -> None:
    assert_problem(http.get("/query/cost_by_modl"), 404, "'cost_by_modl'", "did you mean 'cost_by_model'?")
    assert_problem(http.get("/query/a%22b;drop table runs"), 404)


def test_a_limit_of_none_gives_columns_and_says_that_there_is_more(http: httpx.Client) -> None:
    http.post("/events", json=run_started())
    answer = http.get("/query/runs", params={"limit": 0}).json()
    assert (answer["rows"], answer["truncated"]) == ([], True)
    assert answer["columns"]
    assert_problem(http.get("/query/runs", params={"limit": -1}), 422, "query.limit")


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [("select ? + ? as five", [2, 3]), ("select $a + $b as five", {"a": 2, "b": 3}), ("select 5 as five", None)],
)
def test_sql_takes_parameters_by_place_or_by_name(http: httpx.Client, sql: str, parameters: Any) -> None:
    assert http.post("/sql", json={"sql": sql, "parameters": parameters}).json()["rows"] == [{"five": 5}]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, ["body"]),
        (b"select 1", 422, ["body"]),
        (b"{}", 422, ["body", "`sql`"]),
        (b'{"sql": 1}', 422, ["body", "$.sql"]),
        (b'{"sql": "select 1", "limit": -1}', 422, ["body", "$.limit"]),
        (b'{"sql": "select 1", "limits": 1}', 422, ["body", "limits"]),
        (b'{"sql": "\xff"}', 422, ["body"]),
        (b'{"sql": "select ?", "parameters": [' + b"[" * 100_000, 422, ["body"]),
        (b" " * 2**21, 413, ["1,048,576 bytes"]),
        (b'{"sql": "select ?", "parameters": []}', 400, []),
        (b'{"sql": "select ?", "parameters": {"a": 1}}', 400, []),
        (b'{"sql": "select $a", "parameters": [1, 2]}', 400, []),
        (b'{"sql": ""}', 400, ["one statement"]),
        (b'{"sql": "delete from runs"}', 400, ["DELETE"]),
        (b'{"sql": "select * from run"}', 400, ["run"]),
    ],
)
def test_a_statement_that_is_wrong_is_refused(http: httpx.Client, body: bytes, status: int, words: list[str]) -> None:
    assert_problem(http.post("/sql", content=body), status, *words)


def test_what_is_not_there_is_said_by_method_and_path(http: httpx.Client) -> None:
    assert_problem(http.get("/nothing"), 404, "GET /nothing", "/docs")
    answer = http.delete("/events")
    assert_problem(answer, 405, "DELETE /events")
    assert answer.headers["allow"]
    assert http.get("/openapi.json").json()["info"]["title"] == "Rookery"


# Slow queries


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node whose queries may run for three seconds."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROOKERY_QUERY_SECONDS_MAX", "3")
        with node_process(tmp_path_factory.mktemp("impatient")) as running:
            yield running


async def test_slow_queries_are_stopped_and_hold_up_nobody_who_publishes(impatient: NodeProcess) -> None:
    async with httpx.AsyncClient(
        base_url=impatient.node.url, timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None)
    ) as http:
        slow = [asyncio.create_task(http.post("/sql", json=SLOW)) for _ in range(QUERIES_AT_ONCE_MAX)]
        for number in range(10):
            assert (await http.post("/events", json=run_started(f"beside-{number}"))).json()["new"] == 1
            assert number or not any(query.done() for query in slow)  # the first, surely, came before their end
        assert (await http.get("/status")).status_code == 200
        assert len((await http.get("/events", params={"type": "run.started"})).text.splitlines()) == 10
        for answer in await asyncio.gather(*slow):
            assert_problem(answer, 400, "3 seconds", "ask for less")
        assert (await http.post("/sql", json={"sql": "select count(*) as n from runs"})).json()["rows"] == [{"n": 10}]


async def test_more_queries_than_may_wait_are_turned_away(impatient: NodeProcess) -> None:
    asked = 2 * (QUERIES_AT_ONCE_MAX + QUERIES_WAITING_MAX)
    async with httpx.AsyncClient(
        base_url=impatient.node.url, timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None)
    ) as http:
        slow = [asyncio.create_task(http.post("/sql", json=SLOW)) for _ in range(asked)]
        answers = [await answer for answer in islice(asyncio.as_completed(slow), asked // 2)]
        assert_problem(min(answers, key=lambda answer: -answer.status_code), 503, "try again later")
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        # The connections of those who left are closed: what waited for them is given up, and there is room again.
        while (answer := await http.post("/sql", json={"sql": "select 1 as one"})).status_code == 503:
            assert_problem(answer, 503, "try again later")
        assert answer.json()["rows"] == [{"one": 1}]


# Stopping


def test_a_node_stops_at_once_while_somebody_follows(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as follower:
        lines = follower.lines("/events", last=1, follow=True)
        next(lines)
        running.process.terminate()
        assert all(json.loads(line) for line in lines)  # to its end, which is whole
        assert running.process.wait(timeout=4) == 0
