"""Side-cars are made beside all else: when a segment was sealed, where the disk has room, again if one failed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops import side_cars as making
from rookery.ops.side_cars import SideCarMaker
from rookery.projections import SideCars
from rookery.schemas import Event, RunStarted, encode, subject_of

SEGMENT_EVENTS = 4
ORIGIN = "local"


def append_and_seal(log: Log, events: int) -> None:
    first = log.vector().get(ORIGIN, 0) + 1
    made = [Event.of(RunStarted(), subject=f"run-{first + number}", source="/a") for number in range(events)]
    now = datetime.now(UTC)
    log.append(ORIGIN, [Delivery(first + i, subject_of(one), encode(one), now) for i, one in enumerate(made)])
    log.seal_full_segments()


class Watched:
    """A pace without pauses that tells when so many side-cars were made or tried."""

    def __init__(self) -> None:
        self._tried = 0
        self._changed = threading.Condition()

    def __call__(self, _: float) -> float:
        with self._changed:
            self._tried += 1
            self._changed.notify_all()
        return 0.0

    async def until(self, tried: int) -> None:
        await asyncio.to_thread(self._wait, tried)

    def _wait(self, tried: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._tried >= tried, 60)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log", segment_events_max=SEGMENT_EVENTS) as log:
        yield log


@pytest.fixture
def side_cars(tmp_path: Path, log: Log) -> SideCars:
    return SideCars(tmp_path / "columns", log)


@asynccontextmanager
async def running(maker: SideCarMaker) -> AsyncIterator[None]:
    task = asyncio.create_task(maker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        maker.close()


async def test_what_is_sealed_gets_a_side_car_at_the_start_and_whenever_it_is_woken(
    log: Log, side_cars: SideCars
) -> None:
    append_and_seal(log, 2 * SEGMENT_EVENTS)
    pace = Watched()
    maker = SideCarMaker(side_cars, pace)
    async with running(maker):
        await pace.until(2)
        assert side_cars.unmade() == 0
        append_and_seal(log, SEGMENT_EVENTS)
        maker.wake()
        await pace.until(3)
        assert side_cars.unmade() == 0


async def test_nothing_is_made_before_the_disk_has_room(
    log: Log, side_cars: SideCars, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(making, "RETRY_SECONDS_MIN", 0.01)
    monkeypatch.setattr(making, "ROOM_BYTES_MIN", 2**60)
    append_and_seal(log, SEGMENT_EVENTS)
    pace = Watched()
    async with running(SideCarMaker(side_cars, pace)):
        while "MiB are free" not in caplog.text:
            await asyncio.sleep(0.01)
        assert side_cars.unmade() == 1
        monkeypatch.setattr(making, "ROOM_BYTES_MIN", 0)
        await pace.until(1)
        assert side_cars.unmade() == 0


async def test_one_that_failed_is_tried_again(
    log: Log, side_cars: SideCars, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(making, "RETRY_SECONDS_MIN", 0.01)
    append_and_seal(log, SEGMENT_EVENTS)
    in_the_way = side_cars.folder / ORIGIN / "00000000000000000001.parquet"
    in_the_way.mkdir(parents=True)
    pace = Watched()
    async with running(SideCarMaker(side_cars, pace)):
        await pace.until(1)
        in_the_way.rmdir()
        while side_cars.unmade():
            await asyncio.sleep(0.01)
    assert "no side-car of events local:1 to 4" in caplog.text
