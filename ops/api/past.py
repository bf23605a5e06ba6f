"""Asking about the past: `as_of`, for every route that reads, and the moment that an answer is of."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Response

from ...projections import moment_of, moment_text
from .dependencies import OpenLanes, ServingNode

HEADER = "rookery-as-of"

Vector = dict[str, int]


async def _as_of(
    node: ServingNode,
    lanes: OpenLanes,
    as_of: Annotated[
        str | None,
        Query(
            description="Answer as a node that had stopped then: a time (RFC 3339, or `3 days ago`; without a zone, "
            "UTC) or how far the log had come, as in `local:41,west:7`."
        ),
    ] = None,
) -> Vector | None:
    return None if as_of is None else await lanes.reads.run(partial(moment_of, as_of, node.log))


AsOf = Annotated[Vector | None, Depends(_as_of)]


def dated(response: Response, moment: Vector | None) -> Response:
    """The response, with word of the moment that it is of, if that is past: one that `as_of` takes again."""
    if moment is not None:
        response.headers[HEADER] = moment_text(moment)
    return response
