"""History over HTTP: hour by hour, day by day or month by month, and two periods beside each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from ...projections import Leash
from ..comparison import Comparison, comparison
from ..history import ROWS_MAX, STATEMENTS, By, History, Unit, history
from .dependencies import OpenLanes, ServingNode, in_time, json
from .examples import COMPARISON, HISTORY
from .hobby import in_utc
from .past import AsOf, TimeAsOf, dated
from .shapes import answers

COMPARED_SHOWN = 100
AN_EARLIER_DAY, A_DAY, A_LATER_DAY = "2026-10-01T00:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"

router = APIRouter(tags=["history"])

Of = Annotated[By, Query(description="Whose history.", examples=["agent"])]
In = Annotated[Unit, Query(description="How long each period is.", examples=["day"])]
Limit = Annotated[int, Query(ge=1, le=ROWS_MAX, description="At most so many rows.")]
From = Annotated[
    datetime | None,
    AfterValidator(in_utc),
    Query(
        alias="from",
        description="Hours that begin then or later count (RFC 3339; without a zone, UTC).",
        examples=[A_DAY],
    ),
]
To = Annotated[
    datetime | None,
    AfterValidator(in_utc),
    Query(description="Hours that begin before count; by default, now.", examples=[A_LATER_DAY]),
]
Begin = Annotated[
    datetime, AfterValidator(in_utc), Query(alias="from", description="Where the period begins.", examples=[A_DAY])
]
End = Annotated[
    datetime | None,
    AfterValidator(in_utc),
    Query(description="Where it ends; by default, now.", examples=[A_LATER_DAY]),
]
Before = Annotated[
    datetime | None,
    AfterValidator(in_utc),
    Query(
        description="Where the other period begins, which is as long; by default, it ends where the one begins.",
        examples=[AN_EARLIER_DAY],
    ),
]


@router.get("/history", responses=answers(History, "The history.", HISTORY))
@router.get("/hobby/archive/history", responses=answers(History, "The history.", HISTORY))
async def history_of(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    by: Of = "agent",
    unit: In = "day",
    start: From = None,
    to: To = None,
    limit: Limit = ROWS_MAX,
    moment: AsOf = None,
) -> Response:
    """What each agent, model or skill did in each hour, day or month since the first event, archived ones included.

    Where no `from` says otherwise, the last 30 of them. A period in which nothing happened has no row. Of a day or a
    month that `from` or `to` cuts, the hours between them count. Figures that do not apply, like a model's runs, are
    null; so is money that nobody knows.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(STATEMENTS[by]), leash) as models:
            return json(history(models, by, unit, start=start, end=to or time, limit=limit, leash=leash))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/history/compare", responses=answers(Comparison, "The comparison.", COMPARISON))
async def comparison_of(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    time: TimeAsOf,
    start: Begin,
    by: Of = "agent",
    to: End = None,
    before: Before = None,
    limit: Limit = COMPARED_SHOWN,
    moment: AsOf = None,
) -> Response:
    """A period beside an earlier one: counts, tokens, money and the share of success, and how each changed.

    `total` is of all, whether or not they are among the rows. Those that cost most, or did most, come first.
    """
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(STATEMENTS[by]), leash) as models:
            found = comparison(models, by, start=start, end=to or time, before=before, limit=limit, leash=leash)
            return json(found)

    return dated(await in_time(request, lanes, leash, answer), moment)
