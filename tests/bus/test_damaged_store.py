"""A bit of nats-server's store has flipped: it tells nobody unasked, but nothing is decided without what it lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rookery.bus import Entity, HistoryDamaged, NatsBus
from rookery.handlers.reactions import Decider
from rookery.ops.embedded import forget_what_is_lost
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.schemas import Event, InsightRecorded, encode
from rookery.tests.blocks import move_sequence
from rookery.tests.handlers.reactions.test_deciding import COUNTS, count, counts

BLOCK = "nats/jetstream/$G/streams/EVENTS/msgs/1.blk"
ONE = Entity("insight", "x")


@asynccontextmanager
async def bus_on(folder: Path) -> AsyncIterator[NatsBus]:
    async with await NatsServer.start(folder, port=ANY_FREE_PORT) as server, await NatsBus.connect(server.url) as bus:
        yield bus


@pytest.fixture
async def told(tmp_path: Path) -> list[Event]:
    """Five events of one entity, the third of which the bus no longer gives."""
    events = [
        Event.of(InsightRecorded(kind="count", text=f"task {at}"), subject=ONE.id, source="/agents/a")
        for at in range(5)
    ]
    async with bus_on(tmp_path) as bus:
        for event in events:
            await bus.publish(event)
    data = bytearray((tmp_path / BLOCK).read_bytes())
    data[data.index(b"task 2")] ^= 1
    (tmp_path / BLOCK).write_bytes(data)
    return events


async def test_a_history_says_how_many_of_its_events_the_bus_does_not_give(told: list[Event], tmp_path: Path) -> None:
    async with bus_on(tmp_path) as bus:
        history = await bus.history(ONE)
        assert (len(history.deliveries), history.sequence, history.missing) == (4, 5, 1)
        assert (await bus.history(Entity("insight", "y"))).missing == 0


async def test_nothing_is_decided_without_them(told: list[Event], tmp_path: Path) -> None:
    async with bus_on(tmp_path) as bus:
        with pytest.raises(HistoryDamaged, match="lost 1 of the events of insight/x"):
            await Decider(bus, COUNTS, source="/nodes/local").handle(count())


async def test_a_log_that_has_them_stands_in_for_the_bus(told: list[Event], tmp_path: Path) -> None:
    async def earlier(entity: Entity, missing: int) -> list[Event]:
        return told if missing else []

    async with bus_on(tmp_path) as bus:
        decided = await Decider(bus, COUNTS, source="/nodes/local", earlier=earlier).handle(count())
        assert decided.sequence == 6
        assert (await counts(bus))[-1] == "5"


async def test_a_server_that_found_its_store_damaged_is_started_once_more_and_gives_what_it_acknowledges(
    told: list[Event], tmp_path: Path
) -> None:
    move_sequence(tmp_path, 2, bit=6)
    async with await NatsServer.start(tmp_path, port=ANY_FREE_PORT) as server:
        assert await forget_what_is_lost(server) == {"EVENTS": 4}
        assert await forget_what_is_lost(server) == {}
        async with await NatsBus.connect(server.url) as bus:
            receipt = await bus.publish(told[1])
            given = await bus.first_after(receipt.sequence - 1)
            assert given is not None
            assert (given.sequence, given.payload) == (receipt.sequence, encode(told[1]))
            assert await bus.first_after(receipt.sequence) is None
