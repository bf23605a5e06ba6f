"""A line of the log: the event's address and arrival spliced in front of its published bytes.

    {"n":17,"seq":23,"recordedtime":"2026-11-20T13:53:04.530453Z","specversion":"1.0","id":"0199f…",…}

What may not stand in the log as an event is kept whole instead, where no reader takes it for one:

    {"n":18,"seq":24,"recordedtime":"…","undecodable":"<base64 of the bytes>","natssubject":"evt.…"}
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

_HEAD = re.compile(rb'\{"n":([1-9][0-9]*),"seq":([1-9][0-9]*),"recordedtime":"([0-9T:.-]{26}Z)",')
_MICROSECONDS_CHARS = len("2026-11-20T13:53:04.530453")
_HEAD_END = b'Z",'
_WHOLE = b'"undecodable":'


class Letter(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was kept whole, the subject that it came by, and the event that had taken its id before it."""

    undecodable: bytes
    natssubject: str
    idusedby: int | None = None


class Record(NamedTuple):
    """One line of the log, at its permanent address `origin:n`.

    `sequence` is the bus's, and `recorded_time` when the bus stored it. `line` has no newline.
    """

    origin: str
    n: int
    sequence: int
    recorded_time: datetime
    line: bytes

    @property
    def payload(self) -> bytes:
        """The exact bytes that were published."""
        letter = self.letter
        return b"{" + self.line[_head_end(self.line) :] if letter is None else letter.undecodable

    @property
    def letter(self) -> Letter | None:
        """What was kept whole, because it may not stand in the log as an event; None for an event."""
        head_end = _head_end(self.line)
        if not self.line.startswith(_WHOLE, head_end):
            return None
        return msgspec.json.decode(b"{" + self.line[head_end:], type=Letter)


def event_line(n: int, sequence: int, stored_at: datetime, payload: bytes) -> bytes:
    """The line of an event: bytes in front of bytes. The payload is an object of one line, with an attribute."""
    return _head(n, sequence, stored_at) + payload[1:]


def letter_line(n: int, sequence: int, stored_at: datetime, letter: Letter) -> bytes:
    """The line of what is kept whole."""
    return _head(n, sequence, stored_at) + msgspec.json.encode(letter)[1:]


def parse(origin: str, line: bytes) -> Record:
    """The record in a line. Raises `ValueError`."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line begins with n, seq and recordedtime")
    n, sequence, recorded = head.groups()
    return Record(origin, int(n), int(sequence), datetime.fromisoformat(recorded.decode()), line)


def number_in(line: bytes) -> int:
    """The n of a line, or of its beginning. Raises `ValueError`."""
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line begins with n, seq and recordedtime")
    return int(head[1])


def _head(n: int, sequence: int, stored_at: datetime) -> bytes:
    recorded = stored_at.astimezone(UTC).isoformat(timespec="microseconds")[:_MICROSECONDS_CHARS]
    return b'{"n":%d,"seq":%d,"recordedtime":"%sZ",' % (n, sequence, recorded.encode())


def _head_end(line: bytes) -> int:
    return line.index(_HEAD_END) + len(_HEAD_END)
