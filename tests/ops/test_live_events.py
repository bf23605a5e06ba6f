"""Live events over HTTP from a real node: as a stream and over a WebSocket, joined, left and joined again."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import httpx
import msgspec
import pytest
from httpx_sse import EventSource
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops.api.live import GOING_AWAY, LATEST_EVENTS
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.ops.live import BEHIND_EVENTS_MAX, READERS_MAX
from rookery.schemas import AgentRegistered, Event, EventData, RunCompleted, RunStarted, encode, subject_of
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_sync

from .conftest import Rookery

STREAM = {"accept": "text/event-stream"}
EASTERN = 30


class Told(NamedTuple):
    """One Server-Sent Event."""

    id: str
    kind: str
    data: dict[str, Any]

    @property
    def place(self) -> tuple[str, int]:
        return self.data["origin"], self.data["n"]


def told(response: httpx.Response) -> Iterator[Told]:
    for one in EventSource(response).iter_sse():
        yield Told(one.id, one.event, json.loads(one.data))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node whose log holds another origin's events too."""
    folder = tmp_path_factory.mktemp("node")
    with Log.open(folder / "log") as log:
        events = [run(f"run-east-{n}", "/agents/eastern") for n in range(EASTERN)]
        log.append("east", [Delivery(n, subject_of(one), encode(one), one.time) for n, one in enumerate(events, 1)])
    with node_process(folder) as running:
        yield running


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


@contextmanager
def streaming(http: httpx.Client, last_event_id: str = "", **parameters: Any) -> Iterator[Iterator[Told]]:
    headers = STREAM | ({"last-event-id": last_event_id} if last_event_id else {})
    with http.stream("GET", "/events", params=parameters, headers=headers) as response:
        assert response.status_code == 200, response.read()
        yield told(response)


def socket_url(node: NodeProcess, **parameters: Any) -> str:
    return f"{node.node.url.replace('http', 'ws', 1)}/events?{urlencode(parameters, doseq=True)}"


def run(subject: str, source: str = "/agents/a", fact: EventData | None = None) -> Event:
    return Event.of(fact or RunStarted(), subject=subject, source=source)


def publish(client: Client, *events: Event, wait: str = "logged") -> None:
    assert client.publish([encode(event) for event in events], wait=wait)["refusals"] == []


# As lines


def test_a_follower_of_lines_has_only_what_was_asked_for(http: httpx.Client, client: Client) -> None:
    publish(client, run("run-before"))
    last = json.loads(http.get("/events", params={"last": 1}).text.splitlines()[-1])["n"]
    behind = {"follow": True, "after": f"east:{EASTERN},local:{last + 2}", "type": "run.started", "limit": 2}
    dated = {"follow": True, "last": 0, "since": "2001-01-01T00:00:00Z", "until": "2002-01-01T00:00:00Z", "limit": 1}
    old = msgspec.structs.replace(run("run-old"), time=datetime(2001, 6, 1, tzinfo=UTC))
    with (
        http.stream("GET", "/events", params=behind) as later,
        http.stream("GET", "/events", params=dated) as of_then,
    ):
        publish(client, *(run(f"run-later-{n}") for n in range(4)), old)
        numbers = [json.loads(line)["n"] for line in later.iter_lines()]
        found = [json.loads(line)["subject"] for line in of_then.iter_lines()]
    assert len(numbers) == 2
    assert min(numbers) > last + 2
    assert found == ["run-old"]


# As a stream


def test_the_latest_come_first_and_then_what_is_new(http: httpx.Client, client: Client) -> None:
    publish(client, *(run(f"run-latest-{n}") for n in range(LATEST_EVENTS)))
    with streaming(http) as stream:
        latest = list(islice(stream, EASTERN + LATEST_EVENTS))
        assert [one.data["subject"] for one in latest if one.place[0] == "east"] == [
            f"run-east-{n}" for n in range(EASTERN)
        ]
        assert [one.data["subject"] for one in latest if one.place[0] == "local"] == [
            f"run-latest-{n}" for n in range(LATEST_EVENTS)
        ]
        publish(client, run("run-new"))
        new = next(stream)
    assert (new.kind, new.data["type"], new.data["subject"]) == ("run.started", "run.started", "run-new")
    assert new.id == f"east:{EASTERN},local:{new.data['n']}"


def test_it_is_a_stream_that_no_cache_and_no_proxy_keeps(http: httpx.Client) -> None:
    with http.stream("GET", "/events", headers=STREAM) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        assert next(response.iter_lines()) == "retry: 2000"


def test_after_a_disconnect_nothing_is_lost_and_nothing_comes_twice(http: httpx.Client, client: Client) -> None:
    places: list[tuple[str, int]] = []
    with streaming(http, after="east:10,local:1") as stream:
        begun = list(islice(stream, 15))
    places += [one.place for one in begun]
    publish(client, *(run(f"run-missed-{n}") for n in range(5)))
    with streaming(http, begun[-1].id, after="local:0") as stream:  # a browser names both; the header counts
        for one in stream:
            places.append(one.place)
            if one.data["subject"] == "run-missed-4":
                break
    assert len(set(places)) == len(places)
    for origin, first in (("east", 11), ("local", 2)):
        numbers = [n for one, n in places if one == origin]
        assert numbers == list(range(first, numbers[-1] + 1))


def test_who_joins_while_much_is_published_misses_nothing(node: NodeProcess, http: httpx.Client) -> None:
    def publish_all() -> None:
        with Client(node.node.url) as publisher:
            for turn in range(40):
                publish(publisher, *(run(f"run-joined-{turn}-{n}") for n in range(25)), wait="durable")
            publish(publisher, run("run-joined-last"))

    def follow() -> list[int]:
        numbers: list[int] = []
        with (
            httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as own,
            streaming(own, last=3) as stream,
        ):
            for one in stream:
                if one.place[0] == "local":
                    numbers.append(one.data["n"])
                if one.data["subject"] == "run-joined-last":
                    break
        return numbers

    with ThreadPoolExecutor(9) as threads:
        publishing = threads.submit(publish_all)
        readers = []
        while not publishing.done() and len(readers) < 8:
            readers.append(threads.submit(follow))
            with streaming(http, last=0):
                pass  # and so some time has gone by, in which more was published
        publishing.result()
        for reader in readers:
            numbers = reader.result()
            assert numbers == list(range(numbers[0], numbers[-1] + 1))


FILTERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"source": "/agents/f1"}, ["f-1", "f-2", "f1"]),
    ({"source": "/agents/f1", "type": "run.*"}, ["f-1", "f-2"]),
    ({"source": "/agents/f1", "type": ["run.completed", "agent.registered"]}, ["f-2", "f1"]),
    ({"entity": "run/f-1"}, ["f-1"]),
    ({"agent": "f1"}, ["f-1", "f-2", "f1", "f-3"]),
    ({"agent": "f2"}, ["f-3"]),
]


@pytest.fixture(scope="module")
def filtered(node: NodeProcess) -> int:
    """The number before the first of some events to be filtered, the last of which every filter admits."""
    facts = [
        ("f-1", "/agents/f1", RunStarted()),
        ("f-2", "/agents/f1", RunCompleted(success=True)),
        ("f1", "/agents/f1", AgentRegistered(name="f1")),
        ("f-3", "/agents/f2", RunStarted(agent_id="f1")),
    ]
    with Client(node.node.url) as client:
        before = int(client.get("/status")["events"]) - EASTERN
        publish(client, *(run(subject, source, fact) for subject, source, fact in facts))
    return before


@pytest.mark.parametrize(("filters", "subjects"), FILTERS)
def test_a_stream_has_what_was_asked_for(
    http: httpx.Client, filtered: int, filters: dict[str, Any], subjects: list[str]
) -> None:
    with streaming(http, after=f"east:{EASTERN},local:{filtered}", **filters) as stream:
        assert [one.data["subject"] for one in islice(stream, len(subjects))] == subjects
    lines = http.get("/events", params={"after": f"east:{EASTERN},local:{filtered}", **filters}).text.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == subjects


@pytest.mark.parametrize(("filters", "subjects"), FILTERS)
def test_a_websocket_has_what_was_asked_for(
    node: NodeProcess, filtered: int, filters: dict[str, Any], subjects: list[str]
) -> None:
    found: list[str] = []
    with connect_sync(socket_url(node, after=f"east:{EASTERN},local:{filtered}", **filters)) as ws:
        while len(found) < len(subjects):
            found += [one["subject"] for one in json.loads(ws.recv())["events"]]
    assert found == subjects


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"type": "run.startd"}, ["type", "did you mean 'run.started'?"]),
    ({"type": "rnu.*"}, ["type", "did you mean 'run.*'?"]),
    ({"type": "*"}, ["type", "'*'"]),
    ({"entity": "run-9"}, ["entity", "run/run-9"]),
    ({"after": "41"}, ["after", "local:41", "ends at east:30,local:"]),
    ({"after": "nowhere:1"}, ["after", "'nowhere'", "there are east, local"]),
    ({"after": "local:99999999"}, ["after", "no local:99999999 yet", "ends at east:30,local:"]),
    ({"after": "local:" + "9" * 5_000}, ["after"]),
    ({"after": "local:1,local:2"}, ["after", "once for each origin"]),
    ({"after": "local:-1"}, ["after"]),
    ({"last": "-1"}, ["query.last"]),
    ({"last": "all"}, ["query.last"]),
]


@pytest.mark.parametrize(("parameters", "words"), BAD)
def test_what_makes_no_sense_is_refused_with_what_would(
    node: NodeProcess, http: httpx.Client, parameters: dict[str, Any], words: list[str]
) -> None:
    answer = http.get("/events", params=parameters, headers=STREAM)
    with pytest.raises(InvalidStatus) as refused:
        connect_sync(socket_url(node, **parameters))
    problem = json.loads(refused.value.response.body or b"")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == refused.value.response.status_code == 422
    for word in words:
        assert word in answer.json()["detail"]
        assert word in problem["detail"]


def test_a_last_event_id_that_never_was_is_refused(http: httpx.Client) -> None:
    answer = http.get("/events", headers=STREAM | {"last-event-id": "local:99999999"})
    assert (answer.status_code, answer.json()["error"]) == (422, "InvalidPosition")


@pytest.mark.parametrize("parameter", ["since=2030-01-01T00:00:00Z", "until=2030-01-01T00:00:00Z", "limit=1"])
def test_what_only_history_has_is_refused(http: httpx.Client, parameter: str) -> None:
    answer = http.get(f"/events?{parameter}", headers=STREAM)
    assert answer.status_code == 422
    assert "NDJSON" in answer.json()["detail"]


# Over a WebSocket


async def test_a_websocket_goes_on_from_any_position_that_it_has_named(node: NodeProcess, client: Client) -> None:
    async with connect(socket_url(node, after=f"east:{EASTERN - 3},local:1")) as ws:
        first = json.loads(await ws.recv())
    assert {one["origin"] for one in first["events"]} <= {"east", "local"}
    await asyncio.to_thread(publish, client, run("run-ws-missed"))
    places = [(one["origin"], one["n"]) for one in first["events"]]
    async with connect(socket_url(node, after=first["position"])) as ws:
        await ws.send("whatever a client says is ignored")
        while True:
            more = json.loads(await ws.recv())["events"]
            places += [(one["origin"], one["n"]) for one in more]
            if more[-1]["subject"] == "run-ws-missed":
                break
    assert len(set(places)) == len(places)
    numbers = [n for origin, n in places if origin == "local"]
    assert numbers == list(range(2, numbers[-1] + 1))


def test_a_page_of_another_site_may_not_listen(node: NodeProcess) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect_sync(socket_url(node), additional_headers={"Origin": "https://elsewhere.example"})
    assert refused.value.response.status_code == 403
    with connect_sync(socket_url(node), additional_headers={"Origin": node.node.url}) as ws:
        ws.recv()


# Bounds


async def test_one_reader_too_many_is_refused_and_fits_in_when_others_have_left(node: NodeProcess) -> None:
    host, port = node.node.url.removeprefix("http://").split(":")
    stream = f"GET /events?last=0 HTTP/1.1\r\nhost: {host}\r\naccept: text/event-stream\r\n\r\n".encode()
    lines = f"GET /events?last=0&follow=true HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()

    async def open_one(request: bytes = stream) -> tuple[bytes, asyncio.StreamWriter]:
        source, sink = await asyncio.open_connection(host, int(port))
        sink.write(request)
        return await source.readline(), sink

    opened = [await open_one(lines), *[await open_one() for _ in range(READERS_MAX - 1)]]
    assert {status for status, _ in opened} == {b"HTTP/1.1 200 OK\r\n"}
    refused = [await open_one(request) for request in (stream, lines)]
    assert all(b"503" in status for status, _ in refused)
    for _, one in [*opened, *refused]:
        one.close()
    while b"503" in (again := await open_one())[0]:
        again[1].close()
    again[1].close()


def test_a_reader_that_does_not_read_is_told_and_cut_while_others_go_on(
    node: NodeProcess, http: httpx.Client, client: Client
) -> None:
    host, port = node.node.url.removeprefix("http://").split(":")
    with socket.socket() as sleeper:
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sleeper.settimeout(60)
        sleeper.connect((host, int(port)))
        sleeper.sendall(b"GET /events?last=1 HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")
        sleeper.recv(1)
        filler = RunStarted(task="x" * 300)
        for turn in range(BEHIND_EVENTS_MAX // 5_000 + 2):
            publish(client, *(run(f"run-much-{turn}-{n}", fact=filler) for n in range(5_000)), wait="durable")
        publish(client, run("run-much-last"))
        with streaming(http, last=1) as stream:
            assert next(one for one in stream if one.place[0] == "local").data["subject"] == "run-much-last"
        received = b""
        while chunk := sleeper.recv(2**20):
            received = received[-4_096:] + chunk
            if b"event: slow" in received and received.endswith(b"0\r\n\r\n"):
                break
    frame = received.partition(b"event: slow\ndata: ")[2].partition(b"\n")[0]
    position = json.loads(frame)["position"]
    with streaming(http, position) as stream:
        assert next(stream).place == ("local", int(position.rpartition(":")[2]) + 1)


async def test_readers_are_let_go_when_the_node_stops(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        async with connect(socket_url(running)) as ws, httpx.AsyncClient(trust_env=False) as http:
            async with http.stream("GET", f"{running.node.url}/events", headers=STREAM, timeout=60) as response:
                lines = response.aiter_lines()
                while "node.started" not in await anext(lines):
                    pass
                running.process.terminate()
                assert "event: slow" not in [line async for line in lines]
            await ws.wait_closed()
            assert ws.close_code == GOING_AWAY


# On the command line


def test_tail_follows_one_agent(rookery: Rookery, filtered: int) -> None:
    begin = ("--after", f"east:{EASTERN},local:{filtered}", "--agent", "f1", "--json")
    followed = rookery("tail", *begin, "--limit", 4).out.splitlines()
    assert [json.loads(line)["subject"] for line in followed] == ["f-1", "f-2", "f1", "f-3"]
    assert rookery("tail", *begin, "--no-follow").out.splitlines() == followed


def test_tail_of_an_unknown_type_says_which_may_be_meant(rookery: Rookery) -> None:
    for options in (("--follow",), ("--no-follow",)):
        refused = rookery("tail", "--type", "run.startd", *options)
        assert refused.code == 2
        assert "did you mean 'run.started'?" in refused.err
