"""Every touch of a disk may fail or be the last, while a log is archived, trimmed, read and restored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.eventstore import ArchiveError, Disk, Log, LogWriteFailed
from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import FolderStore, open_store
from rookery.tests.eventstore.archive.logs import LATER, filled, lines_of, opened
from rookery.tests.eventstore.deliveries import many
from rookery.tests.eventstore.faults import CountingDisk, Crash, DyingDisk, FullDisk

EVENTS = 10

Start = Callable[[Path], list[bytes]]


def work(folder: Path, disk: Disk) -> None:
    """What a node does with a log that was archived before and has grown since: all of it on one disk."""
    with opened(folder / "log", disk=disk) as log:
        store = FolderStore(folder / "cold", disk)
        catalogue = archive(log, store).catalogue
        trim(log, store, catalogue, before=LATER)
        lines_of(log)
    restore(store, folder / "new", disk=disk)


def begun(folder: Path) -> list[bytes]:
    """Archive a log, and let it grow; what is in it then."""
    with filled(folder / "log", EVENTS) as log:
        archive(log, open_store(str(folder / "cold")))
        log.append("here", many(15, first=100))
        log.seal_full_segments()
        return lines_of(log)["here"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Makes copies of a begun log, and of its archive."""
    template = tmp_path_factory.mktemp("begun")
    expected = begun(template)

    def copy(folder: Path) -> list[bytes]:
        shutil.copytree(template, folder)
        return expected

    return copy


def touches_of_the_work(folder: Path) -> int:
    disk = CountingDisk()
    work(folder, disk)
    return disk.touches


def assert_nothing_is_lost(folder: Path, expected: list[bytes]) -> None:
    """The log is whole, its archive can be restored, and all of the work can be done again."""
    restored = restore(open_store(str(folder / "cold")), folder / "restored")
    assert read(folder / "restored") == expected[: restored.vector["here"]]
    if (folder / "new").exists():
        assert read(folder / "new") == expected
        (folder / "new").rename(folder / "found")
    work(folder, CountingDisk())
    assert read(folder / "log") == expected
    assert read(folder / "new") == expected


def read(folder: Path) -> list[bytes]:
    with opened(folder, writable=False) as log:
        return lines_of(log)["here"]


@pytest.mark.parametrize("loses_unsynced", [False, True], ids=["process", "machine"])
def test_a_crash_at_any_touch_loses_nothing(tmp_path: Path, start: Start, loses_unsynced: bool) -> None:
    start(tmp_path / "counted")
    touches = touches_of_the_work(tmp_path / "counted")
    assert touches > 60
    for first in range(1, touches + 1):
        folder = tmp_path / str(first)
        expected = start(folder)
        with pytest.raises(Crash):
            work(folder, DyingDisk(first, loses_unsynced=loses_unsynced))
        assert_nothing_is_lost(folder, expected)


@pytest.mark.parametrize("refusals", [1, 5])
def test_a_refusal_at_any_touch_loses_nothing(tmp_path: Path, start: Start, refusals: int) -> None:
    start(tmp_path / "counted")
    failures = 0
    for first in range(1, touches_of_the_work(tmp_path / "counted") + 1):
        folder = tmp_path / str(first)
        expected = start(folder)
        try:
            work(folder, FullDisk(first, first + refusals - 1))
        except (ArchiveError, LogWriteFailed):
            failures += 1
        assert_nothing_is_lost(folder, expected)
    assert failures > 30


def test_a_full_archive_is_named_and_nothing_is_trimmed(tmp_path: Path) -> None:
    with filled(tmp_path / "log") as log:
        before = files_of(log)
        with pytest.raises(ArchiveError, match=r"log/here/0+1\.ndjson\.zst.*No space left on device; make room there"):
            archive(log, FolderStore(tmp_path / "cold", FullDisk(3, 2**62)))
        assert files_of(log) == before


def test_a_disk_that_has_no_room_for_it_fetches_nothing(tmp_path: Path) -> None:
    class Crowded(Disk):
        def free_bytes(self, folder: Path) -> int:
            return 2**20

    with filled(tmp_path / "log") as log:
        store = open_store(str(tmp_path / "cold"))
        trim(log, store, archive(log, store).catalogue, before=LATER)
    with opened(tmp_path / "log", disk=Crowded()) as log, pytest.raises(LogWriteFailed, match="only 1 MiB are free"):
        log.get("here", 1)


def files_of(log: Log) -> list[Path]:
    return sorted(log.folder.glob("here/*ndjson*"))
