"""Healing a sealed segment: its file again, byte by byte, from a copy, or from its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from itertools import islice

import zstandard

from ...schemas import RookeryError
from ..disk import Disk
from ..errors import LogDamaged
from ..frames import compress
from ..manifest import Entry
from ..merkle import MerkleTree
from ..parts import PLAIN_SUFFIX, SealedPart
from .sources import Source

ITSELF = "its own lines, which are whole"


def healed_segment(
    part: SealedPart, origin: str, sources: Sequence[Source], disk: Disk, tried: list[str]
) -> tuple[bytes, str] | None:
    """The file's bytes, which have the manifest's hash, and who gave them; what didn't work is added to `tried`."""
    entry = part.entry
    own = _own_lines(part, disk)
    data = _attempt(ITSELF, lambda: _of_lines(entry, own), entry, [])
    if data is not None:
        return data, ITSELF
    for source in sources:
        data = _attempt(source.name, lambda source=source: _given(source, origin, entry), entry, tried)  # type: ignore[misc]
        if data is not None:
            return data, source.name
    return None


def _given(source: Source, origin: str, entry: Entry) -> bytes | None:
    data = source.segment(origin, entry)
    return data if data is not None else _of_lines(entry, source.lines(origin, entry.first, entry.last))


def _attempt(name: str, give: Callable[[], bytes | None], entry: Entry, tried: list[str]) -> bytes | None:
    try:
        data = give()
    except (RookeryError, OSError, ValueError) as error:
        tried.append(f"{name}: {error}")
        return None
    if data is None:
        tried.append(f"{name} doesn't have it")
        return None
    if len(data) == entry.compressed_bytes and sha256(data).hexdigest() == entry.sha256:
        return data
    tried.append(f"{name} gave other bytes than the manifest's hash is of")
    return None


def _of_lines(entry: Entry, lines: Iterable[bytes]) -> bytes | None:
    """The file that these lines make. Raises `ValueError` where it isn't that, although the lines are."""
    held = list(islice(lines, entry.events + 1))
    if len(held) != entry.events:
        return None
    tree = MerkleTree()
    for line in held:
        tree.add(line)
    if tree.root() != entry.merkle_root:
        raise ValueError("its lines are not those of the manifest's Merkle root")
    data = b"".join(compress(held))
    if sha256(data).hexdigest() != entry.sha256:
        raise ValueError("it has the lines, but this version of zstd makes other bytes of them than the one did")
    return data


def _own_lines(part: SealedPart, disk: Disk) -> list[bytes]:
    """What can still be read of the segment itself: its plain lines, if they are there, or its frames one by one."""
    plain = part.path.with_name(part.path.name.removesuffix(".zst"))
    assert plain.name.endswith(PLAIN_SUFFIX)
    try:
        if disk.exists(plain):
            return disk.read(plain).split(b"\n")[:-1]
        data = disk.read(part.path)
        with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
            return reader.read(part.entry.bytes).split(b"\n")[:-1]
    except (OSError, LogDamaged, zstandard.ZstdError):
        return []
