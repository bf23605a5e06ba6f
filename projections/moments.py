"""Moments of the past as people write them: a time, so long ago, or how far the log had come.

A time is about when the log learnt of events, not when they happened, so that what was known then is what a node that
stopped then would answer: the tables as of a moment never change any more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..eventstore import Log
from .engine import Vector
from .errors import InvalidMoment

NOW = "now"
START = "start"  # before the first event
MOMENT_CHARACTERS_MAX = 4_096

_PLACE = re.compile(r"(?P<origin>[A-Za-z0-9][A-Za-z0-9._-]*):(?P<n>[0-9]{1,18})", re.ASCII)
_AGO = re.compile(r"(?P<number>[0-9]{1,9}) ?(?P<unit>[a-z]+) ago", re.ASCII)
# In a URL's query, a plus that is not written %2B stands for a space.
_LOST_PLUS = re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?) ([0-9]{2}:?[0-9]{2})$", re.ASCII)
_UNITS = {
    **dict.fromkeys(("s", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_EXAMPLES = "2026-11-17, 2026-11-17T09:00+02:00, '3 days ago', or how far the log had come: local:41"


def moment_of(text: str, log: Log, *, now: datetime | None = None) -> Vector:
    """How far the log was at that moment; nowhere, `{}`, before its first event. Blocks: it looks into the log.

    A time without a zone is UTC, a date its first moment, and origins that a vector leaves out have no events in it.
    Raises `InvalidMoment`.
    """
    asked = text.strip()
    if len(asked) > MOMENT_CHARACTERS_MAX:
        raise InvalidMoment(asked[:40] + "…", f"is longer than {MOMENT_CHARACTERS_MAX} characters")
    present = now or datetime.now(UTC)
    if asked in (NOW, START):
        return log.vector() if asked == NOW else {}
    time = _time(asked, present)
    if time is None:
        return _vector(asked, log)
    if time > present:
        raise InvalidMoment(asked, f"is in the future: it is {present.isoformat(timespec='seconds')} now")
    return log.vector_at(time)


def time_of(text: str, log: Log, *, now: datetime | None = None) -> datetime:
    """The time of that moment; of a vector, when its last event was recorded. Blocks. Raises `InvalidMoment`."""
    present = now or datetime.now(UTC)
    vector = moment_of(text, log, now=present)
    asked = text.strip()
    if asked == NOW:
        return present
    return (None if asked == START else _time(asked, present)) or log.time_of(vector) or present


def moment_text(vector: Vector) -> str:
    """A moment in the form that `moment_of` makes the same vector of."""
    return ",".join(f"{origin}:{n}" for origin, n in sorted(vector.items()) if n) or START


def _time(asked: str, now: datetime) -> datetime | None:
    """The time that is meant, unless it is no time at all."""
    if found := _AGO.fullmatch(asked.lower()):
        return _ago(asked, int(found["number"]), found["unit"], now)
    try:
        time = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", asked))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except ValueError:
        return None
    except OverflowError:
        raise InvalidMoment(asked, "is beyond the years that there are") from None


def _ago(asked: str, number: int, unit: str, now: datetime) -> datetime:
    if unit not in _UNITS:
        raise InvalidMoment(asked, f"{unit!r} is no unit of time; there are seconds, minutes, hours, days and weeks")
    try:
        return now - number * _UNITS[unit]
    except OverflowError:
        raise InvalidMoment(asked, "is beyond the years that there are") from None


def _vector(asked: str, log: Log) -> Vector:
    end = log.vector()
    vector: Vector = {}
    for place in asked.split(","):
        found = _PLACE.fullmatch(place.strip())
        if found is None:
            raise InvalidMoment(asked, f"is no moment; one looks like {_EXAMPLES}")
        origin, n = found["origin"], int(found["n"])
        if origin in vector:
            raise InvalidMoment(asked, f"names {origin} twice")
        if origin not in end:
            raise InvalidMoment(asked, f"the log has no origin {origin!r}; it has {', '.join(end) or 'none yet'}")
        if n > end[origin]:
            raise InvalidMoment(asked, f"the log of {origin!r} ends at {end[origin]}")
        vector[origin] = n
    return {origin: n for origin, n in sorted(vector.items()) if n}
