"""A node's own cards: its colony's, and one of each agent, which is reached through the node."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from ... import __version__
from ...handlers.a2a import AgentCard, Liveness, card_of
from ...handlers.a2a.cards import SKILLS_MAX
from ...handlers.fleet import AGENTS, UnknownAgent
from ...projections import Leash, ReadModels
from ..agents import GONE, Agent, agent_in
from ..node import Node

SKILLS = (Path(__file__).parents[1] / "sql" / "skills.sql").read_text("utf-8")
NO_VERSION = "0"  # a card must name one, and the agent doesn't


def skills_of_colony(models: ReadModels, leash: Leash | None = None) -> list[str]:
    """What can be done at present. Blocks. Raises `QueryFailed`."""
    return [row["skill"] for row in models.sql(SKILLS, limit=SKILLS_MAX, leash=leash).records()]


async def agent_there(node: Node, agent_id: str) -> Agent:
    """An agent that has not left, as it is at this moment. Raises `UnknownAgent`, or as the bus does."""
    record = await node.reactions.state(AGENTS, agent_id)
    found = agent_in(record, agent_id, node.watch.tracker.seen)
    if found.state in GONE:
        raise UnknownAgent(agent_id)
    return found


def card_of_colony(origin: str, skills: list[str], url: str) -> AgentCard:
    """The card of whoever can, at this node."""
    now = datetime.now(UTC)
    return card_of(
        name=f"Rookery {origin}",
        description="A colony of AI agents: what it is given goes to whoever is best at it.",
        version=__version__,
        url=f"{url}/a2a",
        capabilities=skills,
        liveness=_parameters(Liveness(state="alive", as_of=now, last_seen_at=now)),
    )


def card_of_agent(known: Agent, url: str) -> AgentCard:
    """An agent's card, with what the colony holds of its liveness at this moment."""
    liveness = Liveness(
        state=known.state,
        as_of=datetime.now(UTC),
        last_seen_at=known.last_seen_at,
        heartbeat_interval_seconds=known.heartbeat_interval_seconds,
        incarnation=known.incarnation,
        active_assignments=known.active_assignments,
    )
    return card_of(
        name=known.name or known.agent_id,
        description=known.description or known.role or f"The agent {known.agent_id}.",
        version=known.version or NO_VERSION,
        url=f"{url}/agents/{quote(known.agent_id, safe='')}/a2a",
        capabilities=known.capabilities,
        liveness=_parameters(liveness),
    )


def _parameters(liveness: Liveness) -> dict[str, Any]:
    parameters: dict[str, Any] = msgspec.to_builtins(liveness)
    return parameters
