"""Ingest: what the bus acknowledged reaches the log, once, in order, whatever happens in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import BusUnavailable, Delivery, MemoryBus, StreamState
from rookery.eventstore import BusRegressed, Disk, Ingest, Log
from rookery.schemas import encode
from rookery.tests.eventstore.deliveries import event
from rookery.tests.eventstore.faults import FullDisk

PATIENCE_SECONDS = 20


@asynccontextmanager
async def running(ingest: Ingest) -> AsyncIterator[Ingest]:
    work = asyncio.create_task(ingest.run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield ingest
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError, BusRegressed):
            await work


async def run_for_a_while(ingest: Ingest) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ingest.run()


async def publish(bus: MemoryBus, first: int, last: int) -> None:
    for at in range(first, last + 1):
        await bus.publish(event(f"run-{at}", at=at))


def logged(log: Log) -> list[bytes]:
    return [record.payload for record in log.read("here")]


def published(first: int, last: int) -> list[bytes]:
    return [encode(event(f"run-{at}", at=at)) for at in range(first, last + 1)]


async def until(holds: Callable[[], bool], ingest: Ingest) -> None:
    """Wait for a change of the ingest's status after which something holds."""
    async with ingest._changed:
        await ingest._changed.wait_for(holds)


async def test_what_is_published_is_in_the_log_once_waited_for(log: Log) -> None:
    bus, appended = MemoryBus(), asyncio.Event()
    await publish(bus, 1, 10)
    async with running(Ingest(bus, log, "here", on_append=appended.set)) as ingest:
        await ingest.wait_for(10)
        assert logged(log) == published(1, 10)
        appended.clear()
        await publish(bus, 11, 30)
        await appended.wait()
        await ingest.wait_for(30)
        assert logged(log) == published(1, 30)
        assert await ingest.lag() == 0
        assert (ingest.status.state, ingest.position, ingest.status.events) == ("running", 30, 30)


async def test_ingest_goes_on_where_the_log_ends(log: Log) -> None:
    bus = MemoryBus()
    for first in (1, 11, 21):
        await publish(bus, first, first + 9)
        async with running(Ingest(bus, log, "here")) as ingest:
            await ingest.wait_for(first + 9)
            assert ingest.status.events == 10
    assert logged(log) == published(1, 30)
    assert log.vector() == {"here": 30}


async def test_full_segments_are_sealed_beside_the_appends(log: Log) -> None:
    bus = MemoryBus()
    await publish(bus, 1, 50)
    async with running(Ingest(bus, log, "here")) as ingest:
        await ingest.wait_for(50)
    async with running(Ingest(bus, log, "here")) as ingest:  # what was left unsealed is sealed on the next start
        while log.has_full_segments:
            await asyncio.sleep(0)
    assert [part.last for part in log.segments("here")] == [8, 16, 24, 32, 40, 48]


async def test_ending_does_not_wait_for_the_pauses_of_sealing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.eventstore.ingest.SEALING_SHARE", 1e-9)  # pauses of many hours
    bus = MemoryBus()
    await publish(bus, 1, 8)
    async with running(Ingest(bus, log, "here")) as ingest:
        await ingest.wait_for(8)
        while not list(log.folder.glob("here/*.tmp")):  # sealing has begun, and pauses
            await asyncio.sleep(0)
    assert [part.last for part in log.segments("here")] == [8]


async def test_on_a_full_disk_ingest_waits_and_skips_nothing(tmp_path: Path) -> None:
    disk = FullDisk()
    log, bus = Log.open(tmp_path, segment_events_max=8, disk=disk), MemoryBus()
    async with running(Ingest(bus, log, "here", retry_seconds_max=0.05)) as ingest:
        await publish(bus, 1, 5)
        await ingest.wait_for(5)
        disk.first, disk.last = disk.touches + 1, 2**62
        await publish(bus, 6, 20)
        await until(lambda: ingest.status.state == "failing", ingest)
        assert "No space left on device" in ingest.status.reason
        assert logged(log) == published(1, ingest.position)
        disk.last = 0
        await ingest.wait_for(20)
        assert ingest.status.state == "running"
        assert ingest.status.reason == ""
    assert logged(log) == published(1, 20)
    log.close()


async def test_a_bus_that_was_made_anew_stops_ingest_and_says_what_to_do(log: Log) -> None:
    await ingest_all(log, count=10)
    anew = MemoryBus()
    await publish(anew, 11, 14)
    ingest = Ingest(anew, log, "here")
    with pytest.raises(BusRegressed, match="the bus ends at 4") as raised:
        await run_for_a_while(ingest)
    assert (raised.value.origin, raised.value.position) == ("here", 10)
    assert "restore its store" in ingest.status.reason
    assert ingest.status.state == "failed"
    with pytest.raises(BusRegressed):
        await ingest.wait_for(11)
    assert logged(log) == published(1, 10)


async def test_a_bus_that_was_made_anew_and_has_grown_since_is_recognised(log: Log) -> None:
    await ingest_all(log, count=10)
    anew = MemoryBus()
    await publish(anew, 101, 130)
    with pytest.raises(BusRegressed, match="another event at 10"):
        await run_for_a_while(Ingest(anew, log, "here"))
    assert logged(log) == published(1, 10)


async def test_where_the_loss_is_accepted_the_bus_is_read_again_and_nothing_is_doubled(log: Log) -> None:
    await ingest_all(log, count=10)
    anew = MemoryBus()
    await publish(anew, 8, 25)  # some that the log has, some that it has not
    async with running(Ingest(anew, log, "here", accept_regression=True)) as ingest:
        await ingest.wait_for(18)
        assert (ingest.status.events, ingest.status.duplicates) == (15, 3)
    assert logged(log) == published(1, 25)
    assert [record.n for record in log.read("here")] == list(range(1, 26))
    async with running(Ingest(anew, log, "here")) as ingest:  # from here on it is the new bus that the log follows
        await publish(anew, 26, 26)
        await ingest.wait_for(19)
    assert logged(log) == published(1, 26)


async def ingest_all(log: Log, *, count: int) -> None:
    bus = MemoryBus()
    await publish(bus, 1, count)
    async with running(Ingest(bus, log, "here")) as ingest:
        await ingest.wait_for(count)


class ExchangedBus(MemoryBus):
    """A bus whose stream can be made anew, or made unreachable, while it is being read."""

    unreachable = False

    def make_anew(self) -> None:
        self._created = MemoryBus()._created
        self._events = [delivery._replace(stored_at=self._created) for delivery in self._events]

    async def state(self) -> StreamState:
        if self.unreachable:
            raise BusUnavailable("memory:", "unplugged")
        return await super().state()


async def test_a_stream_that_is_made_anew_under_ingest_is_noticed(log: Log) -> None:
    bus = ExchangedBus()
    await publish(bus, 1, 5)
    ingest = Ingest(bus, log, "here", check_seconds=0.01)
    work = asyncio.create_task(run_for_a_while(ingest))
    await ingest.wait_for(5)
    bus.make_anew()
    with pytest.raises(BusRegressed, match="made anew"):
        await work
    assert logged(log) == published(1, 5)


class LeakyBus(MemoryBus):
    """A bus that silently lost one event, as a flipped bit can make it."""

    async def read(self, **wanted: Any) -> AsyncIterator[list[Delivery]]:  # type: ignore[override]
        async for batch in super().read(**wanted):
            if kept := [delivery for delivery in batch if delivery.sequence != 3]:
                yield kept


async def test_an_event_that_the_bus_lost_is_counted(log: Log) -> None:
    bus = LeakyBus()
    await publish(bus, 1, 6)
    async with running(Ingest(bus, log, "here")) as ingest:
        await ingest.wait_for(6)
        assert ingest.status.missing == 1
    assert [record.sequence for record in log.read("here")] == [1, 2, 4, 5, 6]
    assert log.vector() == {"here": 5}


async def test_an_unreachable_bus_is_waited_for(log: Log) -> None:
    bus = ExchangedBus()
    bus.unreachable = True
    await publish(bus, 1, 5)
    async with running(Ingest(bus, log, "here", retry_seconds_max=0.05)) as ingest:
        await until(lambda: ingest.status.state == "failing", ingest)
        assert "unplugged" in ingest.status.reason
        bus.unreachable = False
        await ingest.wait_for(5)
        assert ingest.status.state == "running"


class FalteringBus(MemoryBus):
    """A bus that gives one event at a time, and then becomes unreachable for a moment."""

    async def read(self, **wanted: Any) -> AsyncIterator[list[Delivery]]:  # type: ignore[override]
        async for batch in super().read(**wanted):
            yield batch[:1]
            raise BusUnavailable("memory:", "unplugged")


async def test_pauses_begin_short_again_once_something_was_read(log: Log) -> None:
    bus = FalteringBus()
    await publish(bus, 1, 12)
    async with running(Ingest(bus, log, "here", retry_seconds_max=PATIENCE_SECONDS)) as ingest:
        await ingest.wait_for(12)  # with pauses that only grow, this would take minutes
    assert logged(log) == published(1, 12)


class HeldDisk(Disk):
    """A disk whose fsync, once `hold` is called, takes until it is let go."""

    def __init__(self) -> None:
        self.reached, self._free = threading.Event(), threading.Event()
        self._free.set()

    def hold(self) -> None:
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    def fsync(self, descriptor: int) -> None:
        if not self._free.is_set():
            self.reached.set()
            assert self._free.wait(PATIENCE_SECONDS)
        super().fsync(descriptor)


async def test_a_cancelled_ingest_waits_for_its_append(tmp_path: Path) -> None:
    disk, bus = HeldDisk(), MemoryBus()
    with Log.open(tmp_path, disk=disk) as log:
        log.append("here", [])
        await publish(bus, 1, 5)
        disk.hold()
        work = asyncio.create_task(Ingest(bus, log, "here").run())
        assert await asyncio.to_thread(disk.reached.wait, PATIENCE_SECONDS)
        work.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not work.done()
        assert logged(log) == []
        disk.let_go()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert logged(log) == published(1, 5)


async def test_what_arrives_during_an_fsync_shares_the_next_one(tmp_path: Path) -> None:
    disk, bus, groups = HeldDisk(), MemoryBus(), asyncio.Queue[int]()
    with Log.open(tmp_path, disk=disk) as log:
        log.append("here", [])
        ingest = Ingest(bus, log, "here", on_append=lambda: groups.put_nowait(ingest.position))
        async with running(ingest):
            disk.hold()
            await publish(bus, 1, 1)
            assert await asyncio.to_thread(disk.reached.wait, PATIENCE_SECONDS)
            await publish(bus, 2, 10)
            disk.let_go()
            await ingest.wait_for(10)
        assert 1 < groups.qsize() < 10
