"""Bridges at a node: agents that registered with an endpoint get their work, where the settings allow the endpoint.

Anybody may register an agent, and an endpoint may be a command line. So the node invokes only what whoever runs it has
listed; commands and folders exactly, URLs also by what they begin with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
from prometheus_client import Metric

from ..handlers.fleet import AGENTS
from ..handlers.transports import Bridge, Endpoint, Transports, endpoint_of
from ..schemas import AgentRegistered, InvalidInput, RookeryError
from .families import counter, gauge
from .health import Health

if TYPE_CHECKING:
    from .node import Node

SUBSYSTEM = "bridges"
BRIDGES_MAX = 500
LOOK_SECONDS = 0.5
LOOK_SECONDS_MAX = 10.0
# Between two looks lies so many times what the first of them took: a colony may be large, and its log always grow.
LOOKING_SHARE = 10.0
NAMED_MAX = 5
STATEMENT = (Path(__file__).parent / "sql" / "bridged_agents.sql").read_text("utf-8")

logger = logging.getLogger(__name__)


class NotAllowed(InvalidInput):
    """The node may not invoke what an agent says is its endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__(f"{endpoint} is not among the node's setting `bridges`; whoever runs the node may add it")


class Bridges:
    """The bridges of one node: made, changed and taken away as the read models say who there is."""

    def __init__(self, node: Node, allowed: Sequence[str]) -> None:
        self._node = node
        self._allowed = allowed
        self._transports = Transports(node.bus)
        self._told: dict[str, AgentRegistered] = {}
        self._bridges: dict[str, tuple[Bridge, asyncio.Task[None]]] = {}
        self._refused: dict[str, str] = {}
        self._trouble = ""

    async def run(self) -> None:
        """Keep to what the read models say, for ever; at the end, leave no process."""
        if not self._allowed:
            return
        try:
            while True:
                growth, began, looked_at = self._node.growth, monotonic(), self._node.projections.vector()
                try:
                    await self._look()
                    self._trouble = ""
                except (RookeryError, OSError) as error:
                    self._trouble = str(error)
                except Exception as error:  # the next look may do; without looks, nobody would be bridged any more
                    logger.exception("a look at who is to be bridged failed unforeseen")
                    self._trouble = f"{type(error).__name__}: {error}"
                await asyncio.sleep(max(LOOK_SECONDS, LOOKING_SHARE * (monotonic() - began)))
                if any(looked_at.get(origin, 0) < n for origin, n in self._node.log.vector().items()):
                    continue  # there is more, and nothing else would tell of it
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS_MAX):
                        await growth.wait()
        finally:
            await asyncio.gather(*(self._stop(agent_id) for agent_id in list(self._bridges)))
            await self._transports.close()

    def tell(self, health: Health) -> None:
        """Have health say who is not reached, and why; nothing where nothing is allowed."""
        if not self._allowed:
            return
        away = {agent_id: bridge.reason for agent_id, (bridge, _) in self._bridges.items() if not bridge.is_reached}
        named = [f"{agent_id}: {reason}" for agent_id, reason in (away | self._refused).items()]
        more = f"; and {len(named) - NAMED_MAX:,} more" if len(named) > NAMED_MAX else ""
        detail = "; ".join([*filter(None, [self._trouble]), *named[:NAMED_MAX]]) + more
        health.set(SUBSYSTEM, "degraded" if self._trouble else "ready", detail)

    def families(self) -> Iterator[Metric]:
        """What was invoked, and who is reached, as metrics."""
        reached = sum(bridge.is_reached for bridge, _ in self._bridges.values())
        counts = {"reached": reached, "away": len(self._bridges) - reached, "refused": len(self._refused)}
        states = [([state], count) for state, count in counts.items()] if self._allowed else []
        calls, seconds = list(self._transports.calls.items()), self._transports.seconds
        yield gauge("bridged_agents", "Agents that are no NATS clients, reached or not.", ["state"], states)
        yield counter("invocations", "Calls of bridged agents, by how they ended.", ["transport", "outcome"], calls)
        spent = [([transport], each) for transport, each in seconds.items()]
        yield counter("invocation_seconds", "Time spent in them.", ["transport"], spent)

    async def _look(self) -> None:
        meant = await asyncio.to_thread(lambda: dict(self._meant()))
        changed = {agent_id: told for agent_id, told in meant.items() if not self._is_kept_to(agent_id, told)}
        for agent_id in [*(one for one in self._told if one not in meant), *changed]:
            await self._stop(agent_id)
        self._told |= {agent_id: told for agent_id, told in meant.items() if agent_id not in changed}
        if changed:
            await self._until_heard(changed)
            meant = await asyncio.to_thread(lambda: dict(self._meant()))
        for agent_id, told in changed.items():
            if meant.get(agent_id) == told:  # or else the next look sees to it
                self._start(agent_id, told)
                self._told[agent_id] = told

    async def _until_heard(self, agent_ids: Collection[str]) -> None:
        """Wait until the read models have what the bus has of them: a bridge registers, and would undo what is newer.

        Raises `HeldUp`.
        """
        registry = self._node.reactions.deciders[AGENTS.name]
        sequences = [(await registry.look(agent_id))[1] for agent_id in agent_ids]
        await self._node.until(max(sequences), "visible")

    def _meant(self) -> Iterator[tuple[str, AgentRegistered]]:
        """Who is to be bridged, as what. Blocks."""
        parameters = {"origin": self._node.settings.origin}
        for row in self._node.projections.sql(STATEMENT, parameters, limit=BRIDGES_MAX).records():
            said = {name: value for name, value in row.items() if value is not None}
            yield said.pop("agent_id"), msgspec.convert(said, AgentRegistered)

    def _is_kept_to(self, agent_id: str, told: AgentRegistered) -> bool:
        """Whether there is a bridge of just that. A bridge registers, too, and is what it said itself."""
        if agent_id not in self._bridges:
            return self._told.get(agent_id) == told
        bridge, running = self._bridges[agent_id]
        return bridge.is_of(told) and not running.done()

    def _start(self, agent_id: str, told: AgentRegistered) -> None:
        try:
            endpoint = endpoint_of(agent_id, told)
            if not allows(self._allowed, endpoint):
                raise NotAllowed(endpoint)
            bridge = Bridge(agent_id, told, self._transports)
        except InvalidInput as error:
            self._refused[agent_id] = str(error)
            logger.warning("agent %s is not bridged: %s", agent_id, error)
            return
        self._bridges[agent_id] = bridge, asyncio.create_task(bridge.run(self._node.bus), name=f"bridge {agent_id}")

    async def _stop(self, agent_id: str) -> None:
        self._told.pop(agent_id, None)
        self._refused.pop(agent_id, None)
        if known := self._bridges.pop(agent_id, None):
            known[1].cancel()
            await asyncio.gather(known[1], return_exceptions=True)


def allows(allowed: Sequence[str], endpoint: Endpoint) -> bool:
    """Whether the endpoint is one of those, or beneath a URL of those that ends in `/*`."""
    if endpoint.address in allowed:
        return True
    if not endpoint.is_url or ".." in unquote(urlsplit(endpoint.address).path).split("/"):
        return False
    return any(one.endswith("/*") and endpoint.address.startswith(one[:-1]) for one in allowed if "://" in one)
