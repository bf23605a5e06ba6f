"""Agents: who is in the colony, what they can do, and whether they are alive."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import INT64_MAX, PERSONAL, AgentId, Count, Labels, Name, PersonalName, Reason, Seconds

DisplayName = Annotated[PersonalName, Meta(description="What people call it.")]
Capabilities = Annotated[list[Name], Meta(description="What it can do, as in `code.review`.")]
Role = Annotated[str, Meta(max_length=256, description="What the agent is for, as in `reviewer`.")]
Tier = Annotated[Literal["coordinator", "system", "execution"], Meta(description="Its place in the hierarchy.")]
Transport = Annotated[
    Literal["nats", "rest", "rpc", "mcp", "file", "a2a"], Meta(description="How work is handed to it.")
]
Endpoint = Annotated[str, Meta(description="Where it is reached.")]
Description = Annotated[str, Meta(max_length=4096, description="What it does, in a sentence or two."), PERSONAL]
AgentVersion = Annotated[str, Meta(description="The version of its software.")]
InHand = Annotated[Count, Meta(description="How many tasks it has in hand.")]
AgentState = Annotated[
    Literal["alive", "suspect", "expired", "unregistered", "evicted"],
    Meta(description="What the colony holds of its liveness."),
]
Incarnation = Annotated[
    int, Meta(ge=1, le=INT64_MAX, description="Which of its lives this is: each registration begins one, from 1.")
]
AssignmentsMax = Annotated[
    int, Meta(ge=1, le=100_000, description="How many tasks it is given at once by name; else as the node is set.")
]


@event_type("agent.registered")
class AgentRegistered(EventData, frozen=True, kw_only=True):
    """An agent joined the colony, or joined it again with new particulars."""

    name: DisplayName
    role: Role | None = None
    tier: Tier | None = None
    parent_agent_id: AgentId | None = None
    capabilities: Capabilities = []
    transport: Transport | None = None
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Seconds | None = None
    metadata: Labels | None = None
    incarnation: Incarnation | None = None
    description: Description | None = None
    assignments_max: AssignmentsMax | None = None


@event_type("agent.updated")
class AgentUpdated(EventData, frozen=True, kw_only=True):
    """What is known of an agent was changed while it lives on: all of it, as it is from now on."""

    name: DisplayName
    role: Role | None = None
    tier: Tier | None = None
    parent_agent_id: AgentId | None = None
    capabilities: Capabilities = []
    transport: Transport | None = None
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Seconds | None = None
    metadata: Labels | None = None
    incarnation: Incarnation | None = None
    description: Description | None = None
    assignments_max: AssignmentsMax | None = None


@event_type("agent.declared")
class AgentDeclared(EventData, frozen=True, kw_only=True):
    """An agent is meant to be in the colony, as a catalogue says: no sign of life, and what it leaves unsaid later."""

    name: DisplayName
    role: Role | None = None
    tier: Tier | None = None
    parent_agent_id: AgentId | None = None
    capabilities: Capabilities = []
    transport: Transport | None = None
    endpoint: Endpoint | None = None
    version: AgentVersion | None = None
    heartbeat_interval_seconds: Seconds | None = None
    metadata: Labels | None = None
    description: Description | None = None
    assignments_max: AssignmentsMax | None = None
    catalogue: Annotated[Name, Meta(description="The catalogue that says so.")] | None = None


@event_type("agent.unregistered")
class AgentUnregistered(EventData, frozen=True, kw_only=True):
    """An agent left the colony."""

    reason: Reason | None = None
    incarnation: Incarnation | None = None


@event_type("agent.heartbeat_sent")
class AgentHeartbeatSent(EventData, frozen=True, kw_only=True):
    """An agent says that it is alive and how busy it is."""

    active_assignments: InHand | None = None
    metadata: Labels | None = None


@event_type("agent.state_changed")
class AgentStateChanged(EventData, frozen=True, kw_only=True):
    """The colony's view of an agent's liveness changed."""

    state: AgentState
    reason: Reason | None = None
    incarnation: Incarnation | None = None
