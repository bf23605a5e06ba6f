"""A line of the log: the event's address, chain and arrival spliced in front of its published bytes.

    {"n":17,"seq":23,"chain":"9f…","recordedtime":"2026-11-20T13:53:04.530453Z","specversion":"1.0","id":"0199f…",…}

What may not stand in the log as an event is kept whole instead, where no reader takes it for one:

    {"n":18,"seq":24,"chain":"…","recordedtime":"…","undecodable":"<base64 of the bytes>","natssubject":"evt.…"}

The chain is the beginning of the SHA-256 of the chain before and the line without its own: who has the same chain at n
has the same lines up to n. Lines of the first version have none; their hash stands for it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple, Self

import msgspec

CHAIN_CHARS = 16
NO_CHAIN = "0" * CHAIN_CHARS  # before the first line

_NUMBER = rb"([1-9][0-9]{0,18})"  # as far as NATS counts: of thousands of digits, Python would read none
_TIME = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"
_HEAD = re.compile(rb'\{"n":%b,"seq":%b,("chain":"([0-9a-f]{16})",)?"recordedtime":"%b",' % (_NUMBER, _NUMBER, _TIME))
_MEMBER, _CHAIN, _RECORDED = 3, 4, 5
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


class Chain:
    """Goes from line to line and holds each against the ones before it.

    `at` is the chain at the line that it came to last, None if that is not known: then the next line is believed. Once
    a line had a chain, `begun`, every later one has.
    """

    def __init__(self, at: str | None = NO_CHAIN, *, begun: bool = False) -> None:
        self.at = at
        self.begun = begun

    @classmethod
    def after(cls, line: bytes) -> Self:
        """The chain as it is after a line that is believed. Raises `ValueError`."""
        return cls(chain_of(line), begun=_matched(line)[_CHAIN] is not None)

    def follow(self, line: bytes, head: re.Match[bytes] | None = None) -> bool:
        """Go on to the next line; whether it is the one that was written after the ones before. Raises `ValueError`."""
        head = head or _matched(line)
        if (said := head[_CHAIN]) is None:
            self.at = chain_of(line)
            return not self.begun
        begin, end = head.span(_MEMBER)
        before, self.at, self.begun = self.at, said.decode(), True
        return before is None or self.at == _link(before, line[:begin], line[end:])


def is_next(line: bytes, n: int, chain: Chain) -> bool:
    """Whether this is the whole line of event `n`, as it was written; `chain` then goes on to it."""
    head = _HEAD.match(line)
    return head is not None and int(head[1]) == n and line.endswith(b"}") and chain.follow(line, head)


def event_line(n: int, sequence: int, stored_at: datetime, payload: bytes, before: str) -> bytes:
    """The line of an event: bytes in front of bytes. The payload is an object of one line, with an attribute.

    `before` is the chain at the line before, or `NO_CHAIN`.
    """
    return _line(n, sequence, stored_at, payload[1:], before)


def letter_line(n: int, sequence: int, stored_at: datetime, letter: Letter, before: str) -> bytes:
    """The line of what is kept whole."""
    return _line(n, sequence, stored_at, msgspec.json.encode(letter)[1:], before)


def parse(origin: str, line: bytes) -> Record:
    """The record in a line. Raises `ValueError`."""
    head = _matched(line)
    recorded = datetime.fromisoformat(head[_RECORDED].decode())
    return Record(origin, int(head[1]), int(head[2]), recorded, line)


def number_in(line: bytes) -> int:
    """The n of a line, or of its beginning. Raises `ValueError`."""
    return int(_matched(line)[1])


def has_chain(line: bytes) -> bool:
    """Whether the line says its chain, as all have done since the second version. Raises `ValueError`."""
    return _matched(line)[_CHAIN] is not None


def chain_of(line: bytes) -> str:
    """The chain at a line. Raises `ValueError`."""
    chain = _matched(line)[_CHAIN]
    return sha256(line).hexdigest()[:CHAIN_CHARS] if chain is None else chain.decode()


def chain_span(line: bytes) -> tuple[int, int] | None:
    """Where a line says its chain, from first byte to behind the last, if it does. Raises `ValueError`."""
    head = _matched(line)
    return None if head[_MEMBER] is None else head.span(_MEMBER)


def _line(n: int, sequence: int, stored_at: datetime, rest: bytes, before: str) -> bytes:
    recorded = stored_at.astimezone(UTC).isoformat(timespec="microseconds")[:_MICROSECONDS_CHARS]
    address = b'{"n":%d,"seq":%d,' % (n, sequence)
    arrived = b'"recordedtime":"%sZ",%s' % (recorded.encode(), rest)
    return b'%s"chain":"%s",%s' % (address, _link(before, address, arrived).encode(), arrived)


def _link(before: str, begin: bytes, rest: bytes) -> str:
    return sha256(before.encode() + begin + rest).hexdigest()[:CHAIN_CHARS]


def _matched(line: bytes) -> re.Match[bytes]:
    head = _HEAD.match(line)
    if head is None:
        raise ValueError("a line begins with n, seq, chain and recordedtime")
    return head


def _head_end(line: bytes) -> int:
    return line.index(_HEAD_END) + len(_HEAD_END)
