"""nats-server's blocks, the files that hold a stream's messages, and what a disk can do to them."""

from __future__ import annotations

import struct
from pathlib import Path

_HEAD = struct.Struct("<IQ")  # a record's length, its highest bit aside, and its sequence
_LENGTH_BITS = 0x7FFFFFFF


def move_sequence(folder: Path, sequence: int, bit: int) -> None:
    """Flip a bit of the sequence of one of EVENTS' messages, in the store of a server in `folder` that is down."""
    (block,) = (folder / "nats" / "jetstream" / "$G" / "streams" / "EVENTS" / "msgs").glob("*.blk")
    held, at = bytearray(block.read_bytes()), 0
    while (head := _HEAD.unpack_from(held, at))[1] != sequence:
        at += head[0] & _LENGTH_BITS
    _HEAD.pack_into(held, at, head[0], sequence ^ 1 << bit)
    block.write_bytes(held)
