"""Tools for the colony: its agents, their work, and facts to be recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from ...schemas import new_id
from .node_api import NodeApi
from .tool import SOURCE, Arguments, Rows

WAIT_SECONDS_MAX = 55.0

AgentId = Annotated[str, Meta(description="The agent's id.")]
AssignmentId = Annotated[str, Meta(description="The assignment's id.")]


class ListAgents(Arguments, frozen=True):
    """The agents of the colony: what they can do, whether they are alive, how busy they are, how they are reached.

    Those that have left are only among them when `state` asks for it.
    """

    name: Annotated[str | None, Meta(description="Only those called so; `*` stands for any text.")] = None
    capability: Annotated[str | None, Meta(description="Only those that can do this, as in `code.*`.")] = None
    role: Annotated[str | None, Meta(description="Only those that are for this.")] = None
    state: Annotated[
        str | None, Meta(description="As in `alive,suspect`; also expired, evicted, unregistered, declared, or `all`.")
    ] = None
    limit: Rows = 100
    cursor: Annotated[str | None, Meta(description="The `next` of the page before.")] = None

    async def _do(self, api: NodeApi) -> Any:
        return await api.get("/agents", **msgspec.structs.asdict(self))


class GetAgent(Arguments, frozen=True):
    """One agent, wherever it is in its life, with what came of its work: how often it succeeded, how long it took."""

    agent_id: AgentId

    async def _do(self, api: NodeApi) -> Any:
        return await api.get(_agent(self.agent_id))


class RegisterAgent(Arguments, frozen=True):
    """Have an agent join the colony, under an id that no living agent has.

    One that is no NATS client is given work by a bridge: `endpoint` says where it is reached, and whoever runs the node
    must have allowed it. With `again` it takes the place of one that is there.
    """

    agent_id: AgentId
    capabilities: Annotated[list[str], Meta(min_length=1, description="What it can do, as in `code.review`.")]
    name: Annotated[str | None, Meta(description="What people call it.")] = None
    role: Annotated[str | None, Meta(description="What it is for.")] = None
    description: Annotated[str | None, Meta(description="What it does, in a sentence or two.")] = None
    transport: Literal["nats", "rest", "rpc", "mcp", "file"] | None = None
    endpoint: Annotated[str | None, Meta(description="A URL, a command line or a folder.")] = None
    again: bool = False

    async def _do(self, api: NodeApi) -> Any:
        return await api.post("/agents", _set(self))


class UnregisterAgent(Arguments, frozen=True):
    """Have an agent leave the colony: it commits nothing any more, and its work goes to others. Its history stays."""

    agent_id: AgentId
    reason: str | None = None

    async def _do(self, api: NodeApi) -> Any:
        return await api.delete(_agent(self.agent_id), reason=self.reason)


class Assign(Arguments, frozen=True):
    """Give work to an agent, to the best of all, or else to whoever takes it up first. Answers when it is recorded.

    It waits until an agent takes it up; `get_assignment` waits for what comes of it. `list_agents` says who can do it.
    """

    capability: Annotated[str, Meta(description="What is to be done, as in `code.review`.")]
    input: Annotated[Any, Meta(description="What to work on, as the capability wants it.")] = None
    agent_id: Annotated[str | None, Meta(description="The agent that is to do it.")] = None
    best: Annotated[bool, Meta(description="Choose by rating, load and cost; `chosen` in the answer says why.")] = False
    deadline_seconds: Annotated[float, Meta(gt=0, description="How long it may take in all.")] | None = None
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


class PublishEvent(Arguments, frozen=True):
    """Record a fact in the log, where it stays for ever. Answers when queries can see it.

    `describe_event_type` has the shape of `data`. Under the same `id` an event is recorded once.
    """

    type: Annotated[str, Meta(description="As in `insight.recorded`.")]
    subject: Annotated[str, Meta(description="The id of what it is about, as in `run-9`.")]
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    source: Annotated[str, Meta(description="Who says so, as in `/agents/coder-7`.")] = SOURCE
    id: Annotated[str | None, Meta(description="To be safe to send again, an id of your own.")] = None

    async def _do(self, api: NodeApi) -> Any:
        event = msgspec.structs.asdict(self) | {"specversion": "1.0", "id": self.id or new_id(), "time": _now()}
        taken = await api.post("/events", event)
        return {"id": event["id"]} | taken


def _agent(agent_id: str) -> str:
    return f"/agents/{quote(agent_id, safe='')}"


def _set(asked: Arguments) -> dict[str, Any]:
    """What was said, without what was left out."""
    return {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
