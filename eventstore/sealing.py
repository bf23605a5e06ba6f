"""Sealing: a full segment of plain lines becomes a compressed file that is never written again.

What is sealed is believed from then on, so each line is first held against the ones before it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256

from msgspec import UNSET

from .disk import Disk
from .errors import REMEDY, LogDamaged
from .frames import compress
from .line import Chain, is_next, parse
from .manifest import Entry
from .merkle import MerkleTree
from .parts import BLOCKS_SUFFIX, SEALED_SUFFIX, PlainPart, sealed_name

# Called after every frame with the seconds that it took; it may wait, to leave the processor to others.
Pace = Callable[[float], object]


def write_sealed(part: PlainPart, origin: str, chain: Chain, disk: Disk, pace: Pace | None = None) -> Entry:
    """Write the sealed file beside the plain one, durably, and say what the manifest has to know.

    `chain` is the one before its first line. Raises `OSError`, or `LogDamaged` where a line isn't what was appended.
    """
    target = part.path.with_name(sealed_name(part.first))
    unfinished = target.with_name(target.name + ".tmp")
    tree = MerkleTree()
    descriptor = disk.open_to_write(unfinished)
    try:
        disk.truncate(descriptor, 0)
        digest, written_bytes = sha256(), 0
        started = time.perf_counter()
        for piece in compress(_watched(part, chain, tree)):
            disk.write_at(descriptor, piece, written_bytes)
            digest.update(piece)
            written_bytes += len(piece)
            if pace:
                pace(time.perf_counter() - started)
                started = time.perf_counter()
        disk.fsync(descriptor)
    finally:
        disk.close(descriptor)
    disk.rename(unfinished, target)
    disk.fsync_folder(target.parent)
    with suppress(OSError):  # derived: whoever misses it makes it again
        blocks = target.name.removesuffix(SEALED_SUFFIX) + BLOCKS_SUFFIX
        disk.replace(part.path.with_name(blocks), b"".join(tree.blocks()))
    return Entry(
        segment=target.name,
        first=part.first,
        last=part.last,
        events=part.last - part.first + 1,
        bytes=part.size_bytes,
        compressed_bytes=written_bytes,
        first_recordedtime=parse(origin, part.line(part.first)).recorded_time,
        last_recordedtime=parse(origin, part.line(part.last)).recorded_time,
        sha256=digest.hexdigest(),
        merkle_root=tree.root(),
        chain=chain.at if chain.begun and chain.at else UNSET,
    )


def _watched(part: PlainPart, chain: Chain, tree: MerkleTree) -> Iterator[bytes]:
    n = part.first
    for lines in part.lines(part.first, part.last):
        for line in lines:
            if not is_next(line, n, chain):
                raise LogDamaged(part.path, f"the line of event {n} is not the one that was appended", REMEDY)
            tree.add(line)
            yield line
            n += 1
