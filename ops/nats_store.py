"""What keeps nats-server from coming up with its store: a message whose sequence leaps, found and put right.

Between two messages of a block it notes each sequence as deleted. One flipped high bit makes that trillions: it counts
for as long as it has memory, and says nothing. The checksum of the message says afterwards whether it is right again.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# A block has at most some megabytes of messages: what was taken out between two of them is never this much.
LEAP_MIN = 1 << 24

_HEAD = struct.Struct("<IQ")  # length and sequence; the highest bits of both are marks
_LENGTH = (1 << 31) - 1
_TOMBSTONE = 1 << 62
_SEQUENCE = _TOMBSTONE - 1


class Leap(NamedTuple):
    """A message at byte `at` of a block says that it is `sequence`, and follows on `expected` - 1."""

    block: Path
    at: int
    sequence: int
    expected: int

    def __str__(self) -> str:
        return f"in {self.block}, at byte {self.at}, {self.sequence} follows {self.expected - 1}"

    @property
    def stream(self) -> str:
        """Whose it is."""
        return self.block.parent.parent.name

    @property
    def is_one_bit(self) -> bool:
        """Whether one flipped bit explains it."""
        return (self.sequence ^ self.expected).bit_count() == 1

    def mend(self) -> None:
        """Flip it back."""
        with self.block.open("r+b") as file:
            file.seek(self.at)
            length, sequence = _HEAD.unpack(file.read(_HEAD.size))
            file.seek(self.at)
            file.write(_HEAD.pack(length, sequence ^ self.sequence ^ self.expected))


def leaps_in(store: Path, ended: threading.Event) -> list[Leap]:
    """Every leap in the blocks of a store, of whatever stream; fewer, when the search is `ended`."""
    return [leap for messages in sorted(store.glob("jetstream/*/streams/*/msgs")) for leap in _leaps(messages, ended)]


def _leaps(messages: Path, ended: threading.Event) -> Iterator[Leap]:
    last = 0
    for block in sorted(messages.glob("*.blk"), key=lambda path: int(path.stem)):
        if ended.is_set():
            return
        for at, sequence in _sequences(block.read_bytes()):
            if last and sequence > last + LEAP_MIN:
                yield Leap(block, at, sequence, last + 1)
                last += 1
            else:
                last = sequence


def _sequences(block: bytes) -> Iterator[tuple[int, int]]:
    """Where each message begins, and its sequence, up to where the block makes no sense: there the server cuts it."""
    at = 0
    while at + _HEAD.size <= len(block):
        length, sequence = _HEAD.unpack_from(block, at)
        if length & _LENGTH < _HEAD.size:
            return
        if not sequence & _TOMBSTONE:
            yield at, sequence & _SEQUENCE
        at += length & _LENGTH
