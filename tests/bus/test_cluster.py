"""The bus on three servers: one may go, and what was acknowledged is there once; one alone accepts nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.bus import BusUnavailable, Cluster, ConcurrencyConflict, Delivery, Entity, NatsBus, Work
from rookery.eventstore import Ingest, Log
from rookery.schemas import AssignmentCreated, Event, decode
from rookery.tests.bus.conftest import connected
from rookery.tests.sites import Servers

MakeEvent = Callable[..., Event]

ONE = Entity("assignment", "as-1")


async def leader_of(bus: NatsBus) -> str:
    """Who leads the event stream, once somebody does."""
    while True:
        cluster = (await bus.state()).cluster
        assert cluster is not None
        if cluster.leader:
            return cluster.leader
        await asyncio.sleep(0.05)


async def read_until(bus: NatsBus, sequence: int) -> list[Delivery]:
    found: list[Delivery] = []
    async for batch in bus.read():
        found += batch
        if found[-1].sequence >= sequence:
            break
    return found


async def once_whole(bus: NatsBus) -> Cluster:
    """The cluster, once somebody leads it and everybody has what the leader has."""
    while (cluster := (await bus.state()).cluster) is None or not cluster.leader or cluster.unwell:
        await asyncio.sleep(0.05)
    return cluster


async def test_what_is_acknowledged_is_stored_exactly_once_when_the_leader_is_killed(
    cluster: Servers, cluster_bus: NatsBus, make_event: MakeEvent, tmp_path: Path
) -> None:
    receipts: dict[str, int] = {}
    enough = asyncio.Event()

    async def publish(name: str) -> None:
        while not enough.is_set():
            event = make_event(name)
            receipts[event.id] = (await cluster_bus.publish(event)).sequence

    async def append() -> None:
        while not enough.is_set():
            event = make_event("as-1")
            last = (await cluster_bus.history(ONE)).sequence
            with contextlib.suppress(ConcurrencyConflict):
                receipts[event.id] = (await cluster_bus.append([event], expected={ONE: last}))[0].sequence

    async def acknowledged(count: int) -> None:
        while len(receipts) < count:
            await asyncio.sleep(0.01)

    log = Log.open(tmp_path)
    ingest = Ingest(cluster_bus, log, "colony", check_seconds=0.05)
    ingesting = asyncio.create_task(ingest.run())
    publishing = [publish(f"caller-{number}") for number in range(30)]
    at_work = asyncio.gather(*publishing, *(append() for _ in range(5)))
    await acknowledged(200)
    killed = await leader_of(cluster_bus)
    cluster.kill(killed)
    await acknowledged(len(receipts) + 300)
    cluster.start(killed)
    await acknowledged(len(receipts) + 100)
    enough.set()
    await at_work
    async with asyncio.timeout(60):
        await ingest.wait_for(max(receipts.values()))
    ingesting.cancel()
    await asyncio.wait([ingesting])
    assert [(record.sequence, decode(record.payload).id) for record in log.read("colony")] == sorted(
        (sequence, event_id) for event_id, sequence in receipts.items()
    )
    assert (ingest.status.regressions, ingest.status.missing) == (0, 0)
    log.close()
    deliveries = await read_until(cluster_bus, max(receipts.values()))
    assert {decode(one.payload).id: one.sequence for one in deliveries} == receipts
    assert [one.sequence for one in deliveries] == list(range(1, len(receipts) + 1))


async def test_a_minority_accepts_nothing(cluster: Servers, cluster_bus: NatsBus, make_event: MakeEvent) -> None:
    before = await cluster_bus.publish(make_event())
    leader = await leader_of(cluster_bus)
    followers = [name for name in cluster.names if name != leader]
    late = make_event()
    async with await connected(cluster, publish_deadline_seconds=2.0) as hasty:
        for name in followers:
            cluster.hold_up(name)
        with pytest.raises(BusUnavailable, match="publishing the same event again is safe"):
            await hasty.publish(late)
        for name in followers:
            cluster.go_on(name)
    again = await cluster_bus.publish(late)
    assert again.sequence == before.sequence + 1
    assert (await cluster_bus.state()).messages == 2


@pytest.mark.skipif(os.environ.get("ROOKERY_TEST_CLUSTER") != "all", reason="ROOKERY_TEST_CLUSTER=all: 10 s of waiting")
async def test_work_is_handed_out_when_the_server_that_did_so_is_gone(cluster: Servers, cluster_bus: NatsBus) -> None:
    def task(number: int) -> Event:
        return Event.of(AssignmentCreated(kind="review"), subject=f"as-{number}", source="/agents/lead")

    await cluster_bus.give(task(0))
    works = cluster_bus.work("review", in_hand_max=4)
    await (await anext(works)).done()
    waiting: asyncio.Task[Work] = asyncio.ensure_future(anext(works))
    await asyncio.sleep(0.1)
    cluster.kill(await leader_of(cluster_bus))
    for number in range(1, 4):
        await cluster_bus.give(task(number))
    done = [await waiting, await anext(works), await anext(works)]
    assert sorted(work.event.subject for work in done) == ["as-1", "as-2", "as-3"]
    for work in done:
        await work.done()
    await works.aclose()


async def test_the_state_says_who_leads_and_who_is_gone(cluster: Servers, cluster_bus: NatsBus) -> None:
    found = await once_whole(cluster_bus)
    assert (found.size, {found.leader, *(one.server for one in found.replicas)}) == (3, {"a", "b", "c"})
