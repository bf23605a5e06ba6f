"""A colony in memory: its bus, its log, its reactions, and a dispatcher whose clock the test puts forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rookery.bus import Bus, MemoryBus, Work
from rookery.handlers.assignments import ASSIGNMENTS
from rookery.handlers.dispatch import Dispatcher, Giver
from rookery.handlers.fleet import AGENTS
from rookery.handlers.proficiency import Lookup
from rookery.handlers.reactions import Decider, Reactions
from rookery.schemas import AgentRegistered, AgentStateChanged, AssignmentCreated, Event

from ..reactions.conftest import ORIGIN, World

LINT = AssignmentCreated(kind="lint", skill="lint")
CHOSEN = AssignmentCreated(kind="lint", agent_id="a", chosen={"score": 1.0})
NAMED = AssignmentCreated(kind="lint", agent_id="a")
EXPIRED = AgentStateChanged(state="expired", incarnation=1)
ABLE = AgentRegistered(name="x", capabilities=["lint"])


class Colony(World):
    """A world with a dispatcher. Its clock is ahead of the machine's, which the log goes by, as far as a test says."""

    def __init__(self, folder: Path, bus: Bus | None = None, lookup: Lookup | None = None) -> None:
        super().__init__(folder, self._tables, bus=bus)
        self._lookup = lookup
        self.ahead = timedelta()
        self.dispatcher: Dispatcher | None = None
        self._dispatching: asyncio.Task[None] | None = None

    def _tables(self) -> Sequence[Reactions]:
        self.dispatcher = Dispatcher(
            self.log,
            self.bus,
            ORIGIN,
            lookup=self._lookup,
            pool="local-1",
            offered=["lint"],
            clock=lambda: datetime.now(UTC) + self.ahead,
        )
        decider = Decider(self.bus, ASSIGNMENTS, source=f"/nodes/{ORIGIN}")
        self._dispatching = asyncio.create_task(self.dispatcher.run(decider))
        return [self.dispatcher.reactions]

    async def ingest(self) -> None:
        await super().ingest()
        if self.dispatcher:
            self.dispatcher.wake()
            await self.dispatcher.until_level()

    async def stop(self) -> None:
        await super().stop()
        if self._dispatching:
            self._dispatching.cancel()
            with suppress(asyncio.CancelledError):
                await self._dispatching
        if isinstance(self.bus, MemoryBus):
            self.bus._work._sequences.clear()  # of tasks, too, the bus knows ids for a while only
        self.dispatcher = self._dispatching = None

    @property
    def giver(self) -> Giver:
        assert self.dispatcher
        return Giver(self.bus, self.dispatcher, Decider(self.bus, AGENTS, source=f"/nodes/{ORIGIN}"))

    async def pass_time(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)
        assert self.dispatcher
        self.dispatcher.wake()

    async def until_told(self, type: str, count: int = 1) -> list[Event]:
        async with asyncio.timeout(10):
            while len(self.told(type)) < count:
                await self.act()
        return self.told(type)

    async def give(self, data: AssignmentCreated, subject: str = "as-1") -> Event:
        event = Event.of(data, subject=subject, source="/people/ada")
        await self.bus.publish(event)
        await self.bus.give(event)
        return event


@asynccontextmanager
async def closing(colony: Colony) -> AsyncIterator[Colony]:
    try:
        yield colony
    finally:
        await colony.close()


@pytest.fixture
async def colony(tmp_path: Path) -> AsyncIterator[Colony]:
    colony = Colony(tmp_path)
    await colony.start()
    yield colony
    await colony.close()


async def take(bus: Bus, capability: str | None = "lint", agent_id: str | None = None) -> Work:
    async with aclosing(bus.work(capability, agent_id=agent_id, in_hand_max=1, ack_wait_seconds=600)) as tasks:
        async with asyncio.timeout(10):
            return await anext(tasks)


async def nothing_waits(bus: Bus, capability: str | None = "lint", agent_id: str | None = None) -> bool:
    taking = asyncio.create_task(take(bus, capability, agent_id))
    for _ in range(20):
        await asyncio.sleep(0)
    taking.cancel()
    return not taking.done()
