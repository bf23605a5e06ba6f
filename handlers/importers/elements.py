"""A file of JSON: the elements of an array, one at a time, however long the array, or one value that is all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Generic, NamedTuple, TypeVar

import msgspec

from .found import Rejected, read_as
from .lines import BYTE_ORDER_MARK

ELEMENT_BYTES_MAX = 16 * 2**20
READ_BYTES = 64 * 2**10


T = TypeVar("T")


class Element(NamedTuple, Generic[T]):
    """One element, decoded. `where` is its place; the first one is `element 1`."""

    where: str
    value: T


def elements(file: BinaryIO, decoder: msgspec.json.Decoder[T]) -> Iterator[Element[T] | Rejected]:
    """The elements up to the array's end, or up to where it can't be followed any further, which is rejected.

    An element that the decoder refuses costs only itself, as long as its brackets and quotes are balanced.
    """
    cutter = _Cutter()
    number = 1
    for read in _reads(file):
        for text in cutter.cut(read):
            where = f"element {number}"
            value = read_as(decoder, text, where)
            yield value if isinstance(value, Rejected) else Element(where, value)
            number += 1
        if damage := cutter.damage():
            yield Rejected(f"element {number}", damage)
            return
    if not cutter.closed:
        yield Rejected(f"element {number}", "the file ends here, before the array's `]`")


def whole(file: BinaryIO, decoder: msgspec.json.Decoder[T], bytes_max: int = ELEMENT_BYTES_MAX) -> T | Rejected:
    """The one value that the file holds."""
    text = file.read(bytes_max + 1)
    if len(text) > bytes_max:
        return Rejected("", f"it is longer than {bytes_max:,} bytes")
    return read_as(decoder, text.removeprefix(BYTE_ORDER_MARK), "")


def _reads(file: BinaryIO) -> Iterator[bytes]:
    yield file.read(READ_BYTES).removeprefix(BYTE_ORDER_MARK)
    while read := file.read(READ_BYTES):
        yield read


_OUTSIDE_STRINGS = re.compile(rb'["\[\]{},]')
_INSIDE_STRINGS = re.compile(rb'["\\]')


class _Cutter:
    """Cuts the text of an array into the texts of its elements, following nothing but brackets, quotes and commas."""

    def __init__(self) -> None:
        self.closed = False
        self._closed_wrongly = False
        self._rest = bytearray()  # what isn't cut off yet: from the last comma on
        self._at = 0  # how far into it we have looked
        self._depth = 0
        self._in_string = False
        self._cuts = 0

    def cut(self, read: bytes) -> Iterator[bytes]:
        """The elements that end in this piece of the file."""
        self._rest += read if self._depth or self._rest else read.lstrip()
        while not self.closed and not self._begins_otherwise() and (token := self._token()):
            if token in b"[{":
                self._depth += 1
                if self._depth == 1:
                    self._off()
            elif token in b"]}":
                self._depth -= 1
            self.closed = self._depth == 0
            self._closed_wrongly = self.closed and token == b"}"
            if self.closed or (token == b"," and self._depth == 1):
                text = self._off()
                if not self.closed or self._cuts or text.strip():
                    self._cuts += 1
                    yield text

    def damage(self) -> str | None:
        """Why the array can't be followed any further, if it can't."""
        if self._begins_otherwise():
            return "expected a JSON array, `[…]`, in UTF-8"
        if self._closed_wrongly:
            return "expected the array's `]`, found `}`"
        if self.closed and self._rest.strip():
            return "something follows the array's `]`"
        if len(self._rest) > ELEMENT_BYTES_MAX:
            return f"it is longer than {ELEMENT_BYTES_MAX:,} bytes; from here on nothing was read"
        return None

    def _begins_otherwise(self) -> bool:
        return not self._depth and not self.closed and bool(self._rest) and not self._rest.startswith(b"[")

    def _token(self) -> bytes:
        """The next bracket or comma that is no part of a string; empty when there is none yet."""
        while found := (_INSIDE_STRINGS if self._in_string else _OUTSIDE_STRINGS).search(self._rest, self._at):
            self._at = found.end()
            if found[0] == b'"':
                self._in_string = not self._in_string
            elif found[0] == b"\\":
                self._at += 1
            else:
                return bytes(found[0])
        self._at = max(self._at, len(self._rest))
        return b""

    def _off(self) -> bytes:
        """Cut off all that we have looked at; what it was, without the token at its end."""
        text = bytes(self._rest[: self._at - 1])
        del self._rest[: self._at]
        self._at = 0
        return text
