"""Questions to the read models: by name, or in SQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...projections import Answer, Column
from ...schemas import MalformedEvent
from .bodies import read_body
from .dependencies import OpenLanes, ServingNode, json, unless_gone

STATEMENT_BYTES_MAX = 1024 * 1024

router = APIRouter(tags=["queries"])


Limit = Annotated[int | None, Query(ge=0, description="At most so many rows.")]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One read-only SQL statement, DuckDB's dialect, with its parameters."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None


@router.get("/query")
async def models(node: ServingNode, lanes: OpenLanes) -> Response:
    """The read models: names, descriptions, columns with their types."""
    found = await lanes.reads.run(node.projections.models)
    return json([model._asdict() | {"columns": _columns(model.columns)} for model in found])


@router.get("/query/{name}")
async def rows(request: Request, node: ServingNode, lanes: OpenLanes, name: str, limit: Limit = None) -> Response:
    """A read model's rows, ordered by its columns from the first."""
    ask = partial(node.projections.rows, name, limit=_limit(node, limit))
    return await unless_gone(request, lanes.queries.run(partial(_answer, ask)))


@router.post("/sql")
async def sql(request: Request, node: ServingNode, lanes: OpenLanes) -> Response:
    """What one read-only statement answers. It sees every read model, and the log as `events`.

    A statement that takes too long is stopped (400). If the client goes away while it waits for its turn, it is never
    begun; one that has begun goes on until it is done, or stopped.
    """
    statement = _statement(await read_body(request, bytes_max=STATEMENT_BYTES_MAX))
    ask = partial(
        node.projections.sql,
        statement.sql,
        statement.parameters,
        limit=_limit(node, statement.limit),
        timeout_seconds=node.settings.query_seconds_max,
    )
    return await unless_gone(request, lanes.queries.run(partial(_answer, ask)))


@router.post("/rebuild")
async def rebuild(node: ServingNode, lanes: OpenLanes) -> Response:
    """Build all read models anew from the log, beside the old ones, and put them in their place. One at a time."""
    return json((await lanes.rebuilds.run(node.projections.rebuild))._asdict())


def _statement(body: bytes) -> Statement:
    try:
        return msgspec.json.decode(body, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


def _limit(node: ServingNode, asked: int | None) -> int:
    most = node.settings.query_rows_max
    return most if asked is None else min(asked, most)


def _answer(ask: Callable[[], Answer]) -> Response:
    """The answer, encoded: for a thread, because it may be long."""
    answer = ask()
    return json({"columns": _columns(answer.columns), "rows": answer.records(), "truncated": answer.truncated})


def _columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [column._asdict() for column in columns]
