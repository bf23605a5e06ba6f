"""What a reader makes of a file: the events it found there and what it had to reject, each with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from ...schemas import Event, InvalidEvent, check, encode

# The bus carries 1 MiB (2**20 bytes) with the subject and the headers; the difference is theirs.
EVENT_BYTES_MAX = 1_000_000


class Readable(Protocol):
    """What a reader reads from, a file or more than that."""

    def tell(self) -> int:
        """How many bytes of it were read."""


class Found(NamedTuple):
    """One event, as the bus will carry it. `where` is its place in the file, as in `line 17`."""

    payload: bytes
    where: str


class Rejected(NamedTuple):
    """Something in the file that can't become an event, or can't be read at all."""

    where: str
    reason: str


Finding = Found | Rejected
Reader = Callable[..., Iterator[Finding]]


def found(event: Event, where: str) -> Finding:
    """`event` as it will travel, if it keeps the contract of its type."""
    return vetted(encode(event), where)


def vetted(payload: bytes, where: str) -> Finding:
    """`payload` as it is, if it is an event that the bus and the log will take."""
    if len(payload) > EVENT_BYTES_MAX:
        return too_large(f"{len(payload):,} bytes", where)
    try:
        check(payload)
    except InvalidEvent as error:
        return Rejected(where, str(error))
    return Found(payload, where)


def too_large(size: str, where: str) -> Rejected:
    """What is said of an event of `size` that the bus would refuse."""
    return Rejected(where, f"the event has {size}; the bus carries at most {EVENT_BYTES_MAX:,}")


T = TypeVar("T")


def read_as(decoder: msgspec.json.Decoder[T], text: bytes, where: str) -> T | Rejected:
    """The JSON in `text` in the shape that the decoder expects."""
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Rejected(where, str(error))
