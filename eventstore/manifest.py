"""The manifest: a line per sealed segment, each with the hash of the one before, so that none can be altered alone.

Where the node has a key, each line is signed as well, so that all of them can't be written anew by somebody else.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from copy import copy
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from .disk import Disk
from .errors import REMEDY, LogDamaged, LogWriteFailed
from .signing import Signer, is_signed, signed

NAME = "manifest.ndjson"
BEFORE_THE_FIRST = "0" * 64
LINE_BYTES_MAX = 4_096  # of one that another node wrote: some 700 are all that there is to say


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says of one sealed segment. `bytes` counts its lines as they were before compression.

    `chain` is the one at its last line; it is left out where that line is of the first version. `signature` is over the
    line as it is without it, by the public key `signer`; once a line has one, all later ones have.
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
    signer: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET


class Wrong(NamedTuple):
    """What is wrong with a line of a manifest."""

    kind: Literal["manifest_altered", "manifest_signature"]
    what: str


class Links:
    """Goes from line to line of a manifest and holds each against the ones before it."""

    def __init__(self) -> None:
        self.last = 0
        self.signer: str | None = None
        self._previous = BEFORE_THE_FIRST

    def follow(self, line: bytes, entry: Entry) -> Wrong | None:
        """Go on to the next line; what is wrong with it, if anything is."""
        previous, n, signer = self._previous, self.last, self.signer
        self._previous, self.last = sha256(line).hexdigest(), entry.last
        self.signer = entry.signer if isinstance(entry.signer, str) else signer
        if entry.previous != previous:
            return Wrong("manifest_altered", f"the line before {entry.segment} was altered")
        expected = (f"{n + 1:020}.ndjson.zst", n + 1, n + entry.events)
        if (entry.segment, entry.first, entry.last) != expected or entry.events < 1:
            return Wrong("manifest_altered", f"{entry.segment} is not the segment that begins at {n + 1}")
        if isinstance(entry.signer, str):
            signed_by = is_signed(line, entry.signer)
            return None if signed_by else Wrong("manifest_signature", f"{entry.signer} never signed {entry.segment}")
        if signer is not None or entry.signature is not UNSET:
            return Wrong("manifest_signature", f"the line of {entry.segment} has lost its signature")
        return None


class Manifest:
    """An origin's manifest, checked when it is read: an unbroken chain over n's without holes."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._links = Links()
        self._lines = self._read()
        self.entries = [self.decode(line) for line in self._lines]
        self._check_chain()

    def append(self, entry: Entry, signer: Signer | None = None) -> Entry:
        """Chain the entry to the last one, sign it and write it, durably.

        Raises `OSError`; the file is then as it was. Raises `LogWriteFailed` where a signer is missing.
        """
        line = self._line(entry, signer)
        entry = self.decode(line)
        self._add(line, entry)
        return entry

    def read_next(self, line: bytes) -> Entry:
        """What a line says that another node wrote behind those that are here. Raises `LogDamaged` if it can't be."""
        if len(line) > LINE_BYTES_MAX:
            raise LogDamaged(self.path, f"a line is longer than the {LINE_BYTES_MAX:,} bytes of any", REMEDY)
        entry = self.decode(line)
        if wrong := copy(self._links).follow(line, entry):
            raise LogDamaged(self.path, wrong.what, REMEDY)
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
            return entry_in(line)
        except msgspec.MsgspecError as error:
            raise LogDamaged(self.path, f"a line is not a segment's ({error})", REMEDY) from None

    def beginning(self, segments: int) -> bytes:
        """The file's bytes as far as they tell of the first `segments` segments."""
        return b"".join(line + b"\n" for line in self._lines[:segments])

    def since(self, first: int) -> list[bytes]:
        """The lines from the one of the segment that begins with the event `first` to the newest."""
        return self._lines[bisect_left(self.entries, first, key=lambda entry: entry.first) :]

    def _line(self, entry: Entry, signer: Signer | None) -> bytes:
        if signer is None:
            if self.entries and self.entries[-1].signer is not UNSET:
                raise LogWriteFailed(self.path, "its lines are signed, and the log was opened without the node's key")
            return msgspec.json.encode(msgspec.structs.replace(entry, previous=self.head))
        entry = msgspec.structs.replace(entry, previous=self.head, signer=signer.public)
        return signed(msgspec.json.encode(entry), signer)

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
        self._links.follow(line, entry)
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
        for line, entry in zip(self._lines, self.entries, strict=True):
            if wrong := self._links.follow(line, entry):
                raise LogDamaged(self.path, wrong.what, REMEDY)

    def _size_bytes(self) -> int:
        return sum(len(line) + 1 for line in self._lines)


def entry_in(line: bytes | str) -> Entry:
    """What a line says. Raises `msgspec.ValidationError` or another `MsgspecError`."""
    refuse_twins(line)
    return msgspec.json.decode(line, type=Entry)


def refuse_twins(data: bytes | str) -> None:
    """Raises `msgspec.ValidationError` where an object names a member twice: readers disagree on which one counts."""
    try:
        json.loads(data, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise msgspec.ValidationError(str(error)) from None


def _without_twins(members: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"`{twin}` is named twice in one object")
    return found
