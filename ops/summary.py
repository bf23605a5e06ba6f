"""The summary: what the colony has done, hour by hour and day by day, and whether that is more or less than before.

Money is a decimal string, exact to the last place. It is "0" where no model was called, and null where models were
called whose prices nobody knows. All times are UTC.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ..projections import Leash, ReadModels
from ..projections.answers import digits

HOURS_MAX = 31 * 24
DAYS_MAX = 366
TOP_MAX = 100
EXACT = Context(prec=80)  # two of DuckDB's decimals can't differ by more

STATEMENT = (Path(__file__).parent / "sql" / "summary.sql").read_text("utf-8")

Cost = Annotated[str | None, Meta(description="US dollars, exact, as a decimal string; null where no price is known.")]
Relative = Annotated[
    float | None, Meta(description="The change by what was before, as in 0.25 for a quarter more; null if that was 0.")
]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in some time. `unpriced_calls` are those that `cost_usd` leaves out."""

    events: int
    messages: int
    tool_calls: int
    tool_errors: int
    llm_calls: int
    llm_errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: Cost
    unpriced_calls: int


class Totals(Figures, frozen=True, kw_only=True):
    """The colony as a whole, since its first event."""

    agents: int
    agents_alive: int
    active_agents: int
    runs: int
    runs_running: int
    first_hour: datetime | None
    last_hour: datetime | None


class PeriodFigures(Figures, frozen=True, kw_only=True):
    """What happened in a period."""

    runs_started: int
    runs_completed: int
    runs_failed: int


class Hour(PeriodFigures, frozen=True, kw_only=True):
    """What happened from `hour` on, until the next."""

    hour: datetime
    active_agents: int


class Day(PeriodFigures, frozen=True, kw_only=True):
    """What happened on `day`."""

    day: date
    active_agents: int


class Change(msgspec.Struct, frozen=True):
    """A figure of this period, of the one before, and by how much they differ."""

    now: int
    before: int
    absolute: int
    relative: Relative


class CostChange(msgspec.Struct, frozen=True):
    """The same of money. Where one of the two is not known, neither is the change."""

    now: Cost
    before: Cost
    absolute: Cost
    relative: Relative


class Trend(msgspec.Struct, frozen=True, kw_only=True):
    """The period from `start` to `end`, which is not in it, against as long a one that began at `before`."""

    before: datetime
    start: datetime
    end: datetime
    events: Change
    messages: Change
    runs_started: Change
    runs_completed: Change
    runs_failed: Change
    tool_calls: Change
    tool_errors: Change
    llm_calls: Change
    llm_errors: Change
    input_tokens: Change
    output_tokens: Change
    cost_usd: CostChange
    unpriced_calls: Change


class Trends(msgspec.Struct, frozen=True):
    """Trends over complete hours and complete days."""

    hourly: Trend
    daily: Trend


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """Model calls and what they cost."""

    llm_calls: int
    llm_errors: int
    input_tokens: int
    output_tokens: int
    cost_usd: Cost
    unpriced_calls: int


class AgentSpending(Spending, frozen=True, kw_only=True):
    """One agent's; `agent_id` is null for the calls that don't say."""

    agent_id: str | None


class ModelSpending(Spending, frozen=True, kw_only=True):
    """One model's."""

    provider: str
    model: str


class ToolUse(msgspec.Struct, frozen=True):
    """How often a tool was called, and failed."""

    tool: str
    calls: int
    errors: int


class Top(msgspec.Struct, frozen=True):
    """Who cost most, and the tools that were called most; since the first event."""

    agents: list[AgentSpending]
    models: list[ModelSpending]
    tools: list[ToolUse]


class Summary(msgspec.Struct, frozen=True):
    """The colony in numbers. The timelines have a row for every hour and day, the oldest first, `now`'s last."""

    now: datetime
    totals: Totals
    hourly: list[Hour]
    daily: list[Day]
    trends: Trends
    top: Top


def summary(
    models: ReadModels,
    *,
    now: datetime,
    hours: int = 24,
    days: int = 30,
    top: int = 10,
    leash: Leash | None = None,
) -> Summary:
    """The summary as of `now`, which is in UTC. Blocks. Raises `QueryFailed`."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    parameters = {"hour": hour.replace(tzinfo=None), "day": day.date(), "hours": hours, "days": days, "top": top}
    (found,) = models.sql(STATEMENT, parameters, limit=1, leash=leash).records()
    return Summary(
        now=now,
        totals=msgspec.convert(found["totals"], Totals),
        hourly=msgspec.convert(found["hourly"], list[Hour]),
        daily=msgspec.convert(found["daily"], list[Day]),
        trends=Trends(
            hourly=_trend(hour, timedelta(hours=hours), found["hourly_now"], found["hourly_before"]),
            daily=_trend(day, timedelta(days=days), found["daily_now"], found["daily_before"]),
        ),
        top=Top(
            agents=msgspec.convert(found["top_agents"], list[AgentSpending]),
            models=msgspec.convert(found["top_models"], list[ModelSpending]),
            tools=msgspec.convert(found["top_tools"], list[ToolUse]),
        ),
    )


def _trend(end: datetime, length: timedelta, now: dict[str, Any], before: dict[str, Any]) -> Trend:
    changes: dict[str, Any] = {
        name: count_change(now[name], before[name]) for name in PeriodFigures.__struct_fields__ if name != "cost_usd"
    }
    cost = cost_change(now["cost_usd"], before["cost_usd"])
    return Trend(before=end - 2 * length, start=end - length, end=end, cost_usd=cost, **changes)


def count_change(now: int, before: int) -> Change:
    """How a count changed."""
    return Change(now, before, now - before, (now - before) / before if before else None)


def cost_change(now: str | None, before: str | None) -> CostChange:
    """How an amount of dollars changed, as decimal strings."""
    if now is None or before is None:
        return CostChange(now, before, None, None)
    base = Decimal(before)
    change = EXACT.subtract(Decimal(now), base)
    return CostChange(now, before, digits(change), float(change / base) if base else None)
