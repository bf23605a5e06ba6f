"""Asking about the past: `as_of`, for every route that reads, and the moment that an answer is of."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Response

from ...projections import moment_of, moment_text, time_of
from .dependencies import OpenLanes, ServingNode

HEADER = "rookery-as-of"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # no timeline begins before

Vector = dict[str, int]


Asked = Annotated[
    str | None,
    Query(
        description="Answer as a node that had stopped then: a time (RFC 3339, UTC without a zone, or `3 days ago`), "
        "or how far the log had come, as in `local:41,west:7`."
    ),
]


async def as_of(node: ServingNode, lanes: OpenLanes, as_of: Asked = None) -> Vector | None:
    """How far the log was at the moment that is asked for; None if none is. Raises `InvalidMoment`."""
    return None if as_of is None else await lanes.reads.run(partial(moment_of, as_of, node.log))


async def _time_as_of(node: ServingNode, lanes: OpenLanes, as_of: Asked = None) -> datetime:
    if as_of is None:
        return datetime.now(UTC)
    return max(await lanes.reads.run(partial(time_of, as_of, node.log)), EPOCH)


AsOf = Annotated[Vector | None, Depends(as_of)]
TimeAsOf = Annotated[datetime, Depends(_time_as_of)]  # the present, where nobody asks about the past


def dated(response: Response, moment: Vector | None) -> Response:
    """The response, with word of the moment that it is of, if that is past: one that `as_of` takes again."""
    if moment is not None:
        response.headers[HEADER] = moment_text(moment)
    return response
