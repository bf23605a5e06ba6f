"""Tools that ask: the node, its read models, its log."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import cleandoc
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta

from ...schemas import current_types
from ...schemas.json_schema import event_schema
from .node_api import NodeApi, ToolFailed
from .tool import Arguments, Rows

AsOf = Annotated[
    str | None,
    Meta(description="Answer as of then: a time (`2026-11-17T09:00Z`), `3 days ago`, or a position (`local:41`)."),
]
Model = Annotated[str, Meta(description="The read model's name, as `list_read_models` has it.")]


class Status(Arguments, frozen=True):
    """How the node is, what it holds, and how far each part of it is behind. Call this first when something is odd."""

    async def _do(self, api: NodeApi) -> Any:
        return await api.get("/status")


class ListReadModels(Arguments, frozen=True):
    """Every read model (table) with its description and its columns with their types.

    Call this before `query_read_model` or `sql`: it says what can be asked. Money is exact, times are UTC.
    """

    async def _do(self, api: NodeApi) -> Any:
        return {"read_models": await api.get("/query")}


class QueryReadModel(Arguments, frozen=True):
    """Rows of one read model: filtered, sorted, in pages.

    A filter is a column, or `column.OPERATOR` with ne, lt, le, gt, ge, in (`a,b`), like, null (`true`, `false`). All
    must hold: `{"status": "running", "cost_usd.gt": "1.50"}`. `next` in an answer is the `cursor` of the next page.
    """

    name: Model
    filters: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
    select: Annotated[list[str] | None, Meta(description="Only these columns.")] = None
    sort: Annotated[str | None, Meta(description="Columns, `-` for descending: `-cost_usd,run_id`.")] = None
    limit: Rows = 50
    cursor: Annotated[str | None, Meta(description="The `next` of the page before.")] = None
    as_of: AsOf = None

    async def _do(self, api: NodeApi) -> Any:
        found = await api.get(
            f"/query/{quote(self.name, safe='')}",
            **{name: _text(value) for name, value in self.filters.items()},
            select=",".join(self.select) if self.select else None,
            sort=self.sort,
            limit=self.limit,
            cursor=self.cursor,
            as_of=self.as_of,
        )
        return {"rows": found["rows"], "next": found["next"]}


class Sql(Arguments, frozen=True):
    """What one read-only SQL statement answers, in DuckDB's dialect, over every read model and the log (`events`).

    It can't change anything, read files or take longer than the node allows. `list_read_models` has the columns.
    Placeholders are `?` with a list of parameters, or `$name` with an object.
    """

    sql: Annotated[str, Meta(min_length=1, description="One select statement.")]
    parameters: list[Any] | dict[str, Any] | None = None
    limit: Rows = 100
    as_of: AsOf = None

    async def _do(self, api: NodeApi) -> Any:
        statement = {"sql": self.sql, "parameters": self.parameters, "limit": self.limit}
        found = await api.post("/sql", statement, as_of=self.as_of)
        return {"rows": found["rows"], "truncated": found["truncated"]}


class Why(Arguments, frozen=True):
    """The events that make a read model's row what it is: the answer to "where does this number come from?"."""

    name: Model
    key: Annotated[str, Meta(description="The row's key, as in `run-9`; several columns with commas.")]
    limit: Rows = 50

    async def _do(self, api: NodeApi) -> Any:
        path = f"/query/{quote(self.name, safe='')}/{quote(self.key, safe=',')}/why"
        return await api.get(path, limit=self.limit)


class RecentEvents(Arguments, frozen=True):
    """The log's latest events, oldest first; with `after`, those behind a position.

    Each has its address (`origin` and `n`), type, subject, time, source and data. To follow the log, call again with
    `after` set to the `position` of the answer.
    """

    types: Annotated[list[str] | None, Meta(description="Only these, as in `run.failed`, or `run.*`.")] = None
    entity: Annotated[str | None, Meta(description="Only this entity's, as in `run/run-9`.")] = None
    agent_id: Annotated[str | None, Meta(description="Only what this agent did, or what is about it.")] = None
    after: Annotated[str | None, Meta(description="Start behind this position, as in `local:41`.")] = None
    last: Annotated[int, Meta(ge=1, le=10_000, description="Without `after`: look at so many at the end.")] = 100
    limit: Rows = 100

    async def _do(self, api: NodeApi) -> Any:
        events = await api.lines(
            "/events",
            type=self.types,
            entity=self.entity,
            agent=self.agent_id,
            after=self.after,
            last=None if self.after else self.last,
            limit=self.limit,
        )
        position = _vector(self.after)
        for event in events:
            position[event["origin"]] = event["n"]
        return {"events": events, "position": ",".join(f"{origin}:{n}" for origin, n in position.items())}


class DescribeEventType(Arguments, frozen=True):
    """The types of events there are, or the JSON Schema of one. Call this before `publish_event`."""

    type: Annotated[str | None, Meta(description="As in `run.started`; without it, all are listed.")] = None

    async def _do(self, api: NodeApi) -> Any:
        types = {known.name: known for known in current_types()}
        if self.type is None:
            return {"event_types": {name: cleandoc(known.struct.__doc__ or "") for name, known in types.items()}}
        if self.type not in types:
            nearest = get_close_matches(self.type, types, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else "leave `type` out, and all are listed"
            raise ToolFailed(f"there is no event type {self.type!r}: {hint}")
        return event_schema(types[self.type])


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _vector(position: str | None) -> dict[str, int]:
    """A position that the node has taken already, in parts."""
    parts = (part.rpartition(":") for part in (position or "").split(",") if part)
    return {origin: int(n) for origin, _, n in parts}
