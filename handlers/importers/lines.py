"""A file's lines, one at a time, however long the file or a line of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from .found import EVENT_BYTES_MAX, Rejected, too_large

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A line without its end. The first line of a file is number 1."""

    number: int
    text: bytes

    @property
    def where(self) -> str:
        """Its place, for people."""
        return f"line {self.number}"


def lines(file: BinaryIO) -> Iterator[Line | Rejected]:
    """The lines that say something; one that is longer than any event may be is rejected unread."""
    number = 0
    while raw := file.readline(EVENT_BYTES_MAX + len(b"\r\n")):
        number += 1
        text = raw.removesuffix(b"\n").removesuffix(b"\r")
        if number == 1:
            text = text.removeprefix(BYTE_ORDER_MARK)
        if len(text) > EVENT_BYTES_MAX:
            _skip_rest_of_line(file, raw)
            yield too_large(f"more than {EVENT_BYTES_MAX:,} bytes", f"line {number}")
        elif text.strip():
            yield Line(number, text)


def _skip_rest_of_line(file: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = file.readline(EVENT_BYTES_MAX)
