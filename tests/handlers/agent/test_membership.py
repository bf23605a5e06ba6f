"""Members of a colony beat, answer probes, and commit nothing once they were declared dead: they register anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rookery import Agent, Colony, Task
from rookery.bus import Bus, Entity, MemoryBus, Receipt
from rookery.handlers.agent import NameTaken, Serving
from rookery.handlers.assignments import ASSIGNMENTS, Cancel
from rookery.handlers.fleet import AGENTS, AgentGone, Expire, Register, Revive, Suspect, Unregister
from rookery.handlers.fleet.beats import Beat, fence_subject, probe_subject
from rookery.handlers.reactions import Command, CommandData, Decider
from rookery.schemas import AgentStateChanged, Event, RunFailed, derived_id

from .conftest import events_on

AGENT = "waiter"


class Waiter:
    """An agent whose tasks begin, and return when they are let through."""

    def __init__(self, **options: Any) -> None:
        self.agent = Agent(AGENT, ["wait"], **options)
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()
        self.agent.on("wait")(self.wait)

    async def wait(self, task: Task) -> str:
        await self.begun.put(task.id)
        await self.open.wait()
        return task.agent_id


async def decide(bus: Bus, *asked: CommandData) -> None:
    for data in asked:
        await Decider(bus, AGENTS, source="/t").handle(Command.of(data, subject=AGENT, source="/nodes/n"))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.001)


def incarnation(serving: Serving) -> int:
    return serving._membership.incarnation


async def notice(bus: Bus) -> None:
    await bus.send(fence_subject(AGENT), b"{}")


async def test_hearts_beat_and_say_in_which_life_and_how_busy(colony: Colony) -> None:
    waiter = Waiter(heartbeat_seconds=0.01)
    heard = list[Beat]()
    await colony.bus.listen(f"beat.{AGENT}", lambda _, beat: heard.append(msgspec.json.decode(beat, type=Beat)))
    async with waiter.agent.serving(colony.bus):
        await colony.assign("wait")
        await waiter.begun.get()
        await until(lambda: any(beat.active_assignments == 1 for beat in heard))
        waiter.open.set()
    assert {beat.incarnation for beat in heard} == {1}
    assert all(abs((datetime.now(UTC) - beat.time).total_seconds()) < 60 for beat in heard)


@pytest.mark.parametrize("in_threads", [False, True])
async def test_a_probe_is_answered_by_who_could_work_and_by_who_does(colony: Colony, in_threads: bool) -> None:
    waiter = Waiter(concurrency=1)
    if in_threads:
        waiter = Waiter(concurrency=1)
        waiter.agent = Agent(AGENT, ["sleep", "wait"], concurrency=1)
        waiter.agent.on("sleep")(lambda task: None)
        waiter.agent.on("wait")(waiter.wait)
    async with waiter.agent.serving(colony.bus):
        for busy in (0, 1):
            answer = msgspec.json.decode(await colony.bus.request(probe_subject(AGENT), b""), type=Beat)
            assert (answer.incarnation, answer.active_assignments) == (1, busy)
            await colony.assign("wait", id=f"as-{busy}")
            await waiter.begun.get() if not busy else None
        waiter.open.set()


async def test_what_the_dead_have_in_hand_counts_for_nothing_and_they_register_anew(
    colony: Colony, events_of: Any
) -> None:
    waiter = Waiter(concurrency=1)  # the one place is free again
    async with waiter.agent.serving(colony.bus) as serving:
        lost = await colony.assign("wait")
        await waiter.begun.get()
        await decide(colony.bus, Expire(incarnation=1))
        waiter.open.set()
        await until(lambda: incarnation(serving) == 2)
        done = await colony.assign("wait")
        assert await colony.result(done) == AGENT
        assert [event.subject for event in await events_of("assignment.completed")] == [done]
        assert lost not in {event.payload().assignment_id for event in await events_of("run.completed")}
    assert [event.payload().incarnation for event in await events_of("agent.registered")] == [1, 2]
    (goodbye,) = await events_of("agent.unregistered")
    assert goodbye.payload().incarnation == 2


async def test_who_is_dead_when_it_begins_gives_it_back_and_has_it_in_its_next_life(
    colony: Colony, events_of: Any
) -> None:
    waiter = Waiter()
    waiter.open.set()
    async with waiter.agent.serving(colony.bus) as serving:
        await decide(colony.bus, Expire(incarnation=1))
        given = await colony.assign("wait")
        assert await colony.result(given) == AGENT
        assert incarnation(serving) == 2
    assert [event.subject for event in await events_of("assignment.released")] == [given]
    begun = [event.payload().run_id for event in await events_of("assignment.started")]
    assert [event.subject for event in await events_of("run.started")] == [begun[1]]


class CalledOff(MemoryBus):
    """A bus on which, the first time that an agent begins what it has claimed, it is dead and the work called off."""

    is_over = False

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        if events[0].type == "run.started" and not self.is_over:
            self.is_over = True
            await decide(self, Expire(incarnation=1))
            cancel = Command.of(Cancel(), subject=events[0].payload().assignment_id, source="/nodes/n")
            await Decider(self, ASSIGNMENTS, source="/t").handle(cancel)
        return await super().append(events, **how)


async def test_who_dies_over_what_was_called_off_leaves_it_so_and_goes_on() -> None:
    waiter = Waiter(concurrency=1)
    waiter.open.set()
    async with CalledOff() as bus:
        colony = Colony(bus)
        async with waiter.agent.serving(bus):
            called_off, given = await colony.assign("wait"), await colony.assign("wait")
            assert await colony.result(given) == AGENT
        assert called_off in {event.subject for event in await events_on(bus, "assignment.cancelled")}
        assert called_off not in {event.subject for event in await events_on(bus, "assignment.released")}


class SlowRegistry(MemoryBus):
    """A bus on which a registration waits until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        if events[0].type == "agent.registered":
            await self.open.wait()
        return await super().append(events, **how)


async def test_who_is_told_of_its_death_claims_nothing_before_it_lives_anew() -> None:
    waiter = Waiter()
    waiter.open.set()
    async with SlowRegistry() as bus:
        colony = Colony(bus)
        async with waiter.agent.serving(bus) as serving:
            bus.open.clear()
            await decide(bus, Expire(incarnation=1))
            serving._membership.look_again()
            given = await colony.assign("wait")
            await until(lambda: serving.in_hand == 1)
            for _ in range(100):
                await asyncio.sleep(0)
            bus.open.set()
            assert await colony.result(given) == AGENT
        assert await events_on(bus, "assignment.released") == []


async def test_who_was_taken_for_lost_ends_nothing(colony: Colony, events_of: Any) -> None:
    waiter = Waiter()
    async with waiter.agent.serving(colony.bus) as serving:
        given = await colony.assign("wait")
        await waiter.begun.get()
        run_id = derived_id(given, "1", "run")
        lost = Event.of(RunFailed(error="lost"), subject=run_id, source="/agents/b", id=derived_id(run_id, "ended"))
        await colony.bus.publish(lost)
        waiter.open.set()
        await until(lambda: serving.in_hand == 0)
        assert await events_of("assignment.completed") == []


async def test_who_is_suspected_when_it_begins_begins(colony: Colony, events_of: Any) -> None:
    waiter = Waiter()
    waiter.open.set()
    async with waiter.agent.serving(colony.bus):
        await decide(colony.bus, Suspect(incarnation=1))
        assert await colony.result(await colony.assign("wait")) == AGENT
    assert await events_of("assignment.released") == []


async def test_who_registered_anew_meanwhile_ends_nothing_that_it_began_before(colony: Colony, events_of: Any) -> None:
    waiter = Waiter()
    async with waiter.agent.serving(colony.bus) as serving:
        await colony.assign("wait")
        await waiter.begun.get()
        await decide(colony.bus, Expire(incarnation=1))
        await notice(colony.bus)
        await until(lambda: incarnation(serving) == 2)
        waiter.open.set()
        await until(lambda: serving.in_hand == 0)
        assert await events_of("assignment.completed") == []
        assert await events_of("run.completed") == []


async def test_who_was_only_suspected_ends_what_it_has_in_hand(colony: Colony, events_of: Any) -> None:
    waiter = Waiter()
    async with waiter.agent.serving(colony.bus) as serving:
        given = await colony.assign("wait")
        await waiter.begun.get()
        await decide(colony.bus, Suspect(incarnation=1), Revive(incarnation=1), Suspect(incarnation=1))
        waiter.open.set()
        assert await colony.result(given) == AGENT
        assert incarnation(serving) == 1
    assert len(await events_of("assignment.completed")) == 1


async def test_a_notice_that_is_not_true_changes_nothing(colony: Colony, events_of: Any) -> None:
    waiter = Waiter()
    async with waiter.agent.serving(colony.bus) as serving:
        await notice(colony.bus)
        await until(lambda: serving._membership._looking is None)
        waiter.open.set()
        assert await colony.result(await colony.assign("wait")) == AGENT
    assert len(await events_of("agent.registered")) == 1


async def test_who_is_not_known_any_more_registers_once_more(colony: Colony) -> None:
    """The agent's bus was made anew while it was at work: here, it goes on with one that knows nothing."""
    async with Waiter().agent.serving(colony.bus) as serving, MemoryBus() as empty:
        serving._membership._decider = Decider(empty, AGENTS, source="/agents/waiter")
        serving._membership.incarnation = 7
        await notice(colony.bus)
        await until(lambda: incarnation(serving) == 1)
        assert len((await empty.history(Entity("agent", AGENT))).deliveries) == 1


async def test_who_was_unregistered_by_somebody_goes(colony: Colony, events_of: Any) -> None:
    async with Waiter().agent.serving(colony.bus) as serving:
        await decide(colony.bus, Unregister(reason="not wanted"))
        await notice(colony.bus)
        with pytest.raises(AgentGone):
            await serving.until_it_fails()
    (goodbye,) = await events_of("agent.unregistered")
    assert goodbye.payload().reason == "not wanted"


async def test_who_was_replaced_while_it_was_not_heard_of_goes_and_leaves_the_other_alone(
    colony: Colony, events_of: Any
) -> None:
    async with Waiter().agent.serving(colony.bus) as serving:
        await decide(colony.bus, Expire(incarnation=1), Register())
        await notice(colony.bus)
        with pytest.raises(NameTaken):
            await serving.until_it_fails()
    assert await events_of("agent.unregistered") == []
    states = [event.payload() for event in await events_of("agent.state_changed")]
    assert states == [AgentStateChanged(state="expired", incarnation=1)]


async def test_who_leaves_without_a_goodbye_is_silent(colony: Colony, events_of: Any) -> None:
    agent = Waiter().agent
    async with Serving(agent.profile, colony.bus, goodbye=False):
        assert len(await events_of("agent.registered")) == 1
    assert await events_of("agent.unregistered") == []
