"""Topologies as they are written, on real nats-servers: what reaches whom, what may be done, and what a cut costs."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from rookery.bus import NatsBus, Receipt
from rookery.eventstore import Ingest, Log
from rookery.eventstore.signing import Signer, new_seed
from rookery.eventstore.vault import Vault
from rookery.handlers.agent import Agent, NameTaken
from rookery.handlers.agent.colony import Colony
from rookery.handlers.fleet import AGENTS, Expire
from rookery.handlers.fleet.beats import Beat, fence_subject, probe_subject, read_beat
from rookery.handlers.reactions import Command, Decider
from rookery.ops.health import Health, Subsystem
from rookery.ops.intake import sealed_alone
from rookery.ops.settings import Settings
from rookery.ops.spokes import Spoke
from rookery.ops.syncing import LogPeer, NatsPeer, Offering, Pull, Pulled, serve_sync
from rookery.ops.topology import Site, sites, write_cluster, write_hub
from rookery.schemas import SEAL_COMMAND, Event, InvalidInput
from rookery.tests.eventstore.deliveries import many
from rookery.tests.eventstore.test_ingest import running
from rookery.tests.sites import Servers, free_addresses

MakeEvent = Callable[..., Event]

SEGMENT_EVENTS = 50


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A hub, and a spoke in the north with the agent coder-7."""
    folder = tmp_path_factory.mktemp("sites")
    hub, north = sites([f"{name}={at}" for name, at in zip(("hub", "north"), free_addresses(2), strict=True)])
    write_hub(folder, hub, [north], ["north/coder-7"])
    found = Servers(folder, ["hub", "north"])
    found.start()
    yield found
    found.close()


def settings_of(servers: Servers, site: str) -> Settings:
    return Settings.load(environment={}, folder=servers.folder / site)


async def bus_at(servers: Servers, site: str, key: str = "node") -> NatsBus:
    url = settings_of(servers, site).nats_url
    assert url is not None
    return await NatsBus.connect(url, credentials=servers.folder / site / "keys" / f"{key}.nk", timeout_seconds=20)


async def client_at(servers: Servers, site: str, key: str = "node", refused: list[str] | None = None) -> Any:
    async def errored(error: Exception) -> None:
        if refused is not None:
            refused.append(str(error))

    seed = str(servers.folder / site / "keys" / f"{key}.nk")
    return await nats.connect(settings_of(servers, site).nats_url or "", nkeys_seed=seed, error_cb=errored)


class Sites(AsyncExitStack):
    """Both sites' buses, and the logs that their nodes keep of the north."""

    async def open(self, servers: Servers, folder: Path) -> None:
        self.hub = await self.enter_async_context(await bus_at(servers, "hub"))
        self.north = await self.enter_async_context(await bus_at(servers, "north"))
        self.there = self.enter_context(Log.open(folder / "there", segment_events_max=SEGMENT_EVENTS))
        self.here = self.enter_context(Log.open(folder / "here", segment_events_max=SEGMENT_EVENTS))
        self._ingests = [
            await self.enter_async_context(running(Ingest(self.north, self.there, "north"))),
            await self.enter_async_context(running(Ingest(self.hub.mirror("north"), self.here, "north"))),
        ]

    async def level(self, receipts: list[Receipt]) -> None:
        """Wait until both logs have all that was published."""
        for ingest in self._ingests:
            await ingest.wait_for(max(receipt.sequence for receipt in receipts))


@pytest.fixture
async def both(servers: Servers, tmp_path: Path) -> AsyncIterator[Sites]:
    async with Sites() as found:
        await found.open(servers, tmp_path)
        yield found


def lines(log: Log) -> bytes:
    return b"\n".join(record.line for record in log.read("north"))


async def publish(bus: NatsBus, events: list[Event]) -> list[Receipt]:
    return list(await asyncio.gather(*(bus.publish(event) for event in events)))


async def test_the_hubs_log_of_a_spoke_is_the_spokes_own(both: Sites, servers: Servers, make_event: MakeEvent) -> None:
    client = await client_at(servers, "north")
    await client.jetstream().publish("evt.run.r.completed.coder-7", b"not JSON at all")
    await client.close()
    twice = make_event("as-1")
    events = [twice, *(make_event(f"as-{number}") for number in range(3 * SEGMENT_EVENTS)), twice]
    await publish(both.hub, [make_event("as-hub")])
    await both.level(await publish(both.north, events))
    assert lines(both.here) == lines(both.there)
    assert lines(both.here).count(b"\n") == 3 * SEGMENT_EVENTS + 1
    assert (await both.hub.state()).messages == 1
    assert b"as-hub" not in lines(both.here)


async def test_a_spoke_works_on_while_it_is_cut_off(both: Sites, servers: Servers, make_event: MakeEvent) -> None:
    await both.level(await publish(both.north, [make_event()]))
    servers.hold_up("hub")
    receipts = await publish(both.north, [make_event(f"as-{number}") for number in range(20)])
    servers.go_on("hub")
    await both.level(receipts)
    assert lines(both.here) == lines(both.there)


async def test_a_spokes_log_is_copied_over_the_leaf_node(
    both: Sites, servers: Servers, make_event: MakeEvent, tmp_path: Path
) -> None:
    await both.level(await publish(both.north, [make_event(f"as-{number}") for number in range(3 * SEGMENT_EVENTS)]))
    both.there.seal_full_segments()
    service = await serve_sync(both.north, "north", Offering(both.there, "north"), nobody_pulls)
    key = servers.folder / "hub" / "keys" / "node.nk"
    peer = NatsPeer("nats:///north", bus_url=settings_of(servers, "hub").nats_url, credentials=key)
    async with aclosing(peer):
        with Log.open(tmp_path / "copy", own=("hub",)) as copy:
            assert (await Pull(copy, peer, ("hub",)).run()).wrong == []
            assert lines(copy) == lines(both.there)
            assert copy.manifest_lines("north") == both.there.manifest_lines("north")
    await service.close()


async def test_what_is_wrong_with_a_spoke_is_told_and_keeps_nobody_waiting(
    both: Sites, make_event: MakeEvent, tmp_path: Path
) -> None:
    await both.level(await publish(both.north, [make_event()]))
    health = Health()
    health.set("bus", "ready")
    spokes = [Spoke(name, both.hub.mirror(name), both.here, lambda: None) for name in ("north", "west")]
    async with asyncio.TaskGroup() as working:
        tasks = [working.create_task(work) for spoke in spokes for work in spoke.work()]
        while health.subsystems.get("spoke north", Subsystem("starting", datetime.now(UTC))).state != "ready":
            await asyncio.sleep(0.01)
            for spoke in spokes:
                spoke.look(health)
        for task in tasks:
            task.cancel()
    assert spokes[0].lag_events == 0
    west = health.subsystems["spoke west"]
    assert (west.state, health.is_ready) == ("degraded", True)
    assert "not heard from it" in west.detail


def test_the_seals_of_a_spoke_are_its_own(tmp_path: Path) -> None:
    keys = [Signer(new_seed()) for _ in range(2)]
    with (
        Log.open(tmp_path / "north", own=("north",), segment_events_max=20, signer=keys[0]) as north,
        Log.open(tmp_path / "hub", own=("hub", "north"), segment_events_max=20, signer=keys[1]) as hub,
        Log.open(tmp_path / "third", own=("third",)) as third,
    ):
        for log in (north, hub):
            log.append("north", many(65))
            log.seal_full_segments()
        offered = LogPeer(hub, "hub", spokes=("north",))
        for log, peer, own in (
            (third, offered, ("third",)),
            (third, LogPeer(north, "north"), ("third",)),
            (third, offered, ("third",)),
            (hub, LogPeer(north, "north"), ("hub", "north")),
            (north, offered, ("north",)),
        ):
            assert asyncio.run(Pull(log, peer, own).run()).wrong == []
        assert lines(third) == lines(north) == lines(hub)
        assert third.manifest_lines("north") == north.manifest_lines("north") != hub.manifest_lines("north")


async def nobody_pulls(peer: str) -> Pulled:
    raise AssertionError(peer)


@pytest.mark.skipif(os.environ.get("ROOKERY_TEST_CLUSTER") != "all", reason="ROOKERY_TEST_CLUSTER=all: waits for 40 s")
async def test_a_hub_that_was_killed_catches_up(both: Sites, servers: Servers, make_event: MakeEvent) -> None:
    await both.level(await publish(both.north, [make_event()]))
    servers.kill("hub")
    receipts = await publish(both.north, [make_event(f"as-{number}") for number in range(20)])
    servers.start("hub")
    await both.level(receipts)
    assert lines(both.here) == lines(both.there)


async def test_the_hub_can_read_a_spoke_and_not_change_it(both: Sites, servers: Servers, make_event: MakeEvent) -> None:
    await both.level(await publish(both.north, [make_event()]))
    client = await client_at(servers, "hub")
    info = await client.request("$JS.north.API.STREAM.INFO.EVENTS", timeout=5)
    assert json.loads(info.data)["config"]["name"] == "EVENTS"
    for change in ("STREAM.DELETE.EVENTS", "STREAM.UPDATE.EVENTS", "STREAM.PURGE.EVENTS", "STREAM.CREATE.MORE"):
        with pytest.raises((nats.errors.NoRespondersError, nats.errors.TimeoutError)):
            await client.request(f"$JS.north.API.{change}", b"{}", timeout=0.3)
    await client.close()


@pytest.mark.parametrize(
    "subject",
    [
        "evt.run.r.completed.judge-1",
        "$JS.API.STREAM.DELETE.EVENTS",
        "$JS.API.STREAM.UPDATE.EVENTS",
        "$JS.API.STREAM.PURGE.EVENTS",
        "$JS.API.STREAM.CREATE.COPY",
        "$KV.AGENTS.another",
        "cmd.sync.north",
        "cmd.agent.expire",
        "cmd.agent.register",
        "cmd.agent.stop.judge-1",
        "cmd.assignments.cancel",
        "cmd.assignments.complete",
        "cmd.reactions.discard",
        "beat.judge-1",
        "fence.coder-7",
    ],
)
async def test_an_agents_key_is_good_for_no_more_than_its_own(servers: Servers, both: Sites, subject: str) -> None:
    refused: list[str] = []
    client = await client_at(servers, "north", "coder-7", refused)
    await client.publish(subject, b"{}")
    async with asyncio.timeout(20):
        while not refused:
            await asyncio.sleep(0.01)
    await client.close()
    assert any("permissions violation" in error.lower() and subject.lower() in error.lower() for error in refused)


async def test_an_agent_lives_its_whole_life_with_its_own_key(
    servers: Servers, both: Sites, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    vault = Vault.open(tmp_path / "vault")

    async def seal(payload: bytes) -> bytes:
        return sealed_alone(payload, vault)

    sealing = await both.north.serve(SEAL_COMMAND, seal, queue="vault")
    agent = Agent("coder-7", ["review"], nats_url=settings_of(servers, "north").nats_url, heartbeat_seconds=0.05)
    beats = list[bytes]()
    await both.north.listen("beat.>", lambda _, payload: beats.append(payload))

    @agent.on("review")
    def review(task: Any) -> str:
        task.remember("likes short diffs", about="user-17")
        return f"{task.input} is fine"

    monkeypatch.setenv("ROOKERY_NATS_CREDENTIALS", str(servers.folder / "north" / "keys" / "coder-7.nk"))
    serving = asyncio.create_task(agent.serve())
    colony = Colony(both.north, name="lead")
    assert await colony.result(await colony.assign("review", "the diff")) == "the diff is fine"
    assert isinstance(read_beat(await both.north.request(probe_subject("coder-7"), b"")), Beat)
    with pytest.raises(NameTaken):
        await agent.serve()
    async with asyncio.timeout(20):
        while not beats:
            await asyncio.sleep(0.01)
        await Decider(both.north, AGENTS, source="/t").handle(
            Command.of(Expire(incarnation=1), subject="coder-7", source="/nodes/north")
        )
        await both.north.send(fence_subject("coder-7"), b"{}")
        while msgspec.json.decode(beats[-1], type=Beat).incarnation != 2:
            await asyncio.sleep(0.01)
    serving.cancel()
    await asyncio.wait([serving])
    left, _ = await Decider(both.north, AGENTS, source="/t").look("coder-7")
    assert left.state == "unregistered"
    await sealing.close()


class TestFiles:
    def test_keys_stay_and_are_for_nobody_else(self, tmp_path: Path) -> None:
        hub, north, south = sites(["hub", "north", "south"])
        write_hub(tmp_path, hub, [north], ["north/coder-7"])
        keys = {path: path.read_text() for path in tmp_path.rglob("keys/*")}
        write_hub(tmp_path, hub, [north, south], ["north/coder-7", "south/coder.8"])
        assert all(path.read_text() == text for path, text in keys.items())
        secret = [path for path in tmp_path.rglob("*") if path.parent.name == "keys" or path.name == "nats-server.conf"]
        assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
        assert "evt.*.*.*.coder%2E8" in (tmp_path / "south" / "users.conf").read_text()
        assert Settings.load(environment={}, folder=tmp_path / "hub").spoke_names == ["north", "south"]

    def test_names_without_a_place_have_ports_of_their_own(self) -> None:
        assert sites(["a", "b=10.0.0.2", "c=10.0.0.3:4333"]) == [
            Site("a", "127.0.0.1", 4222),
            Site("b", "10.0.0.2", 4222),
            Site("c", "10.0.0.3", 4333),
        ]

    @pytest.mark.parametrize(
        "names", [["a", "a"], ["a=h", "b=h"], ["a="], ["a=h:x"], ["=h"], ["A b"], ['a=h"'], ["a=h\n"], ["a=::1"]]
    )
    def test_what_is_no_site_is_refused(self, names: list[str]) -> None:
        with pytest.raises(InvalidInput):
            sites(names)

    def test_two_servers_are_no_cluster(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="3 servers or 5"):
            write_cluster(tmp_path, "colony", sites(["a", "b"]))
        with pytest.raises(InvalidInput, match="--name"):
            write_cluster(tmp_path, "a", sites(["a", "b", "c"]))

    @pytest.mark.parametrize("agent", ["hub/node", "north/leaf", "north/a\n    { nkey: U }", "north/a b"])
    def test_no_agent_has_the_key_of_another_or_writes_who_may_do_what(self, tmp_path: Path, agent: str) -> None:
        hub, *spokes = sites(["hub", "north"])
        with pytest.raises(InvalidInput):
            write_hub(tmp_path, hub, spokes, [agent])

    def test_an_agent_is_at_home_at_a_site(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="SITE/AGENT"):
            write_hub(tmp_path, *[(hub := sites(["hub", "north"]))[0], hub[1:]], ["west/coder-7"])
