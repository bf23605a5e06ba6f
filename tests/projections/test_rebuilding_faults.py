"""Whatever happens while one version of the read models replaces another: the next start has them all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rookery.eventstore import Log
from rookery.projections import ProjectionError, Projections, RebuildFailed
from rookery.schemas import Event, MessageRecorded
from rookery.tests.eventstore.faults import CountingDisk, FullDisk
from rookery.tests.projections.dying import Way, dies, few_opened, go
from rookery.tests.small_disk import small_disk

from .colony import Colony, fact

WAYS: list[Way] = ["rebuild", "roll_back"]
TOUCHES_MIN = 10
ROOM_STEP_KIB = 192


def messages(first: int, last: int) -> list[Event]:
    said = [MessageRecorded(run_id="r", step=n, role="user", content="said") for n in range(first, last)]
    return [fact(one, f"m-{one.step}", one.step) for one in said]


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    """A log whose read models were rebuilt once, so that there is a way back, and of which something is not folded."""
    with Colony(tmp_path) as colony:
        colony.append(messages(0, 40))
        with few_opened(colony.path, colony.log) as projections:
            projections.catch_up()
            projections.rebuild()
        colony.append(messages(40, 50))
        yield colony


def assert_whole(projections: Projections, colony: Colony) -> None:
    """The tables answered at once, and are what becomes of the log where nothing ever happened to it."""
    assert projections.vector()
    projections.catch_up()
    assert projections.vector() == colony.log.vector()
    assert projections.digests() == undisturbed(colony.log)


@cache
def undisturbed(log: Log) -> dict[str, str]:
    with TemporaryDirectory() as folder, few_opened(Path(folder) / "read-models.duckdb", log) as projections:
        projections.catch_up()
        return projections.digests()


@pytest.mark.parametrize("way", WAYS)
def test_a_process_may_be_killed_at_every_touch_of_the_disk(colony: Colony, way: Way) -> None:
    for touch in count():
        if not dies(colony.path, colony.folder / "log", way, touch):
            break
        with few_opened(colony.path, colony.log) as projections:
            assert_whole(projections, colony)
            assert not (colony.folder / "read-models.duckdb.rebuilt").exists()
            if not projections.previous:  # it was on its way when the process died
                projections.rebuild()
    assert touch > TOUCHES_MIN


def test_what_a_killed_rollback_left_in_a_write_ahead_log_meets_no_other_file(colony: Colony) -> None:
    assert dies(colony.path, colony.folder / "log", "roll_back", 0)
    assert (colony.folder / "read-models.duckdb.previous.wal").stat().st_size
    with few_opened(colony.path, colony.log) as projections:
        projections.rebuild()
        assert not (colony.folder / "read-models.duckdb.previous.wal").exists()
        colony.append(messages(50, 60))
        projections.roll_back()
        assert_whole(projections, colony)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("refusals", [1, 1_000], ids=["once", "until the disk is well"])
def test_a_disk_that_refuses_leaves_tables_that_answer_and_go_on(colony: Colony, way: Way, refusals: int) -> None:
    disk = FullDisk()
    with few_opened(colony.path, colony.log, disk) as projections:
        for touch in count(1):
            disk.touches, disk.first, disk.last = 0, touch, touch + refusals
            with suppress(RebuildFailed):  # unless all that failed was tidying up
                go(projections, way)
            if disk.touches < touch:
                break
            disk.last = 0
            assert_whole(projections, colony)
            if not projections.previous:
                projections.rebuild()
    assert touch > TOUCHES_MIN


def test_a_start_outlives_a_disk_that_refuses(colony: Colony) -> None:
    (colony.folder / "read-models.duckdb.rebuilt").write_bytes(b"left by a process that was killed")
    disk = CountingDisk()
    with few_opened(colony.path, colony.log, disk):
        touches = disk.touches
    for touch in range(1, touches + 1):
        with few_opened(colony.path, colony.log, FullDisk(touch, touch)) as projections:
            assert projections.catch_up().events == (10 if touch == 1 else 0)


def test_wherever_a_rebuild_runs_out_of_room_the_live_tables_answer_and_it_works_when_there_is_some(
    tmp_path: Path,
) -> None:
    folder, ballast = tmp_path / "small", tmp_path / "small" / "ballast"
    with small_disk(folder, size_mib=16) as fill_up, Colony(folder) as colony:
        colony.append(messages(0, 5_000))
        with few_opened(colony.path, colony.log) as projections:
            projections.catch_up()
            digests, refusals = projections.digests(), 0
            for room_kib in count(0, ROOM_STEP_KIB):
                fill_up()
                os.truncate(ballast, ballast.stat().st_size - room_kib * 1024)
                refusal = refusal_of(projections)
                ballast.unlink()
                assert projections.digests() == digests
                if not refusal:
                    break
                assert "no space left" in refusal.lower()
                refusals += 1
            assert refusals > 3
            assert_whole(projections, colony)
            assert projections.rebuild().changed == []


def refusal_of(projections: Projections) -> str:
    try:
        projections.rebuild()
    except ProjectionError as error:
        return str(error)
    return ""
