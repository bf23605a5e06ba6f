"""JSON documents in a file: the elements of an array, one a line, or one that is all of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from .elements import Element, elements, whole
from .found import Rejected
from .lines import BYTE_ORDER_MARK

DOCUMENT_BYTES_MAX = 16 * 2**20
WHITE_SPACE = b" \t\r\n"

_raw = msgspec.json.Decoder(msgspec.Raw)


def documents(file: BinaryIO) -> Iterator[Element[bytes] | Rejected]:
    """The documents as they are written, none longer than `DOCUMENT_BYTES_MAX`; one that is no JSON is rejected.

    A file whose first line opens an object and does not close it is one document, printed for people.
    """
    beginning = file.readline(DOCUMENT_BYTES_MAX + 1).removeprefix(BYTE_ORDER_MARK).strip(WHITE_SPACE)
    file.seek(0)
    if beginning.startswith(b"["):
        for element in elements(file, _raw):
            yield element if isinstance(element, Rejected) else Element(element.where, bytes(element.value))
    elif beginning.startswith(b"{") and not beginning.endswith(b"}"):
        value = whole(file, _raw, DOCUMENT_BYTES_MAX)
        yield value if isinstance(value, Rejected) else Element("", bytes(value))
    else:
        yield from _one_a_line(file)


def _one_a_line(file: BinaryIO) -> Iterator[Element[bytes] | Rejected]:
    number = 0
    while line := file.readline(DOCUMENT_BYTES_MAX + 1):
        number += 1
        where = f"line {number}"
        if len(line) > DOCUMENT_BYTES_MAX:
            yield Rejected(where, f"it is longer than {DOCUMENT_BYTES_MAX:,} bytes")
            while line and not line.endswith(b"\n"):
                line = file.readline(DOCUMENT_BYTES_MAX)
        elif text := line.removeprefix(BYTE_ORDER_MARK).strip(WHITE_SPACE):
            yield Element(where, text)
