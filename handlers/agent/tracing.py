"""W3C trace context: each run continues the trace that its task came with, or begins one."""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = "01"


def child_of(traceparent: str | None) -> str:
    """A new span in the given trace; in a new trace where none is given, or one that isn't W3C's."""
    parent = _TRACEPARENT.fullmatch(traceparent or "")
    if parent is None or not int(parent[1], 16) or not int(parent[2], 16):
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{_SAMPLED}"
    return f"00-{parent[1]}-{secrets.token_hex(8)}-{parent[3]}"
