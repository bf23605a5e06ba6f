"""What can go wrong, as types: one root, fields instead of text to parse.

RookeryError
├── InvalidInput                  the caller asked for what can't be; asking again won't help
│   ├── InvalidReplayName         a replay can't be called so (name)
│   └── InvalidEvent              an event breaks its contract (reason, field)
│       ├── MalformedEvent        the bytes are not one CloudEvent on one line
│       │   └── ReplayedEvent     it is marked as replayed, and so no new fact (address)
│       ├── UnknownEventType      no schema is registered for the type (type)
│       └── InvalidData           the data does not fit the type's schema
│           └── PlainText         it names a data subject, and is not sealed
├── ContractBroken                a type breaks the promise of its published schema (breaches)
└── …                             each layer adds its own
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class RookeryError(Exception):
    """The root of everything that Rookery raises on purpose."""


class InvalidInput(RookeryError):
    """The caller gave something that can't be right; asking again in the same way won't help."""


class InvalidEvent(InvalidInput):
    """An event breaks its contract: `reason` says how, `field` where (`data.input_tokens`, or empty)."""

    def __init__(self, reason: str, field: str = "") -> None:
        self.reason = reason
        self.field = field
        super().__init__(f"{field}: {reason}" if field else reason)


class MalformedEvent(InvalidEvent):
    """The bytes are not one CloudEvent in structured JSON mode on a single line."""


class UnknownEventType(InvalidEvent):
    """The envelope is sound, but no schema is registered for its `type`."""

    def __init__(self, type: str, nearest: str | None = None) -> None:
        self.type = type
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"unknown event type {type!r}{hint}", "type")


class InvalidData(InvalidEvent):
    """The envelope is sound, but its `data` does not fit the schema of its type."""


class Breach(NamedTuple):
    """Where a type breaks the promise of its published schema, and how."""

    type: str
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.type}: {self.field}: {self.reason}" if self.field else f"{self.type}: {self.reason}"


class ContractBroken(RookeryError):
    """Types break the promise of their published schemas; `breaches` says which, in which fields, and how."""

    def __init__(self, breaches: Sequence[Breach]) -> None:
        self.breaches = breaches
        listed = "\n  ".join(map(str, breaches))
        super().__init__(
            f"events of these types are kept for ever, and programs count on their schemas:\n  {listed}\n"
            "Leave the type as it was published, and add its next version (`<type>.v2`) with an upcaster beside it."
        )
