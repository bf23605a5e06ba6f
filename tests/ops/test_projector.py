"""The projector: it folds when it is woken, outlives what fails, and stops when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops.health import Health, HeldUp
from rookery.ops.projector import Projector
from rookery.projections import Folded, Projections
from rookery.schemas import Event, RunStarted, encode, subject_of


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log") as log:
        yield log


@pytest.fixture
def projections(tmp_path: Path, log: Log) -> Iterator[Projections]:
    with Projections.open(tmp_path / "projections.duckdb", log) as projections:
        yield projections


def append(log: Log, *names: str) -> None:
    first = log.vector().get("local", 0) + 1
    events = [Event.of(RunStarted(), subject=name, source="/a") for name in names]
    log.append(
        "local",
        [Delivery(first + i, subject_of(event), encode(event), datetime.now(UTC)) for i, event in enumerate(events)],
    )


def runs(projections: Projections) -> set[str]:
    return {row["run_id"] for row in projections.rows("runs").records()}


@asynccontextmanager
async def running(projections: Projections, health: Health) -> AsyncIterator[Projector]:
    projector = Projector(projections, health)
    task = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        task.cancel()
        await asyncio.wait([task])
        projector.close()


async def until(health: Health, state: str) -> str:
    while (part := health.subsystems.get("projector")) is None or part.state != state:
        await asyncio.sleep(0.01)
    return part.detail


async def test_what_the_log_holds_is_folded_at_the_start_and_when_it_grows(log: Log, projections: Projections) -> None:
    append(log, "before")
    health = Health()
    async with running(projections, health) as projector:
        await projector.wait_for(log.vector())
        assert runs(projections) == {"before"}
        append(log, "after")
        assert not projector.has(log.vector())
        projector.wake()
        await projector.wait_for(log.vector())
        assert runs(projections) == {"before", "after"}
        assert health.is_ready


async def test_a_fold_that_fails_is_shown_and_tried_again(log: Log, projections: Projections, tmp_path: Path) -> None:
    health = Health()
    async with running(projections, health) as projector:
        await until(health, "ready")
        # A file where the scratch folder was: no batch can be handed to DuckDB.
        scratch = tmp_path / "projections.duckdb.scratch"
        scratch.rename(tmp_path / "aside")
        scratch.touch()
        append(log, "late")
        projector.wake()
        assert await until(health, "failed")
        scratch.unlink()
        (tmp_path / "aside").rename(scratch)
        await projector.wait_for(log.vector())
        await until(health, "ready")
        assert runs(projections) == {"late"}


async def test_who_waits_for_a_part_that_stays_unwell_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.health.UNWELL_SECONDS_MAX", 0.0)
    health, forever = Health(), asyncio.Event()

    async def never() -> None:
        await forever.wait()

    health.set("projector", "failed", "the disk is full")
    with pytest.raises(HeldUp, match="projector is held up: the disk is full"):
        await health.while_well(never(), "ingest", "projector")


async def test_a_trickle_gathers_until_somebody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.projector.REST_SECONDS_MAX", 3_600.0)
    folds = OneByOne()
    projector = Projector(folds, Health())
    task = asyncio.create_task(projector.run())
    try:
        while not folds.folded:
            await asyncio.sleep(0.001)
        projector.wake()
        await asyncio.sleep(0.05)
        assert folds.folded == 1
        await projector.wait_for({"local": 2})
        assert folds.folded == 2
    finally:
        task.cancel()
        await asyncio.wait([task])
        projector.close()


class OneByOne:
    """Folds one event at a time, each in an hour as it says."""

    folded = 0

    def catch_up(self) -> Folded:
        self.folded += 1
        return Folded(1, 3_600.0)

    def vector(self) -> dict[str, int]:
        return {"local": self.folded}

    def stop(self) -> None:
        pass


async def test_closing_ends_a_fold_after_its_batch(tmp_path: Path) -> None:
    with (
        Log.open(tmp_path / "log", segment_events_max=100) as log,
        Projections.open(tmp_path / "projections.duckdb", log) as projections,
    ):
        append(log, *(f"run-{number}" for number in range(20_000)))
        log.seal_full_segments()  # a batch is a few sealed segments
        async with running(projections, Health()):
            while not projections.vector():
                await asyncio.sleep(0)
        assert 0 < projections.vector()["local"] < 20_000
