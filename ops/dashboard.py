"""The dashboard's charts, ready to be drawn: radar, bar, line and pie, never with more in them than a screen holds.

What is drawn are numbers. Of money they are floats, which is what charts can draw, with the exact amounts beside them.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..handlers.proficiency import Ratings
from ..projections import Leash, ReadModels
from .proficiency import day_of

AGENTS_MAX = 20
SKILLS_MAX = 12
BARS_MAX = 20
SLICES_MAX = 10
RATING_PLACES = 4

STATEMENT = (Path(__file__).parent / "sql" / "dashboard.sql").read_text("utf-8")

Unit = Literal["rating", "USD", "events", "tokens", "calls", "runs"]


class Series(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value for each label of its chart; null where there is none, or where a price is not known."""

    name: str
    data: list[float | int | None]
    exact: Annotated[
        list[str | None] | None, Meta(description="Of money only: the exact amounts, as decimal strings.")
    ] = None


class Chart(msgspec.Struct, frozen=True):
    """One chart. `cut`: how many there was no room for; they are summed up as the label `other`."""

    name: str
    kind: Literal["radar", "bar", "line", "pie"]
    title: str
    unit: Unit
    labels: list[str]
    series: list[Series]
    cut: int = 0


class Dashboard(msgspec.Struct, frozen=True):
    """All charts, as of `now`. The labels of line charts are hours in UTC, the oldest first, `now`'s last."""

    now: datetime
    charts: list[Chart]


def dashboard(
    models: ReadModels,
    ratings: Ratings,
    *,
    now: datetime,
    hours: int = 24,
    agents: int = 5,
    leash: Leash | None = None,
) -> Dashboard:
    """The charts as of `now`, which is in UTC, with the ratings of then. Blocks. Raises `QueryFailed`."""
    hour = now.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    bounds = {"agents": agents, "skills": SKILLS_MAX, "bars": BARS_MAX, "slices": SLICES_MAX}
    parameters = {"hour": hour, "hours": hours, **bounds}
    (found,) = models.sql(STATEMENT, parameters, limit=1, leash=leash).records()
    timeline = found["hours"]
    return Dashboard(
        now,
        [
            _radar(found["agents"], found["skills"], found["rated"], ratings, now),
            _bars("cost_by_model", "Cost by model", found["cost_by_model"]),
            _bars("cost_by_agent", "Cost by agent", found["cost_by_agent"]),
            _lines("events", "Events per hour", "events", timeline, ["events"]),
            _lines("tokens", "Tokens per hour", "tokens", timeline, ["input_tokens", "output_tokens"]),
            _lines("cost", "Cost per hour", "USD", timeline, ["cost_usd"]),
            _pie("calls_by_provider", "Model calls by provider", "calls", found["calls_by_provider"]),
            _pie("runs_by_status", "Runs by status", "runs", found["runs_by_status"]),
        ],
    )


def _radar(agents: list[str], skills: list[str], rated: list[dict[str, str]], ratings: Ratings, now: datetime) -> Chart:
    day = day_of(now)
    known = {
        (one["agent_id"], one["skill"]): round(ratings.lookup(**one, day=day).rating, RATING_PLACES) for one in rated
    }
    series = [Series(agent, [known.get((agent, skill)) for skill in skills]) for agent in agents]
    return Chart("proficiency", "radar", "Proficiency by skill", "rating", skills, series)


def _bars(name: str, title: str, rows: list[dict[str, Any]]) -> Chart:
    return Chart(name, "bar", title, "USD", _names(rows), [_money("cost_usd", rows)], _cut(rows))


def _lines(name: str, title: str, unit: Unit, hours: list[dict[str, Any]], columns: list[str]) -> Chart:
    labels = [hour["hour"] for hour in hours]
    make = _money if unit == "USD" else _plain
    return Chart(name, "line", title, unit, labels, [make(column, hours) for column in columns])


def _pie(name: str, title: str, unit: Unit, rows: list[dict[str, Any]]) -> Chart:
    series = [Series(unit, [row["number"] for row in rows])]
    return Chart(name, "pie", title, unit, _names(rows), series, _cut(rows))


def _plain(column: str, rows: list[dict[str, Any]]) -> Series:
    return Series(column, [row[column] for row in rows])


def _money(column: str, rows: list[dict[str, Any]]) -> Series:
    exact = [row[column] for row in rows]
    return Series(column, [None if amount is None else float(amount) for amount in exact], exact)


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


def _cut(rows: list[dict[str, Any]]) -> int:
    return sum(row["cut"] for row in rows)
