"""The roster: who is in the colony, changed by people and other systems; commands to the registry, checked first.

What concerns one agent alone the registry decides. What concerns several is looked at here: that whom an agent answers
to is there, and doesn't answer to it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ..handlers.fleet import AGENTS, AgentRecord, Declare, Register, Unregister, Update
from ..handlers.reactions import Command, CommandData, Decided, InvalidCommand
from ..handlers.transports import Endpoint
from ..schemas import AgentDeclared
from ..schemas.catalogues import CAPABILITIES_MAX, AgentCatalogue, CatalogueEntry
from ..schemas.vocabulary import AgentId
from .node import Node, Wait

OPERATOR = "/people/operator"
DEPTH_MAX = 64
LOADED_AT_ONCE_MAX = 16


class Registration(Register, frozen=True, kw_only=True):
    """An agent that is to join the colony."""

    agent_id: AgentId


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a catalogue: how many of its agents the colony didn't know so, and how many it did."""

    catalogue: str
    agents: int
    declared: int
    unchanged: int


class Roster:
    """Registers, changes and strikes off agents at a node. Raises as the registry does, or as the bus."""

    def __init__(self, node: Node) -> None:
        self._node = node
        # Whom an agent answers to is looked up from several, so it is changed by one at a time.
        self._hierarchy = asyncio.Lock()

    async def register(self, asked: Registration, wait: Wait = "visible", *, strictly: bool = True) -> AgentRecord:
        """Have an agent join. Raises `DuplicateName`, `InvalidCommand` or `InvalidEndpoint`.

        `strictly`: only under somebody who is known.
        """
        data = Register(**{name: getattr(asked, name) for name in Register.__struct_fields__})
        _check(data)
        async with self._under(asked.agent_id, data.parent_agent_id, strictly=strictly):
            decided = await self._carry_out(data, asked.agent_id)
        return await self._after(asked.agent_id, decided, wait)

    async def update(self, agent_id: str, changes: Update, wait: Wait = "visible") -> AgentRecord:
        """Change what is given. Raises `UnknownAgent`, `AgentGone`, `InvalidCommand` or `InvalidEndpoint`."""
        record = await self._node.reactions.state(AGENTS, agent_id)
        _check(changes, record)
        async with self._under(agent_id, changes.parent_agent_id):
            decided = await self._carry_out(changes, agent_id)
        return await self._after(agent_id, decided, wait)

    async def unregister(self, agent_id: str, reason: str | None = None, wait: Wait = "visible") -> AgentRecord:
        """Have an agent leave. Who has left already stays so. Raises `UnknownAgent`."""
        return await self._after(agent_id, await self._carry_out(Unregister(reason=reason), agent_id), wait)

    async def load(self, catalogue: AgentCatalogue, wait: Wait = "visible") -> Loaded:
        """Declare the agents of a catalogue; loading the same again changes nothing."""
        changed = Counter[bool]()
        sequence = 0
        async with self._hierarchy:
            for first in range(0, len(catalogue.agents), LOADED_AT_ONCE_MAX):
                some = catalogue.agents[first : first + LOADED_AT_ONCE_MAX]
                decided = await asyncio.gather(
                    *(self._carry_out(_declaration(entry, catalogue), entry.id) for entry in some)
                )
                changed.update(bool(one.events) for one in decided)
                sequence = max(sequence, *(one.sequence for one in decided))
        await self._node.until(sequence, wait)
        return Loaded(
            catalogue=catalogue.name,
            agents=len(catalogue.agents),
            declared=changed[True],
            unchanged=changed[False],
        )

    async def _carry_out(self, data: CommandData, agent_id: str) -> Decided:
        self._node.disk.ensure_room()
        return await self._node.reactions.handle(AGENTS, Command.of(data, subject=agent_id, source=OPERATOR))

    async def _after(self, agent_id: str, decided: Decided, wait: Wait) -> AgentRecord:
        await self._node.until(decided.sequence, wait)
        return await self._node.reactions.state(AGENTS, agent_id)

    @asynccontextmanager
    async def _under(
        self, agent_id: str, parent: str | UnsetType | None, *, strictly: bool = True
    ) -> AsyncIterator[None]:
        """While an agent is put under another, nobody else is; what puts nobody under anybody waits for nothing."""
        if not isinstance(parent, str):
            yield
            return
        async with self._hierarchy:
            await self._refuse_circle(agent_id, parent, strictly=strictly)
            yield

    async def _refuse_circle(self, agent_id: str, parent: str | None, *, strictly: bool) -> None:
        """Follow whom an agent would answer to up to the top. Raises `InvalidCommand`."""
        way = [agent_id]
        while parent is not None:
            if parent == agent_id:
                raise InvalidCommand(f"{' → '.join([*way, parent])} is a circle", "parent_agent_id")
            record = await self._node.reactions.state(AGENTS, parent)
            if record.state == "unknown":
                if len(way) == 1 and strictly:
                    raise InvalidCommand(f"no agent is called {parent!r}: register it first", "parent_agent_id")
                return
            way.append(parent)
            if len(way) > DEPTH_MAX:
                raise InvalidCommand(f"more than {DEPTH_MAX} agents would stand one below another", "parent_agent_id")
            parent = record.particulars.parent_agent_id if record.particulars else None


def _check(data: Register | Update, record: AgentRecord | None = None) -> None:
    """Raises `InvalidCommand` or `InvalidEndpoint`."""
    if not isinstance(data.capabilities, UnsetType) and len(data.capabilities) > CAPABILITIES_MAX:
        raise InvalidCommand(f"more than {CAPABILITIES_MAX} capabilities", "capabilities")
    known = record.particulars if record else None
    transport, endpoint = (_given(data, known, name) for name in ("transport", "endpoint"))
    if endpoint is not None and transport is not None:
        Endpoint.of(transport, endpoint)


def _given(data: Any, known: Any, name: str) -> str | None:
    given = getattr(data, name)
    found: str | None = getattr(known, name, None) if given is UNSET else given
    return found


def _declaration(entry: CatalogueEntry, catalogue: AgentCatalogue) -> Declare:
    told = {name: getattr(entry, name) for name in AgentDeclared.__struct_fields__ if hasattr(entry, name)}
    return Declare(**told, parent_agent_id=entry.parent, catalogue=catalogue.name)
