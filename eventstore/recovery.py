"""Opening an origin's folder: what a crash leaves behind is healed, anything else is an error that says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from . import manifest
from .cold import ColdTier
from .disk import Disk
from .errors import REMEDY, LogDamaged
from .line import Chain, is_next
from .manifest import Manifest
from .parts import PLAIN_SUFFIX, READ_SIZE_BYTES, SEALED_SUFFIX, PlainPart, SealedPart, plain_name

# Blocks that the file system added to the file and a crash kept it from filling: they were never durable, nor a line.
UNWRITTEN = b"\x00\x00"
PLAIN_NAME = re.compile(r"[0-9]{20}\.ndjson")


class Recovered(NamedTuple):
    """An origin's files, checked and complete."""

    manifest: Manifest
    sealed: list[SealedPart]
    plain: list[PlainPart]

    @property
    def last(self) -> int:
        """The last line's n; 0 if there is none."""
        return max([0, *(part.last for part in self.sealed[-1:]), *(part.last for part in self.plain[-1:])])


def recover(folder: Path, disk: Disk, tier: ColdTier) -> Recovered:
    """Check the folder, finish or undo what was interrupted, and say what is there."""
    record = Manifest(folder / manifest.NAME, disk)
    for name in disk.names(folder):
        if name.endswith(".tmp"):
            disk.unlink(folder / name)
    sealed = _sealed(folder, record, disk, tier)
    _finish_seals(folder, sealed, disk)
    return Recovered(record, sealed, [_heal(part, disk) for part in _plain(folder, sealed, disk)])


def look(folder: Path, disk: Disk, tier: ColdTier) -> Recovered:
    """The same, with nothing changed: for those who only read, beside a writer or without one."""
    record = Manifest(folder / manifest.NAME, disk)
    sealed = _sealed(folder, record, disk, tier)
    return Recovered(record, sealed, _plain(folder, sealed, disk))


def _sealed(folder: Path, record: Manifest, disk: Disk, tier: ColdTier) -> list[SealedPart]:
    parts = [SealedPart(folder, entry, disk, tier) for entry in record.entries]
    tiering = tier.tiering()
    for part in parts:
        if not part.is_here:
            if tiering and part.last <= tiering.cold:
                continue
            raise LogDamaged(part.path, "it is in the manifest, but it is gone", REMEDY)
        if (size := disk.size_bytes(part.path)) != part.entry.compressed_bytes:
            raise LogDamaged(part.path, f"it has {size} bytes and should have {part.entry.compressed_bytes}", REMEDY)
    return parts


def _finish_seals(folder: Path, sealed: list[SealedPart], disk: Disk) -> None:
    """Finish a seal whose manifest line is written, and undo one whose isn't."""
    for part in sealed:
        plain = folder / plain_name(part.first)
        if disk.exists(plain):
            part.verify()
            disk.unlink(plain)
    known = {part.path.name for part in sealed}
    names = disk.names(folder)
    for name in names:
        if name.endswith(SEALED_SUFFIX) and name not in known:
            if name.removesuffix(".zst") not in names:
                raise LogDamaged(folder / name, "it is not in the manifest", f"restore {manifest.NAME}")
            disk.unlink(folder / name)


def _plain(folder: Path, sealed: list[SealedPart], disk: Disk) -> list[PlainPart]:
    """The unsealed segments, as far as their lines are whole."""
    last = sealed[-1].last if sealed else 0
    chain = sealed[-1].chain() if sealed else Chain()
    parts: list[PlainPart] = []
    for name in disk.names(folder):
        if not PLAIN_NAME.fullmatch(name):
            continue
        first = int(name.removesuffix(PLAIN_SUFFIX))
        if not parts and first <= last:
            continue  # sealed, and not yet removed
        if first != last + 1:
            raise LogDamaged(folder / name, f"the events from {last + 1} to {first - 1} are missing", REMEDY)
        parts.append(PlainPart(folder / name, first, disk, _line_ends(folder / name, first, chain, disk)))
        last = parts[-1].last
    return parts


def _line_ends(path: Path, first: int, chain: Chain, disk: Disk) -> list[int]:
    """Where each whole line ends. What a crash leaves behind the last one is not a line."""
    ends: list[int] = []
    offset, rest = 0, b""
    while chunk := disk.read(path, offset + len(rest), READ_SIZE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if UNWRITTEN in line:
                return ends
            if not is_next(line, first + len(ends), chain):
                what = f"at byte {offset} there should be the line of event {first + len(ends)}, as it was appended"
                raise LogDamaged(path, what, REMEDY)
            offset += len(line) + 1
            ends.append(offset)
    return ends


def _heal(part: PlainPart, disk: Disk) -> PlainPart:
    """Cut off a torn last line, and make sure that what we are about to serve is durable."""
    descriptor = disk.open_to_write(part.path)
    try:
        if disk.size_bytes(part.path) > part.size_bytes:
            disk.truncate(descriptor, part.size_bytes)
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    return part
