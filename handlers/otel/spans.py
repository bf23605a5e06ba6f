"""A span as everything here reads it, whichever encoding it came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import msgspec

from .errors import TooManySpans

SPANS_MAX = 20_000

Attributes = dict[str, Any]
Part = TypeVar("Part")


class SpanEvent(NamedTuple):
    """Something that happened within a span, as an exception."""

    name: str
    attributes: Attributes


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span. Its ids are lower-case hex as they came: nobody has checked them yet.

    `parent_id` is empty for a trace's root, times are nanoseconds since 1970 and 0 where nobody recorded them. `error`
    is what the status says of a failure, in words or empty, and None where the status tells of none.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str = ""
    start_ns: int = 0
    end_ns: int = 0
    attributes: Attributes = {}
    resource: Attributes = {}
    error: str | None = None
    events: list[SpanEvent] = []

    @property
    def duration_seconds(self) -> float | None:
        """How long it took, where both times are known and in order."""
        return round((self.end_ns - self.start_ns) / 1e9, 6) if self.end_ns >= self.start_ns else None


def bounded(parts: Iterable[Part]) -> Iterator[Part]:
    """These parts of an export, as long as there are no more than it may hold spans. Raises `TooManySpans`."""
    for number, part in enumerate(parts):
        if number == SPANS_MAX:
            raise TooManySpans(SPANS_MAX)
        yield part
