"""Whole nodes under faults: killed, hung, out of disk, raced. What was acknowledged is in the log exactly once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client, RequestFailed
from rookery.ops.data_folder import NODE_FILE, DataFolder, DataFolderInUse, RunningNode
from rookery.schemas import AgentRegistered, Event, RunStarted, encode, new_id
from rookery.tests.sites import free_ports
from rookery.tests.small_disk import small_disk

FAULTS = 3
ACKNOWLEDGED_BETWEEN_FAULTS_MAX = 400
NOW = datetime.now(UTC)
UP = [sys.executable, "-m", "rookery.ops.cli", "up", "--port=0", "--nats-port=0"]


def nats_server_of(running: NodeProcess) -> psutil.Process:
    (server,) = psutil.Process(running.process.pid).children(recursive=True)
    return server


class Nodes:
    """Nodes on one data folder, one after the other."""

    def __init__(self, data: Path) -> None:
        self.data = data
        port, nats_port = free_ports(2)
        self._ports = f"--port={port}", f"--nats-port={nats_port}"
        self._stack = ExitStack()

    async def start(self) -> NodeProcess:
        return await asyncio.to_thread(self._stack.enter_context, node_process(self.data, *self._ports))

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    nodes = Nodes(tmp_path / "data")
    yield nodes
    await nodes.stop()


@pytest.fixture
def seed() -> int:
    """Another history each time; what a failed test printed replays it."""
    seed = int(os.environ.get("ROOKERY_TEST_SEED") or random.randrange(2**32))
    print(f"ROOKERY_TEST_SEED={seed}")
    return seed


class Publishers:
    """Publishers over NATS and over HTTP that never give up an event, and note which ones were acknowledged."""

    def __init__(self, seed: int, running: NodeProcess) -> None:
        self._random = random.Random(seed)
        self._url = running.node.url
        self._nats_url = running.node.nats_url
        self._made = 0
        self._enough = False
        self.acknowledged: list[str] = []

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        async with (
            await NatsBus.connect(self._nats_url) as bus,
            httpx.AsyncClient(base_url=self._url, timeout=60, trust_env=False) as http,
        ):
            tasks = [asyncio.create_task(self._over_nats(bus)) for _ in range(20)]
            tasks += [asyncio.create_task(self._over_http(http)) for _ in range(4)]
            try:
                yield
            finally:
                self._enough = True
                await asyncio.gather(*tasks)

    async def a_while(self, moments: random.Random) -> None:
        """Return when some more events have been acknowledged."""
        count = len(self.acknowledged) + moments.randrange(ACKNOWLEDGED_BETWEEN_FAULTS_MAX)
        while len(self.acknowledged) < count:
            await asyncio.sleep(0.001)

    def _event(self) -> Event:
        self._made += 1
        return Event.of(RunStarted(), subject=f"run-{self._made}", source=f"/agents/a-{self._made % 7}")

    async def _over_nats(self, bus: NatsBus) -> None:
        while not self._enough:
            event = self._event()
            await bus.publish(event)
            self.acknowledged.append(event.id)

    async def _over_http(self, http: httpx.AsyncClient) -> None:
        while not self._enough:
            events = [self._event() for _ in range(self._random.randrange(1, 6))]
            wait = self._random.choice(["durable", "logged", "visible"])
            while not await self._posted(http, events, wait):
                await asyncio.sleep(0.05)
            self.acknowledged += [event.id for event in events]

    async def _posted(self, http: httpx.AsyncClient, events: list[Event], wait: str) -> bool:
        body = b"\n".join(encode(event) for event in events)
        try:
            answer = await http.post(
                "/events", params={"wait": wait}, content=body, headers={"content-type": "application/x-ndjson"}
            )
        except httpx.TransportError:
            return False
        assert answer.status_code in (202, 503), answer.text
        return answer.status_code == 202


def assert_whole(running: NodeProcess, acknowledged: list[str]) -> None:
    """Everything acknowledged is in the log exactly once, without gaps, and in the read models."""
    with Client(running.node.url) as client:
        client.publish([encode(Event.of(RunStarted(), subject="last", source="/agents/last"))])
        lines = [json.loads(line) for line in client.lines("/events")]
        counted = Counter(line["id"] for line in lines)
        assert [one for one in acknowledged if counted[one] != 1] == []
        assert [one for one, count in counted.items() if count != 1] == []
        assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
        (row,) = client.post("/sql", b'{"sql": "select count(*) as n, count(distinct id) as ids from events"}')["rows"]
        assert row == {"n": len(lines), "ids": len(lines)}
        assert client.get("/query/fleet")["rows"][0]["events"] == len(lines)
        assert client.get("/dead-letters") == []
        report = client.post("/rebuild", b"")
        assert report["digests_before"] == report["digests_after"]
        assert report["events"] == len(lines)


async def test_a_node_killed_at_any_moment_loses_and_doubles_nothing(nodes: Nodes, seed: int) -> None:
    moments = random.Random(seed)
    running = await nodes.start()
    publishers = Publishers(seed, running)
    async with publishers.at_work():
        for _ in range(FAULTS):
            await publishers.a_while(moments)
            running.process.kill()
            await asyncio.to_thread(running.process.wait)
            running = await nodes.start()
        await publishers.a_while(moments)
    await asyncio.to_thread(assert_whole, running, publishers.acknowledged)


async def test_a_nats_server_killed_while_publishing_loses_and_doubles_nothing(nodes: Nodes, seed: int) -> None:
    moments = random.Random(seed)
    running = await nodes.start()
    publishers = Publishers(seed, running)
    async with publishers.at_work():
        for _ in range(FAULTS):
            await publishers.a_while(moments)
            nats_server_of(running).kill()
            await publishers.a_while(moments)
    await asyncio.to_thread(assert_whole, running, publishers.acknowledged)


def test_a_killed_start_is_no_hindrance_to_the_next(tmp_path: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen([*UP, f"--data={tmp_path / 'data'}"], stdout=subprocess.DEVNULL)
        while not (tmp_path / "data" / "nats").exists() and process.poll() is None:
            time.sleep(0.005)
        process.kill()
        process.wait()
    with node_process(tmp_path / "data") as running:
        assert_whole(running, [])


# A bus that hangs


def test_a_bus_that_hangs_is_named_and_holds_up_no_answer(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client, ThreadPoolExecutor(1) as thread:
        server = nats_server_of(running)
        server.suspend()
        try:
            waiting = thread.submit(client.publish, [event()])  # it waits for the bus to come back
            while (found := unwell(client)).get("bus") is None:
                time.sleep(0.05)
            assert "no answer from nats://" in found["bus"]
            status = client.get("/status")
            assert (status["bus"]["connected"], status["bus"]["messages"], status["node"]["state"]) == (
                False,
                None,
                "not ready",
            )
            assert client.get("/query/nodes")["rows"]
        finally:
            server.resume()
        assert waiting.result()["new"] == 1
        wait_until_well(client)
        assert client.get("/status")["bus"]["connected"]


def test_a_node_stops_although_its_bus_hangs(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        server = nats_server_of(running)
        server.suspend()
        running.process.terminate()
        assert running.process.wait(timeout=60) == 0
        assert not server.is_running()


# A full disk


async def test_a_full_disk_is_said_and_what_comes_over_nats_all_the_same_is_not_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with small_disk(data) as fill_up, node_process(data) as running, Client(running.node.url) as client:
        async with await NatsBus.connect(running.node.nats_url) as bus:
            acknowledged = [one.id for one in [made() for _ in range(50)] if await bus.publish(one)]
            fill_up()
            with pytest.raises(RequestFailed, match="free some space") as refused:
                client.publish([event()])
            assert refused.value.status == 507
            assert "free some space" in unwell(client)["disk"]
            late = [made() for _ in range(50)]
            waiting = asyncio.gather(*(bus.publish(one) for one in late))
            await asyncio.sleep(1)  # the bus meets the full disk, and leaves the stream alone from then on
            (data / "ballast").unlink()
            await waiting
        acknowledged += [one.id for one in late]
        await asyncio.to_thread(wait_until_well, client)
        await asyncio.to_thread(assert_whole, running, acknowledged)


def test_a_full_disk_under_the_log_alone_keeps_events_on_the_bus_until_there_is_room(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with small_disk(data / "log") as fill_up, node_process(data) as running, Client(running.node.url) as client:
        fill_up()
        events = [made() for _ in range(500)]
        asyncio.run(publish_all(running.node.nats_url, events))
        while "ingest" not in (found := unwell(client)):
            time.sleep(0.05)
        assert "free space or repair the disk" in found["ingest"]
        (data / "log" / "ballast").unlink()
        wait_until_well(client)
        assert_whole(running, [one.id for one in events])


async def publish_all(nats_url: str, events: list[Event]) -> None:
    async with await NatsBus.connect(nats_url) as bus:
        await asyncio.gather(*(bus.publish(one) for one in events))


# Clocks that are wrong


def test_events_of_another_age_are_kept_as_they_are_dated_and_the_latest_date_wins(node: NodeProcess) -> None:
    """What counts is when a fact happened, as its publisher says.

    A clock that runs ahead therefore settles what is "the latest" until that date: only a fact dated later still
    replaces it. It does so for its own entity alone, and nothing that is counted is hidden.
    """
    ages = {"past": datetime(1970, 1, 1, tzinfo=UTC), "future": datetime(2100, 1, 1, tzinfo=UTC), "now": NOW}
    with Client(node.node.url) as client:
        for name, moment in ages.items():
            taken = client.publish([encode(registered("wrong-clock", name, moment))])
            assert (taken["new"], taken["refusals"] or []) == (1, [])
        lines = [json.loads(line) for line in client.lines("/events", entity="agent/wrong-clock")]
        assert [line["time"] for line in lines] == [
            moment.isoformat().replace("+00:00", "Z") for moment in ages.values()
        ]
        (agent,) = [row for row in client.get("/query/agents")["rows"] if row["agent_id"] == "wrong-clock"]
        assert agent["name"] == "future"
        hours = {row["hour"][:13] for row in client.get("/query/fleet_hourly")["rows"]}
        assert {moment.isoformat()[:13] for moment in ages.values()} <= hours
        client.publish([encode(registered("wrong-clock", "corrected", datetime(2100, 1, 2, tzinfo=UTC)))])
        client.publish([encode(registered("right-clock", "seen", NOW))])
        names = {row["agent_id"]: row["name"] for row in client.get("/query/agents")["rows"]}
        assert (names["wrong-clock"], names["right-clock"]) == ("corrected", "seen")


# Two at once


def test_of_two_nodes_that_race_for_a_folder_one_wins_and_the_other_names_it(tmp_path: Path) -> None:
    racers = [
        subprocess.Popen([*UP, f"--data={tmp_path}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in "ab"
    ]
    try:
        while (loser := next((one for one in racers if one.poll() is not None), None)) is None:
            time.sleep(0.01)
        (winner,) = [one for one in racers if one is not loser]
        assert loser.stderr is not None
        said = loser.stderr.read().decode()
        # Who comes a little later sees it before it tries: a node that starts, or one that runs.
        named = f"{tmp_path} is in use by the node with pid {winner.pid}", f"a node starts on {tmp_path} already"
        assert any(one in said for one in (*named, f"pid {winner.pid}; stop it with `rookery down`")), said
        assert loser.returncode == 1
        while DataFolder(tmp_path).running() is None:
            time.sleep(0.01)
    finally:
        for one in racers:
            one.terminate()
            one.communicate()
    assert winner.returncode == 0


def test_whoever_looks_at_a_folder_does_not_keep_a_node_from_it(tmp_path: Path) -> None:
    folder, over = DataFolder(tmp_path), threading.Event()
    with folder:
        pass

    def look() -> None:
        while not over.is_set():
            folder.is_owned()

    with ThreadPoolExecutor(2) as threads:
        looking = [threads.submit(look) for _ in range(2)]
        try:
            for _ in range(200):
                with DataFolder(tmp_path):
                    pass
        finally:
            over.set()
    for one in looking:
        one.result()


def test_what_a_killed_node_left_word_of_is_not_taken_for_the_next(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        folder.announce(RunningNode(1, "http://127.0.0.1:1", "nats://127.0.0.1:1", NOW))
        word = (tmp_path / NODE_FILE).read_bytes()
    (tmp_path / NODE_FILE).write_bytes(word)  # as if it had been killed
    with DataFolder(tmp_path) as folder:
        assert folder.running() is None
        with pytest.raises(DataFolderInUse, match=f"pid {os.getpid()}"), DataFolder(tmp_path):
            pass


def made() -> Event:
    return Event.of(RunStarted(task="x" * 2_000), subject=f"run-{new_id()}", source="/agents/a")


def event() -> bytes:
    return encode(made())


def registered(agent_id: str, name: str, time: datetime) -> Event:
    return Event.of(AgentRegistered(name=name), subject=agent_id, source="/agents/a", time=time)


def unwell(client: Client) -> dict[str, str]:
    """The subsystems that are not ready, each with what is wrong."""
    try:
        client.get("/health")
    except RequestFailed as unready:
        parts = unready.problem["subsystems"]
        return {name: part["detail"] for name, part in parts.items() if part["state"] != "ready"}
    return {}


def wait_until_well(client: Client) -> None:
    while unwell(client):
        time.sleep(0.05)
