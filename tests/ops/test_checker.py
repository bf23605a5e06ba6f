"""A process beside the node finds what it would have found itself, and where there is none the node does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from rookery.eventstore import Disk, Log, MirrorRefused
from rookery.eventstore.arrivals import Arrivals, keys_of_segment
from rookery.eventstore.line import Chain
from rookery.eventstore.manifest import Entry
from rookery.ops.syncing import LogPeer, checker, pulling
from rookery.ops.syncing.checker import Checker
from rookery.schemas import decode
from rookery.tests.eventstore.deliveries import mixed
from rookery.tests.ops.test_syncing import Liar, edited, files, open_log, pull, told_of

FIRST = "00000000000000000001.ndjson.zst"


@pytest.fixture
def east(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "east") as log:
        log.append("east", mixed(60))
        log.seal_full_segments()
        yield log


@pytest.fixture
def west(tmp_path: Path) -> Iterator[Log]:
    with open_log(tmp_path, "west", 5) as log:
        yield log


@pytest.fixture
def checked_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "LONG_EVENTS", 1)

    def never(*_: object) -> list[int]:
        raise AssertionError("it was looked into here")

    monkeypatch.setattr(checker, "keys_of_segment", never)


@pytest.mark.usefixtures("checked_apart")
def test_a_long_pull_is_checked_apart_and_brings_the_same_bytes(east: Log, west: Log) -> None:
    assert pull(west, east, "west").wrong == []
    assert files(west) == files(east)
    held = [record for record in west.read("east") if record.letter is None]
    ids = {decode(record.payload).id: ("east", record.n) for record in held}
    assert west.find(ids) == ids


@pytest.mark.usefixtures("checked_apart")
def test_what_is_checked_apart_is_refused_all_the_same(east: Log, west: Log) -> None:
    forger = Liar(east, "manifest", lambda lines: edited(lines, merkle_root="0" * 64))
    assert "not the one that its line of the manifest tells of" in told_of(west, forger)
    assert west.vector().get("east", 0) == 0


@pytest.mark.parametrize("command", [["/nonexistent"], [sys.executable, "-c", ""]], ids=["no process", "it ends"])
def test_without_the_process_segments_are_looked_into_here(east: Log, command: Sequence[str]) -> None:
    path, entry, disk = east.folder / "east" / FIRST, first_entry(east), Disk()
    there = Checker(command)
    there.begin("east", entry, path.read_bytes(), Chain())
    here = keys_of_segment(path, entry, Arrivals("east", 0, Chain()), disk)
    assert there.keys(path, entry, Arrivals("east", 0, Chain()), disk) == here
    there.close()


def test_what_was_found_of_other_bytes_does_not_count(east: Log, tmp_path: Path) -> None:
    path, entry = east.folder / "east" / FIRST, first_entry(east)
    other = tmp_path / FIRST
    other.write_bytes(path.read_bytes()[:-1] + b"x")
    there = Checker()
    there.begin("east", entry, path.read_bytes(), Chain())
    with pytest.raises(MirrorRefused, match="hash is not the manifest's"):
        there.keys(other, entry, Arrivals("east", 0, Chain()), Disk())
    there.close()


def first_entry(log: Log) -> Entry:
    return msgspec.json.decode(log.manifest_lines("east")[0], type=Entry)


def test_a_pull_that_ends_leaves_no_process(east: Log, west: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "LONG_EVENTS", 1)
    begun = list[Checker]()
    keep = Checker.begin

    def begin(self: Checker, *asked: object) -> None:
        begun.append(self)
        keep(self, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Checker, "begin", begin)
    pull(west, LogPeer(east), "west")
    process = begun[0]._process
    assert process is not None
    assert process.poll() is not None
