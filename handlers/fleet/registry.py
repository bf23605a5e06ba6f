"""The registry: agents join, change, fall silent, and leave; each time that one joins it begins a new incarnation.

An incarnation is what fences: what was declared dead, or lives anew in another process, is told from what lives now
by its number, and commits nothing any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from ...schemas import (
    AgentDeclared,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    EventData,
)
from ...schemas.agents import (
    AgentVersion,
    AssignmentsMax,
    Capabilities,
    Description,
    DisplayName,
    Endpoint,
    Incarnation,
    Role,
    Tier,
    Transport,
)
from ...schemas.vocabulary import AgentId, Labels, Name, Reason, Seconds
from ..reactions import Command, CommandData, Context, Happened, InvalidCommand
from .errors import AgentGone, DuplicateName, Fenced, UnknownAgent

HEARTBEAT_SECONDS_MIN = 0.01
HEARTBEAT_SECONDS_MAX = 24 * 3600.0

State = Literal["unknown", "declared", "alive", "suspect", "expired", "evicted", "unregistered"]

DEAD: dict[State, str] = {
    "expired": "it was declared dead, because nothing was heard of it any more",
    "evicted": "it was evicted, because it had been dead for long",
    "unregistered": "it has left the colony",
}


class Register(CommandData, frozen=True, kw_only=True):
    """Join the colony, under the id that the command is about. `again`: in the place of one that is there already."""

    name: DisplayName | None = None
    role: Role | None = None
    tier: Tier | None = None
    parent_agent_id: AgentId | None = None
    capabilities: Capabilities = msgspec.field(default_factory=list)
    transport: Transport | None = None
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Seconds | None = None
    metadata: Labels | None = None
    description: Description | None = None
    assignments_max: AssignmentsMax | None = None
    again: bool = False


class Declare(CommandData, frozen=True, kw_only=True):
    """Say that the agent is meant to be there: what its registration leaves unsaid is taken from here."""

    name: DisplayName
    role: Role | None = None
    tier: Tier | None = None
    parent_agent_id: AgentId | None = None
    capabilities: Capabilities = msgspec.field(default_factory=list)
    transport: Transport | None = None
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Seconds | None = None
    metadata: Labels | None = None
    description: Description | None = None
    assignments_max: AssignmentsMax | None = None
    catalogue: Name | None = None


class Update(CommandData, frozen=True, kw_only=True):
    """Change what is given, and leave the rest; `None` takes away what was there."""

    name: DisplayName | UnsetType = UNSET
    role: Role | UnsetType | None = UNSET
    tier: Tier | UnsetType | None = UNSET
    parent_agent_id: AgentId | UnsetType | None = UNSET
    capabilities: Capabilities | UnsetType = UNSET
    transport: Transport | UnsetType | None = UNSET
    endpoint: Endpoint | UnsetType | None = UNSET
    version: AgentVersion | UnsetType | None = UNSET
    heartbeat_interval_seconds: Seconds | UnsetType | None = UNSET
    metadata: Labels | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    assignments_max: AssignmentsMax | UnsetType | None = UNSET


class Unregister(CommandData, frozen=True, kw_only=True):
    """Leave the colony. With an `incarnation`, only if that is the one that lives."""

    reason: Reason | None = None
    incarnation: Incarnation | None = None


class Suspect(CommandData, frozen=True, kw_only=True):
    """Nothing was heard of this incarnation when something was due."""

    incarnation: Incarnation
    reason: Reason | None = None


class Revive(CommandData, frozen=True, kw_only=True):
    """A sign of life of this incarnation, which was suspect."""

    incarnation: Incarnation
    reason: Reason | None = None


class Expire(CommandData, frozen=True, kw_only=True):
    """Declare this incarnation dead: it commits nothing any more."""

    incarnation: Incarnation
    reason: Reason | None = None


class Evict(CommandData, frozen=True, kw_only=True):
    """Strike this incarnation, which has been dead for long, off the list."""

    incarnation: Incarnation
    reason: Reason | None = None


class AgentRecord(NamedTuple):
    """What the colony holds of one agent; `changed_at` is when its state last changed."""

    state: State = "unknown"
    incarnation: int = 0
    told: AgentRegistered | AgentUpdated | None = None
    changed_at: datetime | None = None
    declared: AgentDeclared | None = None

    @property
    def particulars(self) -> AgentRegistered | AgentUpdated | AgentDeclared | None:
        """What it says of itself, or else what is said of it."""
        return self.told or self.declared


def decide(command: Command, agent: AgentRecord) -> Sequence[EventData]:
    """What is as asked for already stays so.

    Raises `UnknownAgent`, `DuplicateName`, `AgentGone`, `Fenced` or `InvalidCommand`.
    """
    asked = command.data
    if isinstance(asked, Register):
        return _registered(command.subject, asked, agent)
    if isinstance(asked, Declare):
        return _declared(command.subject, asked, agent)
    if agent.state == "unknown":
        raise UnknownAgent(command.subject)
    match asked:
        case Update():
            return _updated(command.subject, asked, agent)
        case Unregister():
            return _unregistered(command.subject, asked, agent)
        case Revive():
            refuse_fenced(command.subject, agent, asked.incarnation)
            return _moved("alive", asked, agent, of=("suspect",))
        case Suspect():
            return _moved("suspect", asked, agent, of=("alive",))
        case Expire():
            return _moved("expired", asked, agent, of=("alive", "suspect"))
        case Evict():
            return _moved("evicted", asked, agent, of=("expired",))
    raise InvalidCommand(f"an agent knows no {type(asked).__name__}")


def evolve(agent: AgentRecord, fact: Happened) -> AgentRecord:
    """A registration that doesn't say which incarnation it begins, begins the next; nothing else brings back the dead.

    What is told of another incarnation than the present one came too late.
    """
    match fact.data:
        case AgentRegistered() as told:
            return AgentRecord("alive", told.incarnation or agent.incarnation + 1, told, fact.time, agent.declared)
        case AgentDeclared() as declared if agent.state in ("unknown", "evicted", "unregistered"):
            return agent._replace(state="declared", told=None, changed_at=fact.time, declared=declared)
        case AgentDeclared() as declared:
            return agent._replace(declared=declared)
        case AgentUpdated() as told:
            return agent._replace(told=told)
        case AgentUnregistered(incarnation=incarnation) if incarnation in (None, agent.incarnation):
            return agent._replace(state="unregistered", changed_at=fact.time)
        case AgentStateChanged(state=state, incarnation=incarnation) if incarnation in (None, agent.incarnation):
            is_over = agent.state in DEAD and (agent.state, state) != ("expired", "evicted")
            return agent if is_over else agent._replace(state=state, changed_at=fact.time)
    return agent


def refuse_fenced(agent_id: str, agent: AgentRecord, incarnation: int | None) -> None:
    """Raise `Fenced` for who was declared dead, has left, or is not the incarnation that lives.

    Who doesn't say which incarnation it is, is taken for the newest.
    """
    if reason := DEAD.get(agent.state):
        raise Fenced(agent_id, incarnation or agent.incarnation, reason)
    if incarnation is not None and incarnation != agent.incarnation:
        raise Fenced(agent_id, incarnation, f"incarnation {agent.incarnation} of it is the one that lives")


AGENTS = Context(
    "agent",
    "agent",
    {
        "register": Register,
        "declare": Declare,
        "update": Update,
        "unregister": Unregister,
        "suspect": Suspect,
        "revive": Revive,
        "expire": Expire,
        "evict": Evict,
    },
    AgentRecord,
    decide,
    evolve,
    facts=("declared", "registered", "updated", "state_changed", "unregistered"),  # heartbeats were events once
)


def _registered(agent_id: str, asked: Register, agent: AgentRecord) -> Sequence[EventData]:
    if agent.state in ("alive", "suspect") and not asked.again:
        raise DuplicateName(agent_id, agent.state)
    told = {name: value for name, value in msgspec.structs.asdict(asked).items() if name != "again"}
    _check(agent_id, told)
    told["name"] = asked.name or agent_id
    told |= _unsaid(agent_id, told, agent.declared)
    return [AgentRegistered(**told, incarnation=agent.incarnation + 1)]


def _declared(agent_id: str, asked: Declare, agent: AgentRecord) -> Sequence[EventData]:
    """Who is there already keeps what it said itself, and has the rest from the new declaration."""
    declared = AgentDeclared(**msgspec.structs.asdict(asked))
    _check(agent_id, msgspec.structs.asdict(asked))
    if agent.state not in ("unknown", "evicted", "unregistered") and agent.declared == declared:
        return []
    if agent.told is None or agent.state in ("evicted", "unregistered"):
        return [declared]
    told = msgspec.structs.asdict(agent.told)
    before = msgspec.structs.asdict(agent.declared) if agent.declared else {}
    own = {name: None if value == before.get(name) else value for name, value in told.items()}
    updated = AgentUpdated(**{**told, **_unsaid(agent_id, own, declared)})
    return [declared] if msgspec.structs.asdict(updated) == told else [declared, updated]


def _updated(agent_id: str, asked: Update, agent: AgentRecord) -> Sequence[EventData]:
    if agent.state in ("evicted", "unregistered"):
        raise AgentGone(agent_id, agent.state)
    known = msgspec.structs.asdict(agent.particulars) if agent.particulars else {"name": agent_id}
    known.pop("catalogue", None)
    told = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not UNSET}
    _check(agent_id, told)
    if all(known.get(name) == value for name, value in told.items()):
        return []
    return [AgentUpdated(**{**known, **told, "incarnation": agent.incarnation or None})]


def _unregistered(agent_id: str, asked: Unregister, agent: AgentRecord) -> Sequence[EventData]:
    if agent.state in ("evicted", "unregistered"):
        return []
    if asked.incarnation is not None and asked.incarnation != agent.incarnation:
        refuse_fenced(agent_id, agent, asked.incarnation)
    return [AgentUnregistered(reason=asked.reason, incarnation=agent.incarnation or None)]


def _unsaid(agent_id: str, told: dict[str, Any], declared: AgentDeclared | None) -> dict[str, Any]:
    """What a declaration says of an agent that the agent doesn't say itself; its id as its name says nothing."""
    if declared is None:
        return {}
    said = {name: value for name, value in told.items() if value not in (None, [])}
    if said.get("name") == agent_id:
        del said["name"]
    return {
        name: value for name, value in msgspec.structs.asdict(declared).items() if name in told and name not in said
    }


def _moved(
    state: Literal["alive", "suspect", "expired", "evicted"],
    asked: Suspect | Revive | Expire | Evict,
    agent: AgentRecord,
    *,
    of: Sequence[State],
) -> Sequence[EventData]:
    """The change of state, unless another was quicker, or it is about an incarnation that is gone."""
    if agent.state not in of or asked.incarnation != agent.incarnation:
        return []
    return [AgentStateChanged(state=state, reason=asked.reason, incarnation=asked.incarnation)]


def _check(agent_id: str, told: dict[str, Any]) -> None:
    """Raises `InvalidCommand` for what can't be so, whatever else is known."""
    interval = told.get("heartbeat_interval_seconds")
    if interval is not None and not HEARTBEAT_SECONDS_MIN <= interval <= HEARTBEAT_SECONDS_MAX:
        raise InvalidCommand(
            f"an agent beats every {HEARTBEAT_SECONDS_MIN:g} to {HEARTBEAT_SECONDS_MAX:,.0f} seconds, not every "
            f"{interval:g}",
            "heartbeat_interval_seconds",
        )
    if told.get("parent_agent_id") == agent_id:
        raise InvalidCommand("an agent can't answer to itself", "parent_agent_id")
