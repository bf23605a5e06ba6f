"""The colony at a glance, under the paths that existing dashboards ask: a summary, and charts ready to be drawn."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from ...projections import Leash
from ..dashboard import AGENTS_MAX, Dashboard, dashboard
from ..dashboard import STATEMENT as DASHBOARD_STATEMENT
from ..proficiency import OUTCOMES
from ..summary import DAYS_MAX, HOURS_MAX, TOP_MAX, Summary, summary
from ..summary import STATEMENT as SUMMARY_STATEMENT
from .dependencies import OpenLanes, ServingNode, in_time, json
from .examples import DASHBOARD, SUMMARY
from .past import AsOf, TimeAsOf, dated
from .proficiency import kept, needed
from .shapes import answers

YEARS = range(1970, 9_999)
QUERY_SECONDS_MAX = 10.0

router = APIRouter(prefix="/hobby", tags=["metrics"])


def in_utc(time: datetime | None) -> datetime | None:
    """The time in UTC; without a zone, it is. Raises `ValueError`."""
    if time is None:
        return None
    if time.year not in YEARS:
        raise ValueError(f"the year must be from {YEARS.start} to {YEARS.stop - 1}")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


Now = Annotated[
    datetime | None,
    AfterValidator(in_utc),
    Query(description="As of this time (RFC 3339; without a zone, UTC) instead of the present."),
]
Hours = Annotated[int, Query(ge=1, le=HOURS_MAX, description="How many hours, the present one included.")]
Days = Annotated[int, Query(ge=1, le=DAYS_MAX, description="How many days, today included.")]
Most = Annotated[int, Query(ge=1, le=TOP_MAX, description="How many agents, models and tools to list.")]
Shown = Annotated[int, Query(ge=1, le=AGENTS_MAX, description="How many agents the radar shows.")]


@router.get("/metrics/summary", responses=answers(Summary, "The summary.", SUMMARY))
async def summary_of_colony(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    hours: Hours = 24,
    days: Days = 30,
    top: Most = 10,
    now: Now = None,
    moment: AsOf = None,
) -> Response:
    """Totals, a timeline by hour and by day, trends, and who cost most: all of one moment.

    Trends compare the complete hours (days) before the present one with as many before those. Money is a decimal
    string: "0" where no model was called, and null where models were called whose prices nobody knows. `now` moves the
    timelines and the trends; totals and lists are always since the first event, until the present. `as_of` moves all.
    """
    leash = Leash(QUERY_SECONDS_MAX)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(SUMMARY_STATEMENT), leash) as models:
            return json(summary(models, now=now or time, hours=hours, days=days, top=top, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/dashboard", responses=answers(Dashboard, "The charts.", DASHBOARD))
async def charts(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    hours: Hours = 24,
    agents: Shown = 5,
    now: Now = None,
    moment: AsOf = None,
) -> Response:
    """Charts ready to be drawn: radar, bar, line and pie, all of one moment.

    Each series has one value for each label of its chart. Money is drawn from floats (`data`), and `exact` has the same
    amounts as decimal strings. What there is no room for is summed up as `other`, and `cut` says how many those are.
    """
    leash = Leash(QUERY_SECONDS_MAX)

    def answer() -> Response:
        with node.projections.at(moment, needed(node, DASHBOARD_STATEMENT, OUTCOMES), leash) as models:
            ratings = kept(node, models, moment).level(leash)
            return json(dashboard(models, ratings, now=now or time, hours=hours, agents=agents, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)
