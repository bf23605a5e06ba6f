"""Which entities a segment may be about: a Bloom filter, so that a search passes by the segments that are not."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b

# Of a full segment in which every event has an entity of its own, one look in 200 is in vain.
FILTER_BITS = 2**20
FILTER_SIZE_BYTES = FILTER_BITS // 8

_Places = struct.Struct("<3I")


def add(entities: bytearray, kind: str, id: str) -> None:
    """Note that the segment has an event about this entity."""
    for place in _places(kind, id):
        entities[place >> 3] |= 1 << (place & 7)


def may_hold(entities: bytearray, kind: str, id: str) -> bool:
    """Whether the segment may have an event about this entity; if not, it has none."""
    return all(entities[place >> 3] & 1 << (place & 7) for place in _places(kind, id))


def _places(kind: str, id: str) -> Iterable[int]:
    digest = blake2b(f"{kind} {id}".encode(), digest_size=_Places.size).digest()
    return [number % FILTER_BITS for number in _Places.unpack(digest)]
