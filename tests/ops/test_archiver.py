"""The archiver: by itself when it is time, once at a time, and never in the way of a node that closes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.eventstore import ArchiveUnavailable, Log
from rookery.eventstore.archive import read_catalogue
from rookery.eventstore.stores import open_store
from rookery.ops import archiver as module
from rookery.ops.archiver import Archiver, ArchiveRunning, ArchivingStopped
from rookery.ops.health import Health
from rookery.ops.settings import Settings
from rookery.tests.eventstore.archive.logs import filled


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with filled(tmp_path / "data" / "log") as log:
        yield log


def archiver(log: Log, tmp_path: Path, health: Health, hours: float = 0.0) -> Archiver:
    settings = Settings(archive=str(tmp_path / "cold"), archive_hours=hours, archive_keep_days=0)
    return Archiver(tmp_path / "data", log, health, settings)


async def test_it_archives_and_trims_by_itself_when_it_is_time(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLING_SECONDS", 0)
    working = asyncio.create_task(archiver(log, tmp_path, Health(), hours=1).run())
    while log.tiering("here") is None:
        await asyncio.sleep(0.01)
    working.cancel()
    tiering = log.tiering("here")
    assert tiering
    assert tiering.cold > 0
    assert read_catalogue(open_store(str(tmp_path / "cold"))).vector == log.vector()


async def test_a_failure_is_told_and_tried_again(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLING_SECONDS", 0)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    health = Health()
    (tmp_path / "cold").write_bytes(b"in the way")
    working = asyncio.create_task(archiver(log, tmp_path, health, hours=1).run())
    while health.subsystems["archive"].state != "degraded":
        await asyncio.sleep(0.01)
    assert health.is_ready, "a node can do without"
    (tmp_path / "cold").unlink()
    while health.subsystems["archive"].state != "ready":
        await asyncio.sleep(0.01)
    working.cancel()
    assert log.tiering("here")


async def test_one_archiving_runs_at_a_time(log: Log, tmp_path: Path) -> None:
    ours = archiver(log, tmp_path, Health())
    first, second = await asyncio.gather(ours.archive(), ours.archive(), return_exceptions=True)
    assert isinstance(second, ArchiveRunning)
    assert not isinstance(first, BaseException)
    assert (await ours.archive()).copied_objects == 0


async def test_a_caller_that_goes_away_leaves_it_running(log: Log, tmp_path: Path) -> None:
    ours = archiver(log, tmp_path, Health())
    caller = asyncio.create_task(ours.archive())
    await asyncio.sleep(0)
    caller.cancel()
    while ours.progress is not None:
        await asyncio.sleep(0.01)
    assert read_catalogue(open_store(str(tmp_path / "cold"))).vector == log.vector()


async def test_a_node_that_closes_stops_it(log: Log, tmp_path: Path) -> None:
    health = Health()
    ours = archiver(log, tmp_path, health)
    ours.close()
    with pytest.raises(ArchivingStopped):
        await ours.archive()
    assert health.subsystems["archive"].state == "ready"


async def test_who_waits_for_a_slow_archive_is_told_that_the_node_closes(log: Log, tmp_path: Path) -> None:
    ours = archiver(log, tmp_path, Health())
    caller = asyncio.create_task(ours.archive())
    await asyncio.sleep(0)
    ours.close()
    caller.cancel()
    with pytest.raises(ArchivingStopped):
        await caller
    while ours.progress is not None:
        await asyncio.sleep(0.01)


async def test_what_it_cant_read_of_the_node_is_named(log: Log, tmp_path: Path) -> None:
    name = "0" * 64
    (tmp_path / "data" / "graph-imports" / f"{name}.ttl").parent.mkdir()
    (tmp_path / "data" / "graph-imports" / f"{name}.ttl").mkdir()
    with pytest.raises(ArchiveUnavailable, match=name):
        await archiver(log, tmp_path, Health()).archive()
