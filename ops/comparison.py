"""Comparison: what agents, models and skills did in one period, beside what they did in another."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..projections import Leash, ReadModels
from .history import ROWS_MAX, STATEMENTS, By, Entry, Figures, InvalidPeriod, Rate, parameters, refuse_empty
from .summary import Change, CostChange, cost_change, count_change

_COUNTS = [
    name
    for name in Figures.__struct_fields__
    if name not in ("runs_judged", "runs_succeeded", "success_rate", "cost_usd")
]
_WORK = Figures.__struct_fields__[: Figures.__struct_fields__.index("messages")]
_CALLS = ("llm_calls", "llm_errors", "input_tokens", "output_tokens", "unpriced_calls")
_APPLYING: dict[By, list[str]] = {
    "agent": [name for name in Figures.__struct_fields__ if name not in ("success_rate", "cost_usd")],
    "model": list(_CALLS),
    "skill": [name for name in _WORK if name != "success_rate"],
}


class Period(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """A period, without its end."""

    start: datetime
    end: datetime


class RateChange(msgspec.Struct, frozen=True):
    """A share now and before, and the difference of the two, if both are known."""

    now: Rate
    before: Rate
    absolute: Annotated[float | None, Meta(description="`now` less `before`.")]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of each kind in the one period and in the other; null where it does not apply."""

    runs_started: Change | None
    runs_completed: Change | None
    runs_failed: Change | None
    runs_cancelled: Change | None
    success_rate: RateChange
    assignments_completed: Change | None
    assignments_failed: Change | None
    messages: Change | None
    tool_calls: Change | None
    tool_errors: Change | None
    llm_calls: Change | None
    llm_errors: Change | None
    input_tokens: Change | None
    output_tokens: Change | None
    cost_usd: CostChange
    unpriced_calls: Change | None


class _Entry(Entry, frozen=True, kw_only=True):
    """What one did in one of the periods, or all `together`. Both entries of a name follow each other."""

    together: bool


class NamedDifference(Difference, frozen=True, kw_only=True):
    """One agent's, model's or skill's."""

    name: str | None


class Comparison(msgspec.Struct, frozen=True):
    """Two periods beside each other: all together, and each name, those that cost most, or did most, first."""

    by: By
    now: Period
    before: Period
    total: Difference
    rows: list[NamedDifference]
    truncated: bool


def comparison(
    models: ReadModels,
    by: By,
    *,
    start: datetime,
    end: datetime,
    before: datetime | None = None,
    limit: int = ROWS_MAX,
    leash: Leash | None = None,
) -> Comparison:
    """A period beside as long a one that began at `before`; by default the one that it followed. Whole hours count.

    Blocks. Raises `InvalidPeriod` or `QueryFailed`.
    """
    refuse_empty("to", start, end)
    other = _earlier(start, end, before)
    asked = parameters(None, start, end, *other)
    # One more than is wanted is all of them together, and each may have done something in both periods.
    found = models.sql(STATEMENTS[by], asked, limit=2 * (limit + 1), leash=leash)
    told: dict[tuple[bool, str | None], dict[bool, Figures]] = {}
    for entry in msgspec.convert(found.records(), list[_Entry]):
        told.setdefault((entry.together, entry.name), {})[entry.start == start] = entry
    nothing = _nothing(by)
    differences = {
        who: _differences(periods.get(True, nothing), periods.get(False, nothing)) for who, periods in told.items()
    }
    total = differences.pop((True, None), None) or _differences(nothing, nothing)
    rows = [NamedDifference(name=name, **difference) for (_, name), difference in differences.items()]
    return Comparison(
        by,
        Period(start, end),
        Period(*other),
        Difference(**total),
        rows[:limit],
        found.truncated or len(rows) > limit,
    )


def _earlier(start: datetime, end: datetime, before: datetime | None) -> tuple[datetime, datetime]:
    """The other period. Raises `InvalidPeriod`."""
    length = end - start
    try:
        begin = start - length if before is None else before
        finish = begin + length
    except OverflowError:
        raise InvalidPeriod(
            "before", "a period as long as this one would lie beyond the years that there are"
        ) from None
    if finish > start:
        raise InvalidPeriod("before", f"the period from then on, as long as the other, must end by {start.isoformat()}")
    return begin, finish


def _differences(now: Figures, before: Figures) -> dict[str, Any]:
    """Each figure's change; None where it does not apply."""
    found: dict[str, Any] = {
        name: None if getattr(now, name) is None else count_change(getattr(now, name), getattr(before, name))
        for name in _COUNTS
    }
    found["success_rate"] = _rate_change(now.success_rate, before.success_rate)
    found["cost_usd"] = cost_change(now.cost_usd, before.cost_usd)
    return found


def _rate_change(now: float | None, before: float | None) -> RateChange:
    return RateChange(now, before, None if now is None or before is None else now - before)


def _nothing(by: By) -> Figures:
    """What somebody did who did nothing."""
    counts = dict.fromkeys(_APPLYING[by], 0)
    return Figures(**counts, cost_usd=None if by == "skill" else "0")
