"""What keeps a whole export of spans from being read.

RookeryError
└── InvalidInput
    ├── MalformedSpans    the bytes are no `ExportTraceServiceRequest` (reason)
    └── TooManySpans      they hold more spans than one export may (limit)

A span that can't become events costs only itself: it is a `Rejection` in the translation.
"""

from __future__ import annotations

from ...schemas import InvalidInput


class MalformedSpans(InvalidInput):
    """The bytes are no `ExportTraceServiceRequest` in the encoding that was announced."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no ExportTraceServiceRequest: {reason}")


class TooManySpans(InvalidInput):
    """An export holds more spans than are read at one time."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"an export may hold {limit:,} spans, and this one holds more; send several")
