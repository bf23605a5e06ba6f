"""The tools that Rookery has for models: what each takes, what it says of itself, and which route does it.

What a model can't see it guesses, so that descriptions say what to call first, and errors what to do instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from inspect import cleandoc
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Meta

from ...schemas import current_types, new_id
from ...schemas.json_schema import event_schema
from .node_api import NodeApi, ToolFailed

SOURCE = "/clients/mcp"
WAIT_SECONDS_MAX = 55.0

Rows = Annotated[int, Meta(ge=1, le=1_000, description="At most so many rows.")]
AsOf = Annotated[
    str | None,
    Meta(description="Answer as of then: a time (`2026-11-17T09:00Z`), `3 days ago`, or a position (`local:41`)."),
]
Model = Annotated[str, Meta(description="The read model's name, as `list_read_models` has it.")]
AssignmentId = Annotated[str, Meta(description="The assignment's id.")]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a tool takes, and how it is done. A name that it doesn't know is refused: models misspell, too."""

    async def _do(self, api: NodeApi) -> Any:
        raise AssertionError("each tool does something")


class Tool(NamedTuple):
    """One tool. `changes` says whether it changes anything; those that don't may be called as often as one likes."""

    name: str
    title: str
    arguments: type[Arguments]
    changes: bool = False

    @property
    def description(self) -> str:
        """What the model reads."""
        return cleandoc(self.arguments.__doc__ or "")

    @property
    def input_schema(self) -> dict[str, Any]:
        """The arguments in JSON Schema, all in one object."""
        (schema,), definitions = msgspec.json.schema_components([self.arguments], ref_template="#/$defs/{name}")
        own = definitions.pop(schema["$ref"].rpartition("/")[2])
        shown = {name: value for name, value in own.items() if name not in ("title", "description")}
        return shown | ({"$defs": definitions} if definitions else {})

    async def call(self, api: NodeApi, arguments: dict[str, Any]) -> Any:
        """Do it. Raises `ToolFailed`."""
        return await self._read(arguments)._do(api)

    def _read(self, arguments: dict[str, Any]) -> Arguments:
        try:
            return msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as error:
            fields = self.arguments.__struct_fields__
            strangers = [name for name in arguments if name not in fields]
            nearest = get_close_matches(strangers[0], fields, n=1) if strangers else []
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            takes = ", ".join(fields) or "nothing"
            raise ToolFailed(f"{self.name}: {error}{hint} ({self.name} takes {takes})") from None


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
    filters: dict[str, str | int | float | bool] = {}
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


class PublishEvent(Arguments, frozen=True):
    """Record a fact in the log, where it stays for ever. Answers when queries can see it.

    `describe_event_type` has the shape of `data`. Under the same `id` an event is recorded once.
    """

    type: Annotated[str, Meta(description="As in `insight.recorded`.")]
    subject: Annotated[str, Meta(description="The id of what it is about, as in `run-9`.")]
    data: dict[str, Any] = {}
    source: Annotated[str, Meta(description="Who says so, as in `/agents/coder-7`.")] = SOURCE
    id: Annotated[str | None, Meta(description="To be safe to send again, an id of your own.")] = None

    async def _do(self, api: NodeApi) -> Any:
        event = msgspec.structs.asdict(self) | {"specversion": "1.0", "id": self.id or new_id(), "time": _now()}
        taken = await api.post("/events", event)
        return {"id": event["id"]} | taken


class ListAgents(Arguments, frozen=True):
    """The agents of the colony, with what they can do, whether they are alive, and how busy they are."""

    state: Annotated[str | None, Meta(description="Only those: alive, suspect, expired, evicted, unregistered.")] = None
    capability: Annotated[str | None, Meta(description="Only those that have it, as in `code.review`.")] = None
    limit: Rows = 100

    async def _do(self, api: NodeApi) -> Any:
        found = await api.get("/query/agents", state=self.state, limit=self.limit)
        agents = [one for one in found["rows"] if self.capability in (None, *one["capabilities"])]
        return {"agents": agents, "next": found["next"]}


class Assign(Arguments, frozen=True):
    """Give work to an agent, or to whoever has the capability where none is named. Answers when it is recorded.

    It waits until an agent takes it up; `get_assignment` waits for what comes of it. `list_agents` says who can do it.
    """

    capability: Annotated[str, Meta(description="What is to be done, as in `code.review`.")]
    input: Annotated[Any, Meta(description="What to work on, as the capability wants it.")] = None
    agent_id: Annotated[str | None, Meta(description="The agent that is to do it.")] = None
    timeout_seconds: Annotated[float, Meta(gt=0, description="How long an attempt may take.")] | None = None
    id: Annotated[str | None, Meta(description="To be safe to ask again, an id of your own.")] = None

    async def _do(self, api: NodeApi) -> Any:
        return await api.post("/assignments", _set(self) | {"source": SOURCE})


class GetAssignment(Arguments, frozen=True):
    """How an assignment stands, and what came of it. With `wait_seconds` it answers when it is over, or then."""

    assignment_id: AssignmentId
    wait_seconds: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0

    async def _do(self, api: NodeApi) -> Any:
        return await api.get(f"/assignments/{quote(self.assignment_id, safe='')}", wait_seconds=self.wait_seconds)


class CancelAssignment(Arguments, frozen=True):
    """Call work off. What is over stays as it is, and is refused."""

    assignment_id: AssignmentId
    reason: str | None = None

    async def _do(self, api: NodeApi) -> Any:
        return await api.post(f"/assignments/{quote(self.assignment_id, safe='')}/cancel", {"reason": self.reason})


def _set(asked: Arguments) -> dict[str, Any]:
    """What was said, without what was left out."""
    return {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}


def _text(value: str | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _vector(position: str | None) -> dict[str, int]:
    """A position that the node has taken already, in parts."""
    parts = (part.rpartition(":") for part in (position or "").split(",") if part)
    return {origin: int(n) for origin, _, n in parts}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


TOOLS = (
    Tool("status", "How the node is", Status),
    Tool("list_read_models", "What can be asked", ListReadModels),
    Tool("query_read_model", "Rows of a read model", QueryReadModel),
    Tool("sql", "Ask in SQL, read-only", Sql),
    Tool("why", "The events behind a row", Why),
    Tool("recent_events", "The log's latest events", RecentEvents),
    Tool("describe_event_type", "What events look like", DescribeEventType),
    Tool("publish_event", "Record a fact", PublishEvent, changes=True),
    Tool("list_agents", "Who is in the colony", ListAgents),
    Tool("assign", "Give work to an agent", Assign, changes=True),
    Tool("get_assignment", "How work stands", GetAssignment),
    Tool("cancel_assignment", "Call work off", CancelAssignment, changes=True),
)
