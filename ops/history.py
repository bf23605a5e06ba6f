"""History: what agents, models and skills did in each hour, day or month.

What does not apply is null: model calls name no skill, and runs no model. Otherwise what is null is not known, and what
did not happen is 0. Money is a decimal string. All times are UTC, and a period's end is not in it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..projections import Answer, Leash, ReadModels
from ..schemas import InvalidInput
from .summary import Cost

ROWS_MAX = 10_000
PERIODS_SHOWN = 30  # where nobody says from when

By = Literal["agent", "model", "skill"]
Unit = Literal["hour", "day", "month"]

_SQL = Path(__file__).parent / "sql"
STATEMENTS: dict[By, str] = {
    by: (_SQL / f"history_by_{by}.sql").read_text("utf-8") for by in ("agent", "model", "skill")
}

Count = Annotated[int | None, Meta(description="How often; null where it does not apply.")]
Rate = Annotated[
    float | None,
    Meta(description="Of the runs of which it is known, of a model's calls: the share that succeeded. Null: of none."),
]


class InvalidPeriod(InvalidInput):
    """A period that does not end after it begins, or that there can't be."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"{field}: {reason}")


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was done in some time. `unpriced_calls` are those that `cost_usd` leaves out."""

    runs_started: Count = None
    runs_completed: Count = None
    runs_failed: Count = None
    runs_cancelled: Count = None
    runs_judged: Count = None
    runs_succeeded: Count = None
    success_rate: Rate = None
    assignments_completed: Count = None
    assignments_failed: Count = None
    messages: Count = None
    tool_calls: Count = None
    tool_errors: Count = None
    llm_calls: Count = None
    llm_errors: Count = None
    input_tokens: Count = None
    output_tokens: Count = None
    cost_usd: Cost = None
    unpriced_calls: Count = None


class Entry(Figures, frozen=True, kw_only=True):
    """What one agent, model (`provider/model`) or skill did in the hour, day or month that began at `start`.

    `name` is null for what nobody is named for.
    """

    start: datetime
    name: str | None


class History(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """What was done in the hours that began from `from` on and before `to`, by periods, the oldest first."""

    by: By
    unit: Unit
    start: datetime
    end: datetime
    rows: list[Entry]
    truncated: bool


def history(
    models: ReadModels,
    by: By,
    unit: Unit,
    *,
    start: datetime | None,
    end: datetime,
    limit: int = ROWS_MAX,
    leash: Leash | None = None,
) -> History:
    """The history of a stretch of time; without a `start`, its last periods. Blocks.

    Raises `InvalidPeriod` or `QueryFailed`.
    """
    start = _earlier(end, unit) if start is None else start
    refuse_empty("to", start, end)
    found = models.sql(STATEMENTS[by], parameters(unit, start, end, start, start), limit=limit, leash=leash)
    return History(by, unit, start, end, entries_in(found), found.truncated)


def entries_in(found: Answer) -> list[Entry]:
    """What a statement answered."""
    return msgspec.convert(found.records(), list[Entry])


def parameters(
    unit: Unit | None, start: datetime, end: datetime, before: datetime, before_end: datetime
) -> dict[str, Any]:
    """What the statements are asked with; without a unit, two periods as a whole."""
    times = {"start": start, "finish": end, "before": before, "before_finish": before_end}
    naive = {name: time.replace(tzinfo=None) for name, time in times.items()}
    return {"whole": unit is None, "unit": unit or "hour", **naive}


def _earlier(end: datetime, unit: Unit) -> datetime:
    """Where the last periods before `end` begin."""
    midnight = end.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "hour":
        return end.replace(minute=0, second=0, microsecond=0) - timedelta(hours=PERIODS_SHOWN - 1)
    if unit == "day":
        return midnight - timedelta(days=PERIODS_SHOWN - 1)
    months = max(end.year * 12 + end.month - PERIODS_SHOWN, 12)
    return midnight.replace(year=months // 12, month=months % 12 + 1, day=1)


def refuse_empty(field: str, start: datetime, end: datetime) -> None:
    """Raises `InvalidPeriod`."""
    if end <= start:
        raise InvalidPeriod(field, f"{end.isoformat()} is not after {start.isoformat()}, where the period begins")
