"""Questions to the read models: by name, or in SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...projections import Answer, Column
from ...schemas import MalformedEvent
from .dependencies import ServingNode, json

router = APIRouter(tags=["queries"])


Limit = Annotated[int | None, Query(ge=0, description="At most so many rows.")]


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One read-only SQL statement, DuckDB's dialect, with its parameters."""

    sql: str
    parameters: list[Any] | dict[str, Any] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None


@router.get("/query")
async def models(node: ServingNode) -> Response:
    """The read models: names, descriptions, columns with their types."""
    found = await asyncio.to_thread(node.projections.models)
    return json([model._asdict() | {"columns": _columns(model.columns)} for model in found])


@router.get("/query/{name}")
async def rows(node: ServingNode, name: str, limit: Limit = None) -> Response:
    """A read model's rows, ordered by its columns from the first."""
    return _answer(await asyncio.to_thread(node.projections.rows, name, limit=_limit(node, limit)))


@router.post("/sql")
async def sql(node: ServingNode, request: Request) -> Response:
    """What one read-only statement answers. It sees every read model, and the log as `events`."""
    try:
        statement = msgspec.json.decode(await request.body(), type=Statement)
    except msgspec.MsgspecError as error:
        raise MalformedEvent(str(error), "body") from None
    answer = await asyncio.to_thread(
        node.projections.sql,
        statement.sql,
        statement.parameters,
        limit=_limit(node, statement.limit),
        timeout_seconds=node.settings.query_seconds_max,
    )
    return _answer(answer)


@router.post("/rebuild")
async def rebuild(node: ServingNode) -> Response:
    """Build all read models anew from the log, beside the old ones, and put them in their place."""
    return json((await node.rebuild())._asdict())


def _limit(node: ServingNode, asked: int | None) -> int:
    most = node.settings.query_rows_max
    return most if asked is None else min(asked, most)


def _answer(answer: Answer) -> Response:
    return json({"columns": _columns(answer.columns), "rows": answer.records(), "truncated": answer.truncated})


def _columns(columns: Sequence[Column]) -> list[dict[str, str]]:
    return [column._asdict() for column in columns]
