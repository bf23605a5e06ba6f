"""What is overdue ends, also after a restart; a dead agent's work comes to another at once; who is to stop hears it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rookery.bus import Bus, Work
from rookery.handlers.assignments import ASSIGNMENTS, GRACE_SECONDS, Dispatcher, stop_subject
from rookery.handlers.reactions import Decider, Reactions
from rookery.schemas import (
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
)

from .reactions.conftest import ORIGIN, World

LINT = AssignmentCreated(kind="lint", skill="lint")
CHOSEN = AssignmentCreated(kind="lint", agent_id="a", chosen={"score": 1.0})
NAMED = AssignmentCreated(kind="lint", agent_id="a")
EXPIRED = AgentStateChanged(state="expired", incarnation=1)
ABLE = AgentRegistered(name="x", capabilities=["lint"])


class Colony(World):
    """A world with a dispatcher, whose clock the test sets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, self._tables)
        self.now = datetime.now(UTC)
        self.dispatcher: Dispatcher | None = None
        self._dispatching: asyncio.Task[None] | None = None

    def _tables(self) -> Sequence[Reactions]:
        self.dispatcher = Dispatcher(
            self.log, self.bus, ORIGIN, pool="local-1", offered=["lint"], clock=lambda: self.now
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
        self.dispatcher = self._dispatching = None

    async def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
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


class TestTime:
    async def test_an_attempt_that_nobody_ends_times_out_and_its_agent_is_told(self, colony: Colony) -> None:
        told = list[bytes]()

        async def hear(payload: bytes) -> bytes:
            told.append(payload)
            return b""

        await colony.bus.serve(stop_subject("a"), hear, queue="agent")
        await colony.happen(AssignmentCreated(kind="lint", skill="lint", timeout_seconds=30), "as-1")
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.act()
        await colony.pass_time(29)
        await colony.act()
        assert colony.told("assignment.timed_out") == []
        await colony.pass_time(2 + GRACE_SECONDS)
        [ended] = await colony.until_told("assignment.timed_out")
        data = ended.payload()
        assert isinstance(data, AssignmentTimedOut)
        assert (data.agent_id, data.skill) == ("a", "lint")
        await colony.act()
        assert told == [b"as-1"]

    async def test_a_deadline_that_passed_while_the_node_was_down_is_kept(self, colony: Colony) -> None:
        await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=3600), "as-1")
        await colony.act()
        await colony.stop()
        colony.now += timedelta(hours=2)
        await colony.start()
        assert len(await colony.until_told("assignment.timed_out")) == 1

    async def test_what_ended_in_time_does_not_time_out(self, colony: Colony) -> None:
        await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=3600), "as-1")
        await colony.happen(AssignmentCompleted(agent_id="a"), "as-1")
        await colony.act()
        await colony.pass_time(4000)
        await colony.act()
        assert colony.told("assignment.timed_out") == []


class TestTheWorkOfTheDead:
    @pytest.mark.parametrize("end", [EXPIRED, AgentUnregistered(reason="stopped"), ABLE])
    async def test_what_it_had_in_hand_comes_to_another_at_once(self, colony: Colony, end: EventData) -> None:
        await colony.happen(ABLE, "a")
        await colony.happen(ABLE, "b")
        given = await colony.give(LINT)
        await take(colony.bus)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.happen(end, "a")
        await colony.act()
        [released] = colony.told("assignment.released")
        assert released.source == f"/nodes/{ORIGIN}"
        assert (await take(colony.bus)).event == given

    async def test_who_was_chosen_and_died_loses_what_waited_for_it_too(self, colony: Colony) -> None:
        await colony.happen(ABLE, "a")
        await colony.happen(ABLE, "b")
        given = await colony.give(CHOSEN)
        await colony.happen(EXPIRED, "a")
        await colony.act()
        assert (await take(colony.bus)).event == given
        assert await nothing_waits(colony.bus, None, "a")

    async def test_what_was_given_by_name_waits_for_that_agent(self, colony: Colony) -> None:
        await colony.happen(ABLE, "a")
        given = await colony.give(NAMED)
        await take(colony.bus, None, "a")
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.happen(EXPIRED, "a")
        await colony.act()
        assert await nothing_waits(colony.bus)
        assert (await take(colony.bus, None, "a")).event == given

    async def test_where_nobody_else_can_the_pool_has_it(self, colony: Colony) -> None:
        await colony.happen(ABLE, "a")
        given = await colony.give(LINT)
        await take(colony.bus)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.happen(EXPIRED, "a")
        await colony.act()
        assert (await take(colony.bus, None, "local-1")).event == given

    async def test_the_dead_are_released_of_everything_after_a_crash_too(self, colony: Colony) -> None:
        for number in range(3):
            await colony.give(LINT, f"as-{number}")
            await take(colony.bus)
            await colony.happen(AssignmentStarted(agent_id="a", run_id=f"r{number}"), f"as-{number}")
        await colony.ingest()
        await colony.stop()
        await colony.happen(EXPIRED, "a")
        await colony.start()
        await colony.act()
        assert sorted(event.subject for event in colony.told("assignment.released")) == ["as-0", "as-1", "as-2"]

    async def test_what_it_begins_after_that_is_not_released(self, colony: Colony) -> None:
        await colony.happen(EXPIRED, "a")
        await colony.give(LINT)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1"), "as-1")
        await colony.act()
        assert colony.told("assignment.released") == []


async def test_who_has_what_is_called_off_is_told_to_stop(colony: Colony) -> None:
    told = list[bytes]()

    async def hear(payload: bytes) -> bytes:
        told.append(payload)
        return b""

    await colony.bus.serve(stop_subject("a/b"), hear, queue="agent")
    await colony.happen(AssignmentCancelled(agent_id="a/b"), "as-1")
    await colony.happen(AssignmentCancelled(agent_id="nobody-there"), "as-2")
    await colony.happen(AssignmentCancelled(), "as-3")
    await colony.act()
    assert told == [b"as-1"]


async def test_the_living_are_known_with_what_they_hold(colony: Colony) -> None:
    await colony.happen(ABLE, "a")
    await colony.give(CHOSEN)
    await colony.happen(AssignmentStarted(agent_id="b"), "as-2")
    await colony.act()
    assert colony.dispatcher
    [one] = colony.dispatcher.candidates.candidates("lint")
    assert (one.agent_id, one.is_eligible, one.assignments) == ("a", True, 1)
    assert not colony.dispatcher.stands_in("lint")
    await colony.happen(EXPIRED, "a")
    await colony.act()
    assert colony.dispatcher.stands_in("lint")
    assert not colony.dispatcher.stands_in("other")
