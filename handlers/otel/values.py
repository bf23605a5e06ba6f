"""Attributes as events carry them: whatever a span says, cut to what an event may hold, or left out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from ...schemas import usd
from ...schemas.vocabulary import INT64_MAX
from .spans import Attributes

NAME_CHARS_MAX = 256
TEXT_CHARS_MAX = 65_536
SECONDS_MAX = 1e11
NESTED_MAX = 48  # of the 64 levels that an event may have
TOO_DEEP = "… (nested too deep to be written down)"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")


def first(attributes: Attributes, names: Iterable[str]) -> Any:
    """The value under the first of these names that has one."""
    return next((value for name in names if (value := attributes.get(name)) is not None), None)


def name_in(attributes: Attributes, names: Iterable[str]) -> str | None:
    """The first of these that can name something."""
    return next((clean for name in names if (clean := as_name(attributes.get(name)))), None)


def as_name(value: Any) -> str | None:
    """A name without control characters, cut to what a name may have; None where nothing is left."""
    return _CONTROLS.sub(" ", value).strip()[:NAME_CHARS_MAX].strip() or None if isinstance(value, str) else None


def text_in(attributes: Attributes, names: Iterable[str]) -> str | None:
    """The first of these as a text; what isn't one, as JSON."""
    return as_text(first(attributes, names))


def as_text(value: Any) -> str | None:
    """A text, cut to what is kept of one; None where there is none."""
    if value is None or value == "":
        return None
    try:
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    except RecursionError:  # it was decoded from where there was more of the stack left
        return TOO_DEEP
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]} … ({len(text):,} characters)"


def json_in(attributes: Attributes, names: Iterable[str]) -> Any:
    """The first of these as the JSON that it is or holds; as a text where that is too large, too deep or none."""
    value = first(attributes, names)
    if not isinstance(value, str):
        return value if _small(value) else as_text(value)
    if len(value) <= TEXT_CHARS_MAX and value[:1] in ("{", "["):
        try:
            decoded = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError):
            return value
        return decoded if _small(decoded) else value
    return as_text(value)


def tokens_in(attributes: Attributes, names: Iterable[str]) -> int | None:
    """The first of these as a number of tokens, which some write as floats or strings."""
    value = first(attributes, names)
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = int(value) if value.isdecimal() and len(value) < len(str(INT64_MAX)) else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and 0 <= value <= INT64_MAX else None


def seconds_in(attributes: Attributes, names: Iterable[str]) -> float | None:
    """The first of these as a duration in seconds."""
    value = first(attributes, names)
    is_duration = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX
    return float(value) if is_duration else None


def cost_in(attributes: Attributes, names: Iterable[str]) -> str | None:
    """The first of these as an amount of dollars."""
    value = first(attributes, names)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return usd(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        return None


def time_at(nanoseconds: int) -> datetime:
    """A moment, cut to microseconds. Raises `OverflowError` beyond the calendar."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1_000)


def _small(value: Any) -> bool:
    return _depth(value, NESTED_MAX) <= NESTED_MAX and len(msgspec.json.encode(value)) <= TEXT_CHARS_MAX


def _depth(value: Any, left: int) -> int:
    if left < 0 or not isinstance(value, dict | list):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max((_depth(one, left - 1) for one in inside), default=0)
