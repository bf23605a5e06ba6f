"""Verifying lines: sealed ones against chain, order and Merkle root, those that are not sealed against their chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from ..disk import Disk
from ..errors import LogDamaged
from ..frames import Frame, FramedFile
from ..line import Chain, Record, is_next, number_in, parse
from ..manifest import Entry
from ..merkle import MerkleTree
from ..parts import READ_SIZE_BYTES, plain_name
from ..recovery import UNWRITTEN
from .findings import Finding, Kind


class Located(NamedTuple):
    """Where in a sealed file the damage is."""

    first: int
    last: int
    offset: int | None
    what: str


def locate(path: Path, first: int, last: int, disk: Disk, chain: Chain, end: str | UnsetType = UNSET) -> Located:
    """The events `first` to `last` that a damaged file no longer has: those of frames that don't decode, or whose
    lines don't follow on the ones before, the first of them on `chain`; all, where neither tells.

    `end` is the chain at the last line: who comes to it from behind the damage knows that what follows is sound.
    """
    try:
        file = FramedFile(path, disk)
    except (LogDamaged, OSError):
        return Located(first, last, None, "")
    numbers = [_first_in(file, frame) for frame in file.frames]
    bad = [index for index, number in enumerate(numbers) if number is None]
    if not bad:
        return _altered(file, first, last, chain, end)
    before, behind = numbers[: bad[0]], numbers[bad[-1] + 1 :]
    offset = file.frames[bad[0]].offset
    return Located(
        first if not before else _first_behind(file, bad[0] - 1, first),
        behind[0] - 1 if behind and behind[0] else last,
        offset,
        f", and what is at byte {offset:,} does not decode",
    )


def _altered(file: FramedFile, first: int, last: int, chain: Chain, end: str | UnsetType) -> Located:
    lines = [line for frame in file.frames for line in file.decode(frame)]
    altered = [n for n, line in enumerate(lines, first) if not is_next(line, n, chain)]
    if not altered:
        return Located(first, last, None, "")
    are_sound = len(lines) == last - first + 1 and chain.at == end
    what = f", and the line of event {altered[0]} is not the one that follows the line before it"
    return Located(altered[0], altered[-1] if are_sound else last, None, what)


def _first_in(file: FramedFile, frame: Frame) -> int | None:
    try:
        return number_in(file.decode(frame)[0])
    except (LogDamaged, ValueError, OSError):
        return None


def _first_behind(file: FramedFile, index: int, first: int) -> int:
    try:
        return number_in(file.decode(file.frames[index])[-1]) + 1
    except (LogDamaged, ValueError, OSError):
        return first


class SealedLines:
    """Holds one origin's sealed lines, segment by segment, against each other and against the manifest."""

    def __init__(self, folder: Path, origin: str, disk: Disk, watch: Callable[[int], object]) -> None:
        self._folder = folder
        self._origin = origin
        self._disk = disk
        self._watch = watch
        self._before: Record | None = None

    def check(self, entry: Entry, chain: Chain) -> Iterator[Finding]:
        """What is wrong with the lines of a segment; `chain` is the one before it, and moves on to its end."""
        tree, n, size_bytes = MerkleTree(), entry.first, 0
        altered: list[int] = []
        times: list[datetime] = []
        file = FramedFile(self._folder / entry.segment, self._disk)
        for frame in file.frames:
            for line in file.decode(frame):
                record = self._parsed(line)
                if not is_next(line, n, chain) or record is None:
                    altered.append(n)
                tree.add(line)
                size_bytes += len(line) + 1
                if record is not None:
                    times = [*times[:1], record.recorded_time]
                    yield from self._sequence(record, entry)
                    self._before = record
                n += 1
            self._watch(frame.compressed_bytes)
        if altered:
            what = f"the line of event {altered[0]} is not the one that follows the line before it"
            yield self._finding(entry, "lines_altered", what, altered[0], altered[-1])
        yield from self._totals(entry, tree, n - 1, size_bytes, times, chain)

    def _totals(
        self, entry: Entry, tree: MerkleTree, last: int, size_bytes: int, times: list[datetime], chain: Chain
    ) -> Iterator[Finding]:
        """What the manifest says of all the lines together."""
        if tree.root() != entry.merkle_root:
            what = "its lines are not those of the manifest's Merkle root"
            yield self._finding(entry, "segment_root", what, entry.first, entry.last)
        said = (entry.last, entry.bytes, entry.first_recordedtime, entry.last_recordedtime)
        if said != (last, size_bytes, *times[:1], *times[-1:]):
            what = "the manifest has another number, size or time of its lines"
            yield self._finding(entry, "segment_root", what, entry.first, entry.last)
        if isinstance(entry.chain, str) and entry.chain != chain.at:
            what = "the manifest has another chain at its last line"
            yield self._finding(entry, "segment_root", what, entry.first, entry.last)

    def _sequence(self, record: Record, entry: Entry) -> Iterator[Finding]:
        """The bus's sequence goes back where its stream was made anew; but then the bus stored the event later."""
        before = self._before
        if before and record.sequence <= before.sequence and record.recorded_time < before.recorded_time:
            what = (
                f"event {record.n} came with the bus's sequence {record.sequence} after {before.sequence}, and is "
                "older: no stream that was made anew explains it, unless its clock had been set back"
            )
            yield self._finding(entry, "sequence_reused", what, record.n, record.n)

    def _parsed(self, line: bytes) -> Record | None:
        try:
            return parse(self._origin, line)
        except ValueError:
            return None

    def _finding(self, entry: Entry, kind: Kind, what: str, first: int, last: int) -> Finding:
        file = f"{self._origin}/{entry.segment}"
        return Finding(kind=kind, origin=self._origin, file=file, what=what, first=first, last=last)


class OpenLines:
    """Holds the lines that are not sealed against each other; nothing behind `limit` is looked at."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        disk: Disk,
        chain: Chain,
        limit: int | None,
        watch: Callable[[int], object],
    ) -> None:
        self.last = 0
        self._folder = folder
        self._origin = origin
        self._disk = disk
        self._chain = chain
        self._limit = limit
        self._watch = watch

    def check(self, first: int, end: int) -> Iterator[Finding]:
        """What is wrong with the file that begins with `first`, where `end` is the last line before it."""
        self.last = first - 1
        if first > end + 1:
            self._chain.at = None
            yield self._missing(first, None, end + 1, first - 1)
        altered: tuple[int, int, int] | None = None
        for offset, line in self._lines(first):
            n = self.last + 1
            number = _number(line)
            if number is None and UNWRITTEN in line and self._limit is None and altered is None:
                return  # blocks that a crash kept from being filled: who was promised more is told by the position
            if number is not None and number > n:
                self._chain.at = None
                yield self._missing(first, offset, n, number - 1)
                n = number
            self.last = n
            if not is_next(line, n, self._chain):
                if number is None:
                    self._chain.at = None
                altered = (altered[0], n, altered[2]) if altered else (n, n, offset)
        if altered:
            what = f"the line of event {altered[0]} is not the one that was appended"
            begin, last, offset = altered
            yield self._finding(first, "lines_altered", what, begin, last, offset)

    def _lines(self, first: int) -> Iterator[tuple[int, bytes]]:
        """The whole lines up to the limit, each with where it begins."""
        path = self._folder / plain_name(first)
        offset, rest = 0, b""
        while chunk := self._disk.read(path, offset + len(rest), READ_SIZE_BYTES):
            self._watch(len(chunk))
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if self._limit is not None and self.last >= self._limit:
                    return
                yield offset, line
                offset += len(line) + 1

    def _missing(self, first: int, offset: int | None, begin: int, last: int) -> Finding:
        what = f"the lines of the events from {begin} to {last} are not there"
        return self._finding(first, "lines_missing", what, begin, last, offset)

    def _finding(self, first: int, kind: Kind, what: str, begin: int, last: int, offset: int | None) -> Finding:
        file = f"{self._origin}/{plain_name(first)}"
        return Finding(kind=kind, origin=self._origin, file=file, what=what, first=begin, last=last, offset=offset)


def _number(line: bytes) -> int | None:
    try:
        return number_in(line)
    except ValueError:
        return None
