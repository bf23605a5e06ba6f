"""Agents as people look for them: who there is, who answers to whom, and what came of each one's work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta
from msgspec.structs import asdict

from ..handlers.fleet import AgentRecord, UnknownAgent
from ..handlers.fleet.liveness import Sighting
from ..projections import Leash, ReadModels
from ..schemas import InvalidInput
from .summary import Cost

AGENTS_MAX = 10_000
TREE_AGENTS_MAX = 50_000
TREE_DEPTH_MAX = 100

State = Literal["declared", "alive", "suspect", "expired", "evicted", "unregistered", "unknown"]
GONE: tuple[State, ...] = ("evicted", "unregistered")
PRESENT: tuple[State, ...] = ("declared", "alive", "suspect", "expired", "unknown")

_SQL = Path(__file__).parent / "sql"
AGENTS = (_SQL / "agents.sql").read_text("utf-8")
STATS = (_SQL / "agent_stats.sql").read_text("utf-8")


class InvalidFilter(InvalidInput):
    """Agents can't be looked for so: `field` says which filter is at fault."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"{field}: {reason}")


class Filters(NamedTuple):
    """Which agents are looked for. In `name` and `capability`, `*` stands for any text; case doesn't count in names."""

    agent_id: str | None = None
    name: str | None = None
    capability: str | None = None
    role: str | None = None
    tier: str | None = None
    states: Sequence[str] | None = PRESENT
    parent: str | None = None

    def parameters(self) -> dict[str, Any]:
        """As the statement takes them."""
        name, capability = (None if one is None else _pattern(one) for one in (self.name, self.capability))
        states = None if self.states is None else list(self.states)
        return {**self._asdict(), "name": name, "capability": capability, "states": states}


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an agent's work. `running` is its load; `cost_usd` leaves the `unpriced_calls` out."""

    begun: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    released: int = 0
    success_rate: float | None = None
    mean_score: float | None = None
    mean_seconds: float | None = None
    median_seconds: float | None = None
    p95_seconds: float | None = None
    llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Cost = "0"
    unpriced_calls: int = 0
    last_started_at: datetime | None = None
    last_ended_at: datetime | None = None


class AgentWork(Work, frozen=True, kw_only=True):
    """One agent's."""

    agent_id: str
    name: str | None
    state: State


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of a page of agents; `next` is what `cursor` takes to go on behind it."""

    agents: list[AgentWork]
    next: str | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as the colony knows it."""

    agent_id: str
    name: str | None = None
    role: str | None = None
    description: str | None = None
    tier: str | None = None
    parent_agent_id: str | None = None
    capabilities: list[str]
    transport: str | None = None
    endpoint: str | None = None
    version: str | None = None
    state: State
    state_since: datetime | None = None
    incarnation: int | None = None
    heartbeat_interval_seconds: float | None = None
    registered_at: datetime | None = None
    last_seen_at: datetime | None = None
    active_assignments: int | None = None
    assignments_max: int | None = None
    metadata: dict[str, Any] | None = None
    catalogue: str | None = None


class OneAgent(Agent, frozen=True, kw_only=True):
    """An agent with what came of its work."""

    stats: Work


class Agents(msgspec.Struct, frozen=True, kw_only=True):
    """A page of agents, by their ids; `next` is what `cursor` takes to go on behind it."""

    agents: list[Agent]
    next: str | None = None


class Branch(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An agent and those that answer to it. `cut`: so many more are further below than is shown."""

    agent_id: str
    name: str | None = None
    role: str | None = None
    tier: str | None = None
    state: State
    parent_agent_id: str | None = None
    children: list[Branch] = msgspec.field(default_factory=list)
    in_circle: Annotated[bool, Meta(description="Whether it answers, through others, to itself.")] = False
    cut: int = 0


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody at their place: `roots` answer to nobody, or to somebody who isn't there, or in a circle."""

    agents: int
    roots: list[Branch]
    truncated: Annotated[bool, Meta(description="Whether there are more agents than are ever shown at once.")] = False


Seen = Callable[[str], Sighting | None]


def agents(
    models: ReadModels,
    filters: Filters,
    *,
    limit: int = 1_000,
    after: str = "",
    seen: Seen | None = None,
    leash: Leash | None = None,
) -> Agents:
    """A page of the agents that fit; `seen` knows of beats, which the log doesn't. Blocks. Raises `QueryFailed`."""
    found = models.sql(AGENTS, filters.parameters() | {"after": after}, limit=limit, leash=leash)
    listed = msgspec.convert([_agent(row, seen) for row in found.records()], list[Agent])
    return Agents(agents=listed, next=listed[-1].agent_id if found.truncated and listed else None)


def agent_in(record: AgentRecord, agent_id: str, seen: Seen | None = None) -> Agent:
    """One agent as its own events have it. Raises `UnknownAgent`."""
    if record.state == "unknown" or record.particulars is None:
        raise UnknownAgent(agent_id)
    told = {name: value for name, value in asdict(record.particulars).items() if name in Agent.__struct_fields__}
    sighting = seen(agent_id) if seen else None
    standing = {
        "agent_id": agent_id,
        "state": record.state,
        "state_since": record.changed_at,
        "incarnation": record.incarnation or None,
        "last_seen_at": sighting.at if sighting else record.changed_at if record.state == "alive" else None,
        "active_assignments": sighting.active_assignments if sighting else None,
        "catalogue": record.declared.catalogue if record.declared else None,
    }
    return Agent(**{**told, **standing})


def agent(models: ReadModels, agent_id: str, seen: Seen | None = None, leash: Leash | None = None) -> OneAgent:
    """One agent, wherever it is in its life. Blocks. Raises `UnknownAgent` or `QueryFailed`."""
    asked = Filters(agent_id=agent_id, states=None).parameters() | {"after": ""}
    found = models.sql(AGENTS, asked, limit=1, leash=leash).records()
    if not found:
        raise UnknownAgent(agent_id)
    (worked,) = models.sql(STATS, {"after": "", "agent_id": agent_id}, limit=1, leash=leash).records()
    return msgspec.convert({**_agent(found[0], seen), "stats": worked}, OneAgent)


def stats(models: ReadModels, *, limit: int = 1_000, after: str = "", leash: Leash | None = None) -> Stats:
    """What came of the work of a page of agents. Blocks. Raises `QueryFailed`."""
    found = models.sql(STATS, {"after": after, "agent_id": None}, limit=limit, leash=leash)
    listed = msgspec.convert(found.records(), list[AgentWork])
    return Stats(agents=listed, next=listed[-1].agent_id if found.truncated and listed else None)


def tree(models: ReadModels, states: Sequence[str] | None = PRESENT, leash: Leash | None = None) -> Tree:
    """Who answers to whom. Blocks. Raises `QueryFailed`."""
    asked = Filters(states=states).parameters() | {"after": ""}
    found = models.sql(AGENTS, asked, limit=TREE_AGENTS_MAX, leash=leash)
    return msgspec.structs.replace(planted(found.records()), truncated=found.truncated)


def planted(rows: Iterable[Mapping[str, Any]]) -> Tree:
    """The tree of these agents. Who answers to themselves through others is shown beside the roots, once."""
    fields = [name for name in Branch.__struct_fields__ if name not in ("children", "in_circle", "cut")]
    branches = {row["agent_id"]: Branch(**{name: row[name] for name in fields}) for row in rows}
    roots = [one for one in branches.values() if one.parent_agent_id not in branches]
    for one in branches.values():
        if one.parent_agent_id in branches:
            branches[one.parent_agent_id].children.append(one)
    reached = set[str]()
    for root in roots:
        _grow(root, reached)
    for one in branches.values():  # only circles are left, and what hangs on them
        if one.agent_id not in reached and _leads_home(one, branches):
            one.in_circle = True
            roots.append(one)
            _grow(one, reached)
    return Tree(agents=len(branches), roots=roots)


def states_in(text: str | None) -> Sequence[str] | None:
    """The states in a list with commas between them: those of agents that are there where none is named; `all`: any.

    Raises `InvalidFilter`.
    """
    if text is None:
        return PRESENT
    if text == "all":
        return None
    named = [one.strip() for one in text.split(",") if one.strip()]
    known = (*PRESENT, *GONE)
    for one in named:
        if one not in known:
            raise InvalidFilter("state", f"{one!r} is none; there are {', '.join(known)}, and all")
    return named


def _grow(root: Branch, reached: set[str]) -> None:
    """Note everybody below a root, and cut off what is too deep to show, or leads back into a circle."""
    level, depth = [root], 0
    reached.add(root.agent_id)
    while level:
        depth += 1
        for one in level:
            one.children = [child for child in one.children if child.agent_id not in reached]
            reached.update(child.agent_id for child in one.children)
        below = [child for one in level for child in one.children]
        if depth == TREE_DEPTH_MAX:
            for one in level:
                one.cut, one.children = _note_below(one, reached), []
            return
        level = below


def _note_below(top: Branch, reached: set[str]) -> int:
    level, count = top.children, 0
    while level:
        count += len(level)
        reached.update(one.agent_id for one in level)
        level = [child for one in level for child in one.children if child.agent_id not in reached]
    return count


def _leads_home(start: Branch, branches: Mapping[str, Branch]) -> bool:
    at = branches[str(start.parent_agent_id)]
    for _ in branches:
        if at is start:
            return True
        at = branches[str(at.parent_agent_id)]
    return False


def _agent(row: dict[str, Any], seen: Seen | None) -> dict[str, Any]:
    metadata = row["metadata"]
    found = {**row, "metadata": msgspec.json.decode(metadata) if isinstance(metadata, str) else metadata}
    sighting = seen(row["agent_id"]) if seen else None
    if sighting is None or ((known := _time(row["last_seen_at"])) is not None and known > sighting.at):
        return found
    return {**found, "last_seen_at": sighting.at, "active_assignments": sighting.active_assignments}


def _time(text: str | None) -> datetime | None:
    return None if text is None else msgspec.convert(text, datetime)


def _pattern(text: str) -> str:
    """A text with `*` in it as a pattern of `like`."""
    escaped = "".join(f"\\{one}" if one in "\\%_" else one for one in text)
    return escaped.replace("*", "%")
