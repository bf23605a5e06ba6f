"""What a crash leaves behind is healed; whatever else is wrong is said, with what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.eventstore import Log, LogDamaged, LogWriteFailed
from rookery.tests.eventstore.deliveries import deliver, event, many
from rookery.tests.eventstore.faults import FullDisk

FIRST = "00000000000000000001.ndjson"
OPEN = "00000000000000000017.ndjson"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of two sealed segments and an open one with four lines."""
    with opened(tmp_path) as log:
        log.append("here", many(20))
        log.seal_full_segments()
    return tmp_path


def opened(folder: Path, **options: object) -> Log:
    return Log.open(folder, segment_events_max=8, **options)  # type: ignore[arg-type]


TORN = {
    "half a line": b'{"n":21,"seq":21,"recordedtime":"2026-11-20T12:00:21',
    "a line without its end": b'{"n":21,"seq":21,"recordedtime":"2026-11-20T12:00:21.000021Z","id":"x"}',
    "blocks that were never filled": bytes(4096),
    "a hole and what came after it": bytes(512) + b'21Z","id":"x"}\n{"n":22,"seq":22}\n',
    "a long tail": b'{"n":21,' + b"x" * 5_000,
}


@pytest.mark.parametrize("tail", TORN.values(), ids=TORN)
def test_a_torn_tail_is_cut_off_and_the_next_append_follows(folder: Path, tail: bytes) -> None:
    path = folder / "here" / OPEN
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with opened(folder) as log:
        assert log.vector() == {"here": 20}
        assert log.bus_sequence("here") == 20
        assert path.read_bytes() == whole
        log.append("here", [deliver(21, event("x"))])
    with opened(folder) as log:
        assert [record.n for record in log.read("here")] == list(range(1, 22))


def test_lines_that_were_durable_and_are_gone_are_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut_lines(folder / "here" / OPEN, 2, 4)
    with opened(folder) as log:
        assert "the events from 19 to 20, which were durable, are gone" in caplog.text
        log.append("here", many(20))
    caplog.clear()
    with opened(folder) as log:
        assert log.vector() == {"here": 20}
    assert caplog.text == ""


def test_a_torn_manifest_line_is_written_again(folder: Path) -> None:
    with opened(folder) as log:
        log.append("here", many(24))
    manifest = folder / "here" / "manifest.ndjson"
    with manifest.open("ab") as file:
        file.write(b'{"segment":"00000000000000000017.ndjson.zst","first":17,' + b" " * 1_000)
    with opened(folder) as log:
        assert [part.last for part in log.segments("here")] == [8, 16]
        assert log.seal_full_segments() == 1
        assert [part.last for part in log.segments("here")] == [8, 16, 24]
        assert manifest.read_bytes().count(b"\n") == 3
        assert manifest.read_bytes().endswith(b"}\n")
    with opened(folder) as log:
        assert [part.last for part in log.segments("here")] == [8, 16, 24]


def flip(path: Path, at: int) -> None:
    held = bytearray(path.read_bytes())
    held[at] ^= 1
    path.write_bytes(held)


def cut_lines(path: Path, begin: int, end: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:begin] + lines[end:]))


def swap_payloads(path: Path) -> None:
    first, second, *others = path.read_bytes().splitlines(keepends=True)
    cut = first.index(b'"specversion"'), second.index(b'"specversion"')
    swapped = [first[: cut[0]] + second[cut[1] :], second[: cut[1]] + first[cut[0] :]]
    path.write_bytes(b"".join([*swapped, *others]))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a line is missing": (lambda here: cut_lines(here / OPEN, 1, 2), "the line of event 18"),
    "a line is not the log's": (lambda here: flip(here / OPEN, 3), "the line of event 17"),
    "a sealed segment is gone": (lambda here: (here / f"{FIRST}.zst").unlink(), "it is gone"),
    "a sealed segment is cut short": (lambda here: os.truncate(here / f"{FIRST}.zst", 100), "100 bytes"),
    "the manifest is gone": (lambda here: (here / "manifest.ndjson").unlink(), "not in the manifest"),
    "a manifest line is gone": (lambda here: cut_lines(here / "manifest.ndjson", 0, 1), "was altered"),
    "a manifest line is altered": (lambda here: flip(here / "manifest.ndjson", 200), "altered"),
    "a manifest line is no JSON": (lambda here: flip(here / "manifest.ndjson", 0), "not a segment's"),
    "a byte of an open line is another": (lambda here: flip(here / OPEN, 200), "the line of event 17"),
    "two open lines are swapped in what they say": (lambda here: swap_payloads(here / OPEN), "the line of event 17"),
    "an open segment is gone": (
        lambda here: (here / OPEN).rename(here / "00000000000000000018.ndjson"),
        "from 17 to 17 are missing",
    ),
}


@pytest.mark.parametrize(("damage", "what"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_an_error_that_says_what_and_what_to_do(
    folder: Path, damage: Callable[[Path], object], what: str
) -> None:
    damage(folder / "here")
    before = {path.name: path.read_bytes() for path in (folder / "here").glob("*ndjson*")}
    with pytest.raises(LogDamaged, match=what) as raised:
        opened(folder)
    assert "restore" in raised.value.remedy
    assert {path.name: path.read_bytes() for path in (folder / "here").glob("*ndjson*")} == before


def test_damage_inside_a_sealed_segment_is_noticed_when_it_is_read(folder: Path) -> None:
    flip(folder / "here" / f"{FIRST}.zst", 60)
    with opened(folder) as log, pytest.raises(LogDamaged, match="does not decode"):
        list(log.read("here"))


def test_what_was_changed_in_an_open_segment_is_never_sealed_in(folder: Path) -> None:
    with opened(folder) as log:
        log.append("here", many(24))
        flip(folder / "here" / OPEN, 1_000)
        with pytest.raises(LogDamaged, match=r"event 20 is not the one that was appended.*restore it"):
            log.seal_full_segments()
        assert log.append("here", many(26)) == (25, 26, 2, 0)
        assert [part.last for part in log.segments("here")] == [8, 16]
        flip(folder / "here" / OPEN, 1_000)  # healed
        assert log.seal_full_segments() == 1
    with opened(folder) as log:
        assert [record.payload for record in log.read("here")] == [delivery.payload for delivery in many(26)]


def test_a_lost_file_is_noticed_when_it_is_read(folder: Path) -> None:
    with opened(folder) as log:
        (folder / "here" / f"{FIRST}.zst").unlink()
        with pytest.raises(LogDamaged, match="it is gone"):
            list(log.read("here"))
        with pytest.raises(LogDamaged, match="it is gone"):
            log.get("here", 3)


def test_any_change_to_a_sealed_segment_is_noticed_when_the_log_is_verified(folder: Path) -> None:
    sealed = folder / "here" / f"{FIRST}.zst"
    with opened(folder) as log:
        log.verify()
        flip(sealed, sealed.stat().st_size - 9)  # in the seek table, which says how many frames there are
        with pytest.raises(LogDamaged, match="hash is not the manifest's"):
            log.verify()


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    for name in ("notes.txt", "mine.ndjson", "1.ndjson"):
        (folder / "here" / name).write_text("mine")
    with opened(folder) as log:
        assert log.vector() == {"here": 20}
    assert (folder / "here" / "mine.ndjson").read_text() == "mine"


def test_garbage_that_could_not_be_cut_off_at_once_is_cut_off_before_the_next_write(tmp_path: Path) -> None:
    disk = FullDisk()
    log = opened(tmp_path, disk=disk)
    log.append("here", many(2))
    disk.first, disk.last = disk.touches + 1, disk.touches + 2  # the write, and cutting off what came through of it
    with pytest.raises(LogWriteFailed, match="No space left on device") as raised:
        log.append("here", many(6, first=3))
    assert raised.value.reason == "No space left on device"
    assert "nothing is lost" in str(raised.value)
    log.append("here", many(1, first=3))
    (path,) = log.files()
    assert path.read_bytes() == b"".join(record.line + b"\n" for record in log.read("here"))
    assert log.vector() == {"here": 3}
    log.close()


def test_what_an_append_made_durable_before_it_failed_stays(tmp_path: Path) -> None:
    disk = FullDisk()
    log = opened(tmp_path, disk=disk)
    log.append("here", many(6))
    disk.first, disk.last = disk.touches + 4, 2**62  # the second segment cannot be made
    with pytest.raises(LogWriteFailed):
        log.append("here", many(6, first=7))
    assert log.vector() == {"here": 8}
    assert log.bus_sequence("here") == 8
    disk.last = 0
    assert log.append("here", many(12)) == (9, 12, 4, 0)
    log.close()
