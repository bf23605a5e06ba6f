"""What only the archive has is read as if it were here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
from rookery.eventstore import ArchiveDamaged, ArchiveUnavailable, ColdLimit, Log, LogDamaged, LogWriteFailed, cold
from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import FolderStore, Store, open_store
from rookery.tests.eventstore.archive.logs import LATER, filled, lines_of, opened
from rookery.tests.eventstore.deliveries import deliver, event, many, moment

READER = """
import pathlib, sys
from rookery.eventstore import Log
with Log.open(pathlib.Path(sys.argv[1]), writable=False) as log:
    print(sum(1 for _ in log.read("here")))
"""


def trimmed(log: Log, store: Store) -> list[Path]:
    """Trim all that may be; the files that are gone."""
    before = set(log.folder.glob("here/*.zst"))
    trim(log, store, archive(log, store).catalogue, before=LATER)
    return sorted(before - set(log.folder.glob("here/*.zst")))


def test_old_segments_go_and_the_newest_stays(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        sealed = [segment.path for segment in log.segments("here")]
    with opened(tmp_path / "log") as log:
        assert trimmed(log, store) == sealed[:-1]


def test_only_what_was_complete_by_then_goes(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        catalogue = archive(log, store).catalogue
        assert trim(log, store, catalogue, before=moment(1)).segments == 0
        second = log.contents()["here"].sealed[1].entry
        assert trim(log, store, catalogue, before=second.last_recordedtime + timedelta(microseconds=1)).segments == 2
        assert trim(log, store, catalogue, before=LATER).segments == 0, "what remains is the newest"


WAYS: dict[str, Callable[[Log], object]] = {
    "read": lines_of,
    "get": lambda log: [log.get("here", n) for n in range(1, log.vector()["here"] + 1)],
    "search": lambda log: list(log.search(entity=("run", "run-1"))),
    "find": lambda log: log.find(["id-run-1"]),
    "dead letters": lambda log: list(log.dead_letters()),
    "paths": lambda log: [segment.path.read_bytes() for segment in log.segments("here")],
    "files": lambda log: [path.read_bytes() for path in log.files()],
    "moments": lambda log: [log.vector_at(moment(n)) for n in range(30)],
    "archive": lambda log: archive(log, open_store(str(log.folder.parent / "elsewhere"))).catalogue.origins,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("writable", [True, False], ids=["writer", "reader"])
def test_every_way_of_reading_spans_both_tiers(tmp_path: Path, store: Store, way: str, writable: bool) -> None:
    with filled(tmp_path / "log") as log:
        expected = WAYS[way](log)
    with opened(tmp_path / "log") as log:
        gone = trimmed(log, store)
        assert len(gone) >= 2
        if writable:
            assert WAYS[way](log) == expected
        else:
            with opened(tmp_path / "log", writable=False) as reader:
                assert WAYS[way](reader) == expected
    with opened(tmp_path / "log") as log:
        assert WAYS[way](log) == expected
        log.verify()


def test_a_reader_that_was_there_before_finds_what_is_gone_since(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log, opened(tmp_path / "log", writable=False) as reader:
        reading = reader.read("here")
        read = [next(reading).line]
        trimmed(log, store)
        read += [record.line for record in reading]
        assert read == lines_of(log)["here"]


def test_without_its_archive_a_node_starts_writes_and_reads_what_it_has(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        gone = trimmed(log, store)
        last = log.vector()["here"]
    (tmp_path / "cold").rename(tmp_path / "unmounted")
    with opened(tmp_path / "log") as log:
        assert log.dead_events() > 0, "which is told without a look at them"
        log.append("here", many(20, first=100))
        log.seal_full_segments()
        assert log.get("here", last + 20)
        with pytest.raises(ArchiveDamaged, match=gone[0].name):
            log.get("here", 1)
        (tmp_path / "unmounted").rename(tmp_path / "cold")
        assert log.get("here", 1)


def test_a_duplicate_of_what_only_the_archive_has_waits_for_it(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trimmed(log, store)
        (tmp_path / "cold").rename(tmp_path / "unmounted")
        again = [deliver(100, event("run-1", at=1)), *many(1, first=101)]
        with pytest.raises(LogWriteFailed, match=r"0+1\.ndjson\.zst"):
            log.append("here", again)
        (tmp_path / "unmounted").rename(tmp_path / "cold")
        assert log.append("here", again)[2:] == (1, 1)


def test_who_looks_for_an_old_event_in_a_slow_archive_holds_up_no_append(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = Event(), Event()

    class Slow(FolderStore):
        def get(self, name: str, size_bytes_max: int) -> bytes | None:
            asked.set()
            answer.wait()
            return super().get(name, size_bytes_max)

    with filled(tmp_path / "log") as log, ThreadPoolExecutor(1) as pool:
        trimmed(log, store)
        monkeypatch.setattr(cold, "open_store", lambda place, disk: Slow(Path(place), disk))
        looking = pool.submit(log.find, ["id-run-1"])
        asked.wait()
        log.append("here", many(3, first=100))
        answer.set()
        assert looking.result() == {"id-run-1": ("here", 1)}


def test_an_edited_copy_is_not_read(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        gone = trimmed(log, store)
        copy = tmp_path / "cold" / "log" / "here" / gone[0].name
        copy.write_bytes(copy.read_bytes()[::-1])
        with pytest.raises(ArchiveDamaged, match=f"{gone[0].name}.* bytes were changed"):
            log.get("here", 1)
        assert not gone[0].exists()


def test_nothing_is_trimmed_whose_copy_was_edited(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        catalogue = archive(log, store).catalogue
        before = sorted(log.folder.glob("here/*.zst"))
        copy = tmp_path / "cold" / "log" / "here" / before[1].name
        copy.write_bytes(copy.read_bytes()[::-1])
        with pytest.raises(ArchiveDamaged, match=before[1].name):
            trim(log, store, catalogue, before=LATER)
        assert sorted(log.folder.glob("here/*.zst")) == before
        archive(log, store, verify=True)
        assert trim(log, store, catalogue, before=LATER).segments == len(before) - 1


def test_a_segment_that_is_gone_and_was_not_trimmed_is_a_damage(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, store)
    next((tmp_path / "log" / "here").glob("*.zst")).unlink()
    with pytest.raises(LogDamaged, match="it is gone"):
        opened(tmp_path / "log")


def test_what_is_fetched_is_bounded(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(tmp_path / "log", 90) as log:
        gone = trimmed(log, store)
        assert len(gone) > 5
        sizes = {path: (tmp_path / "cold" / "log" / "here" / path.name).stat().st_size for path in gone}
        monkeypatch.setattr(cold, "FETCHED_BYTES_MAX", 3 * max(sizes.values()))
        assert len(lines_of(log)["here"]) == log.vector()["here"]
        assert 1 <= len([path for path in gone if path.exists()]) <= 3


def test_paths_that_were_handed_out_stay_good(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with filled(tmp_path / "log", 90) as log:
        gone = trimmed(log, store)
        size_bytes = max((tmp_path / "cold" / "log" / "here" / path.name).stat().st_size for path in gone)
        monkeypatch.setattr(cold, "FETCHED_BYTES_MAX", 3 * size_bytes)
        segments = log.segments("here")
        lent = [segments[0].path, segments[1].path]
        lines_of(log)
        assert all(path.exists() for path in lent)
        with pytest.raises(ColdLimit, match="more of the archive at once"):
            log.files()


def test_two_who_want_the_same_segment_fetch_it_once(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trimmed(log, store)
        barrier, found = Barrier(4), list[bytes]()

        def read() -> None:
            barrier.wait()
            record = log.get("here", 1)
            assert record
            found.append(record.line)

        threads = [Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert len(set(found)) == 1


def test_an_archive_is_moved_by_archiving_elsewhere(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        expected = lines_of(log)
        trimmed(log, store)
        elsewhere = open_store(str(tmp_path / "elsewhere"))
        trim(log, elsewhere, archive(log, elsewhere).catalogue)
        (tmp_path / "cold").rename(tmp_path / "unused")
        assert lines_of(log) == expected


def test_a_trimmed_log_is_restored_whole(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        expected = lines_of(log)
        trimmed(log, store)
        archive(log, store)
    restore(store, tmp_path / "new")
    with opened(tmp_path / "new") as log:
        assert lines_of(log) == expected


def test_a_folder_that_cant_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with filled(tmp_path / "log") as log, pytest.raises(ArchiveUnavailable, match=r"archive\.json"):
        archive(log, open_store(str(tmp_path / "file")))


def test_other_processes_read_both_tiers(tmp_path: Path, store: Store) -> None:
    with filled(tmp_path / "log") as log:
        trimmed(log, store)
        command = [sys.executable, "-c", READER, str(tmp_path / "log")]
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
        assert int(output) == log.vector()["here"]
