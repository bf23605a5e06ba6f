"""Agents under the paths, and in the words, of the systems that Rookery takes the place of.

Their clients register again under the same name whenever they start, and take a parent for a name like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from ...handlers.reactions import InvalidCommand
from ...projections import Leash
from ...schemas import MalformedEvent
from .. import agents as found
from ..agents import AGENTS, AGENTS_MAX, STATS, Agent, AgentWork, Branch
from ..roster import Registration
from .agents import REGISTRATION_BYTES_MAX, ColonyRoster, Id, Reason, Sought, in_body
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, in_time, json
from .past import AsOf, dated

# How those systems call things, by what they are called here; the first that is given counts.
WORDS: dict[str, tuple[str, ...]] = {
    "agent_id": ("agent_id", "id", "subagent_id", "service_id", "name"),
    "name": ("name",),
    "role": ("role", "type", "agent_type", "kind"),
    "tier": ("tier",),
    "parent_agent_id": ("parent_agent_id", "parent_id", "parent"),
    "capabilities": ("capabilities", "skills"),
    "transport": ("transport", "protocol"),
    "endpoint": ("endpoint", "url"),
    "version": ("version",),
    "description": ("description",),
    "assignments_max": ("assignments_max", "max_assignments", "max_concurrent"),
    "heartbeat_interval_seconds": ("heartbeat_interval_seconds", "heartbeat_interval"),
}
TRANSPORTS = {"http": "rest", "https": "rest", "stdio": "rpc", "queue": "file"}
HEALTHY = ("alive", "suspect")
_FIELD = re.compile(r"\$\.(\w+)")

router = APIRouter(tags=["agents"])

Shown = Annotated[int, Query(ge=1, le=AGENTS_MAX, description="At most so many.")]


@router.post("/hobby/subagents/register")
async def register(request: Request, node: ServingNode, room: BodyRoom, roster: ColonyRoster) -> Response:
    """Have an agent join the colony, in the place of one of that name if there is one.

    What is called by no name that is known is kept as metadata.
    """
    async with room.for_body(request, bytes_max=REGISTRATION_BYTES_MAX):
        asked = in_body(await read_body(request, bytes_max=REGISTRATION_BYTES_MAX), dict[str, Any])
        wanted = registration_in(asked)
        try:
            record = await roster.register(wanted, strictly=False)
        except InvalidCommand as error:
            raise InvalidCommand(error.reason, _words_in(asked).get(error.field, error.field)) from None
    agent = found.agent_in(record, wanted.agent_id, node.watch.tracker.seen)
    answer = {"status": "registered", "agent_id": wanted.agent_id, "incarnation": record.incarnation}
    return json(answer | {"agent": service(agent)})


@router.delete("/hobby/subagents/{agent_id:path}")
async def unregister(roster: ColonyRoster, agent_id: Id, reason: Reason = None) -> Response:
    """Have an agent leave the colony."""
    await roster.unregister(agent_id, reason)
    return json({"status": "unregistered", "agent_id": agent_id})


@router.get("/hobby/subagents/stats")
async def statistics(
    request: Request, node: ServingNode, lanes: OpenLanes, limit: Shown = AGENTS_MAX, moment: AsOf = None
) -> Response:
    """What came of each agent's work, and of all of them together."""
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(STATS), leash) as models:
            return json(old_stats(found.stats(models, limit=limit, leash=leash).agents))

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/api/services")
async def services(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    sought: Sought,
    limit: Shown = AGENTS_MAX,
    moment: AsOf = None,
) -> Response:
    """The agents and services that fit. `healthy` are those that something was heard of in time."""
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(AGENTS), leash) as models:
            seen = node.watch.tracker.seen if moment is None else None
            listed = found.agents(models, sought, limit=limit, seen=seen, leash=leash).agents
            return json({"services": [service(one) for one in listed], "total": len(listed)})

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.get("/api/tree")
async def hierarchy(request: Request, node: ServingNode, lanes: OpenLanes, moment: AsOf = None) -> Response:
    """Who answers to whom."""
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, node.projections.named_in(AGENTS), leash) as models:
            tree = found.tree(models, leash=leash)
            return json({"tree": [_branch(root) for root in tree.roots], "total": tree.agents})

    return dated(await in_time(request, lanes, leash, answer), moment)


def registration_in(asked: dict[str, Any]) -> Registration:
    """What a client of those systems asks for. Raises `MalformedEvent`."""
    said = _words_in(asked)
    told: dict[str, Any] = {name: asked[word] for name, word in said.items()}
    if isinstance(transport := told.get("transport"), str):
        told["transport"] = TRANSPORTS.get(transport.lower(), transport.lower())
    if "agent_id" not in told:
        raise MalformedEvent(f"say who it is: one of {', '.join(WORDS['agent_id'])}", "body")
    known = {word for words in WORDS.values() for word in words} | {"metadata"}
    rest = {name: value for name, value in asked.items() if name not in known}
    metadata = asked.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise MalformedEvent("metadata: expected an object", "body")
    try:
        wanted = {**told, "metadata": {**rest, **metadata} or None, "again": True}
        return msgspec.convert(wanted, Registration)
    except msgspec.ValidationError as error:
        reason = _FIELD.sub(lambda found: f"$.{said.get(found[1], found[1])}", str(error))
        raise MalformedEvent(reason, "body") from None


def _words_in(asked: dict[str, Any]) -> dict[str, str]:
    """By which word a client said what, by what that is called here."""
    found = {name: next((word for word in words if asked.get(word) is not None), "") for name, words in WORDS.items()}
    return {name: word for name, word in found.items() if word}


def service(agent: Agent) -> dict[str, Any]:
    """An agent in those systems' words."""
    return {
        "id": agent.agent_id,
        "name": agent.name or agent.agent_id,
        "type": agent.role,
        "role": agent.role,
        "tier": agent.tier,
        "parent": agent.parent_agent_id,
        "capabilities": agent.capabilities,
        "transport": agent.transport,
        "endpoint": agent.endpoint,
        "version": agent.version,
        "status": agent.state,
        "healthy": agent.state in HEALTHY,
        "last_heartbeat": agent.last_seen_at,
        "metadata": agent.metadata or {},
    }


def old_stats(listed: list[AgentWork]) -> dict[str, Any]:
    """Statistics in those systems' words."""
    completed, ended = sum(one.completed for one in listed), sum(map(_ended, listed))
    return {
        "total_agents": len(listed),
        "active_agents": sum(one.state in HEALTHY for one in listed),
        "total_assignments": sum(one.begun for one in listed),
        "completed_assignments": completed,
        "failed_assignments": ended - completed,
        "success_rate": completed / ended if ended else None,
        "agents": dict(_by_agent(listed)),
    }


def _by_agent(listed: list[AgentWork]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in listed:
        yield (
            one.agent_id,
            {
                "name": one.name or one.agent_id,
                "status": one.state,
                "total_assignments": one.begun,
                "active_assignments": one.running,
                "completed_assignments": one.completed,
                "failed_assignments": one.failed + one.timed_out,
                "success_rate": one.success_rate,
                "average_duration_seconds": one.mean_seconds,
                "total_cost_usd": one.cost_usd,
                "load": one.running,
                "last_assignment": one.last_started_at,
            },
        )


def _ended(one: AgentWork) -> int:
    return one.completed + one.failed + one.timed_out


def _branch(branch: Branch) -> dict[str, Any]:
    return {
        "id": branch.agent_id,
        "name": branch.name or branch.agent_id,
        "type": branch.role,
        "tier": branch.tier,
        "parent": branch.parent_agent_id,
        "status": branch.state,
        "children": [_branch(child) for child in branch.children],
    }
