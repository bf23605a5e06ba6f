"""The manifest: a line per sealed segment, each with the hash of the one before, so that none can be altered alone."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType

from .disk import Disk
from .errors import REMEDY, LogDamaged

NAME = "manifest.ndjson"
BEFORE_THE_FIRST = "0" * 64


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says of one sealed segment. `bytes` counts its lines as they were before compression.

    `chain` is the one at its last line; it is left out where that line is of the first version.
    """

    segment: str
    first: int
    last: int
    events: int
    bytes: int
    compressed_bytes: int
    first_recordedtime: datetime
    last_recordedtime: datetime
    sha256: str
    merkle_root: str
    chain: str | UnsetType = UNSET
    previous: str = BEFORE_THE_FIRST


class Manifest:
    """An origin's manifest, checked when it is read: an unbroken chain over n's without holes."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._lines = self._read()
        self.entries = [self.decode(line) for line in self._lines]
        self._check_chain()

    def append(self, entry: Entry) -> Entry:
        """Chain the entry to the last one and write it, durably. Raises `OSError`; the file is then as it was."""
        entry = msgspec.structs.replace(entry, previous=self.head)
        self._add(msgspec.json.encode(entry), entry)
        return entry

    def read_next(self, line: bytes) -> Entry:
        """What a line says that another node wrote behind those that are here. Raises `LogDamaged` if it can't be."""
        entry = self.decode(line)
        self._check_next(entry, self.head, self.entries[-1].last if self.entries else 0)
        return entry

    def adopt(self, line: bytes) -> Entry:
        """Write a line verbatim that another node wrote, durably. Raises `OSError` like `append`, or `LogDamaged`."""
        entry = self.read_next(line)
        self._add(line, entry)
        return entry

    @property
    def head(self) -> str:
        """The hash of the last line, which stands for all of them."""
        return sha256(self._lines[-1]).hexdigest() if self._lines else BEFORE_THE_FIRST

    def decode(self, line: bytes) -> Entry:
        """What a line says. Raises `LogDamaged`."""
        try:
            return msgspec.json.decode(line, type=Entry)
        except msgspec.MsgspecError as error:
            raise LogDamaged(self.path, f"a line is not a segment's ({error})", REMEDY) from None

    def beginning(self, segments: int) -> bytes:
        """The file's bytes as far as they tell of the first `segments` segments."""
        return b"".join(line + b"\n" for line in self._lines[:segments])

    def since(self, first: int) -> list[bytes]:
        """The lines from the one of the segment that begins with the event `first` to the newest."""
        return self._lines[bisect_left(self.entries, first, key=lambda entry: entry.first) :]

    def _cut_torn_line(self) -> None:
        """Remove what a write that was interrupted left behind the last whole line."""
        if self._disk.exists(self.path) and self._disk.size_bytes(self.path) > self._size_bytes():
            descriptor = self._disk.open_to_write(self.path)
            try:
                self._disk.truncate(descriptor, self._size_bytes())
                self._disk.fsync(descriptor)
            finally:
                self._disk.close(descriptor)

    def _add(self, line: bytes, entry: Entry) -> None:
        self._cut_torn_line()
        self._write(line + b"\n")
        self._lines.append(line)
        self.entries.append(entry)

    def _write(self, line: bytes) -> None:
        descriptor = self._disk.open_to_write(self.path)
        try:
            self._disk.write_at(descriptor, line, self._size_bytes())
            self._disk.fsync(descriptor)
            self._disk.fsync_folder(self.path.parent)
        finally:
            self._disk.close(descriptor)

    def _read(self) -> list[bytes]:
        if not self._disk.exists(self.path):
            return []
        return self._disk.read(self.path).split(b"\n")[:-1]

    def _check_chain(self) -> None:
        previous, n = BEFORE_THE_FIRST, 0
        for line, entry in zip(self._lines, self.entries, strict=True):
            self._check_next(entry, previous, n)
            previous, n = sha256(line).hexdigest(), entry.last

    def _check_next(self, entry: Entry, previous: str, n: int) -> None:
        if entry.previous != previous:
            raise LogDamaged(self.path, f"the line before {entry.segment} was altered", REMEDY)
        expected = (f"{n + 1:020}.ndjson.zst", n + 1, n + entry.events)
        if (entry.segment, entry.first, entry.last) != expected or entry.events < 1:
            raise LogDamaged(self.path, f"{entry.segment} is not the segment that begins at {n + 1}", REMEDY)

    def _size_bytes(self) -> int:
        return sum(len(line) + 1 for line in self._lines)
