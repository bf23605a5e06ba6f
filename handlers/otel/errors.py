"""What keeps a whole export of spans from being read.

RookeryError
└── InvalidInput
    ├── MalformedSpans    the bytes are no `ExportTraceServiceRequest` (reason)
    └── TooManySpans      they hold more of them, or of their parts, than one export may (limit, parts)

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
    """An export holds more spans, or parts of spans, than are read at one time."""

    def __init__(self, limit: int, parts: str = "spans") -> None:
        self.limit = limit
        self.parts = parts
        super().__init__(f"an export may hold {limit:,} {parts}, and this one holds more; send several")
