"""Liveness at a node: the watch over the agents of its own bus, which begins with what the read models know."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..handlers.assignments import ASSIGNMENTS
from ..handlers.fleet import AGENTS, AgentRecord
from ..handlers.fleet.fence import Fence
from ..handlers.fleet.liveness import GONE_MAX, Tracker
from ..handlers.fleet.registry import State
from ..handlers.fleet.watch import Known, Watch
from ..schemas import AgentRegistered

if TYPE_CHECKING:
    from .node import Node

PAGE_AGENTS = 10_000

_SQL = Path(__file__).parent / "sql"
STATEMENT = (_SQL / "watched_agents.sql").read_text("utf-8")
GONE_STATEMENT = (_SQL / "gone_agents.sql").read_text("utf-8")


def watch_of(node: Node, *, gone_max: int = GONE_MAX) -> Watch:
    """The node's watch; agents of other buses are for who is there to hear them."""

    async def load() -> Known:
        sequence = node.ingest.position
        await node.until(sequence, "visible")
        here = await asyncio.to_thread(_known, node)
        gone, is_all = await asyncio.to_thread(_gone, node, gone_max)
        return Known([*gone, *here], sequence, is_all)

    decider = node.reactions.deciders[AGENTS.name]
    tracker = Tracker(evict_seconds=node.settings.agent_evict_seconds, gone_max=gone_max)
    return Watch(node.bus, decider, tracker, load)


def fence_of(node: Node) -> Fence:
    """What lets in, over HTTP, what agents claim who are not dead, of work that is theirs."""
    deciders = node.reactions.deciders
    return Fence(node.bus, deciders[AGENTS.name], deciders[ASSIGNMENTS.name], node.watch.tracker)


class _Row(msgspec.Struct, frozen=True):
    agent_id: str
    state: State
    state_since: datetime | None
    incarnation: int | None
    heartbeat_interval_seconds: float | None

    def record(self) -> AgentRecord:
        told = AgentRegistered(name=self.agent_id, heartbeat_interval_seconds=self.heartbeat_interval_seconds)
        return AgentRecord(self.state, self.incarnation or 0, told, self.state_since)


def _known(node: Node) -> list[tuple[str, AgentRecord]]:
    found = list[tuple[str, AgentRecord]]()
    while True:
        parameters = {"origin": node.settings.origin, "after": found[-1][0] if found else ""}
        answer = node.projections.sql(STATEMENT, parameters, limit=PAGE_AGENTS)
        rows = msgspec.convert(answer.records(), list[_Row])
        found += ((row.agent_id, row.record()) for row in rows)
        if len(rows) < PAGE_AGENTS:
            return found


def _gone(node: Node, gone_max: int) -> tuple[list[tuple[str, AgentRecord]], bool]:
    """Those who went last, in the order in which they went, and whether these are all."""
    answer = node.projections.sql(GONE_STATEMENT, {"origin": node.settings.origin}, limit=gone_max)
    rows = msgspec.convert(answer.records(), list[_Row])
    return [(row.agent_id, row.record()) for row in reversed(rows)], not answer.truncated
