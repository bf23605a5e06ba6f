"""Positions: version vectors as people and readers carry them."""

from __future__ import annotations

from collections.abc import Mapping


def position_text(vector: Mapping[str, int]) -> str:
    """A version vector in words, as in `east:10,west:7`."""
    return ",".join(f"{origin}:{n}" for origin, n in sorted(vector.items()) if n)
