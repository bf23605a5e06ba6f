"""What agents claim over HTTP is published if they are alive, and compared with how they are at that very moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rookery.bus import Bus
from rookery.handlers.assignments import ASSIGNMENTS, AssignmentOver, NotTheHolder
from rookery.handlers.fleet import AGENTS, Expire, Fenced, Register, Revive, Suspect
from rookery.handlers.fleet.fence import Fence
from rookery.handlers.fleet.liveness import Tracker
from rookery.handlers.reactions import Command, CommandData, Decider
from rookery.schemas import (
    AgentRegistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    RunCompleted,
    RunStarted,
    encode,
)


def said(data: EventData, source: str = "/agents/a") -> Event:
    return Event.of(data, subject="x", source=source)


class World:
    """A fence on a bus, for the agent `a`."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.tracker = Tracker(evict_seconds=1.0)
        self.tracker.knows_the_past = True
        self.decider = Decider(bus, AGENTS, source="/nodes/n")
        self.assignments = Decider(bus, ASSIGNMENTS, source="/nodes/n")
        self.fence = Fence(bus, self.decider, self.assignments, self.tracker)

    async def decide(self, *asked: CommandData) -> None:
        for data in asked:
            await self.decider.handle(Command.of(data, subject="a", source="/t"))

    async def register(self, **told: bool) -> None:
        await self.decide(Register(**told))
        self.tracker.take("a", AgentRegistered(name="a", incarnation=1), datetime.now(UTC), 0.0)

    async def publish(self, event: Event) -> None:
        await self.fence.publish(event, encode(event))

    async def happen(self, *facts: EventData) -> None:
        """To the assignment `x`, as who has it tells it on the bus."""
        for fact in facts:
            await self.bus.publish(said(fact))

    async def stored(self) -> int:
        return (await self.bus.state()).messages


@pytest.fixture(params=["memory_bus", "nats_bus"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.getfixturevalue(request.param))


async def test_who_is_alive_or_never_registered_may_claim_and_the_bytes_stay_as_they_were(world: World) -> None:
    event = said(RunCompleted())
    payload = encode(event).replace(b'","', b'", "', 1)
    await world.fence.publish(event, payload)
    await world.register()
    event = said(RunCompleted())
    payload = encode(event).replace(b'","', b'", "', 1)
    assert await world.fence.publish(event, payload) == (3, False)
    assert await world.fence.publish(event, payload) == (3, True)
    async for batch in world.bus.read(after=2):
        assert batch[0].payload == payload
        break


async def test_who_died_since_it_was_last_found_alive_is_refused(world: World) -> None:
    await world.register()
    await world.publish(said(AssignmentCompleted(agent_id="a")))
    await world.decide(Suspect(incarnation=1))
    await world.publish(said(RunCompleted()))
    await world.decide(Expire(incarnation=1))
    before = await world.stored()
    for claim in (AssignmentCompleted(agent_id="a"), RunCompleted()):
        with pytest.raises(Fenced):
            await world.publish(said(claim))
    assert await world.stored() == before
    await world.decide(Register(), Suspect(incarnation=2), Revive(incarnation=2))
    await world.publish(said(RunCompleted()))


async def test_a_longer_source_names_the_agent_that_the_bus_knows_as_its_publisher(world: World) -> None:
    await world.register()
    await world.decide(Expire(incarnation=1))
    with pytest.raises(Fenced, match="'a'"):
        await world.publish(said(RunCompleted(), "/agents/eu/a"))
    await world.publish(said(RunCompleted(), "/agents/a/eu"))
    await world.publish(said(RunCompleted(), "/people/a"))


async def test_only_its_own_claims_are_refused(world: World) -> None:
    await world.register()
    await world.decide(Expire(incarnation=1))
    before = await world.stored()
    for event in (said(RunStarted()), said(RunCompleted(agent_id="a"), "/people/ann")):
        await world.publish(event)
    assert await world.stored() == before + 2


async def test_the_dead_are_refused_also_while_the_watch_does_not_know_them_yet(world: World) -> None:
    world.tracker.knows_the_past = False
    await world.decide(Register(), Expire(incarnation=1))
    with pytest.raises(Fenced):
        await world.publish(said(AssignmentCompleted(agent_id="a")))
    await world.publish(said(RunCompleted(), "/agents/nobody"))


GIVEN = AssignmentCreated(kind="lint")
BEGUN = AssignmentStarted(agent_id="a", run_id="r1")


@pytest.mark.parametrize(
    ("facts", "refusal"),
    [
        ((GIVEN, BEGUN, AssignmentCompleted(agent_id="a")), AssignmentOver),
        ((GIVEN, AssignmentCancelled()), AssignmentOver),
        ((GIVEN, AssignmentStarted(agent_id="b")), NotTheHolder),
        ((GIVEN, BEGUN, AssignmentReleased(agent_id="a")), NotTheHolder),
        ((AssignmentCreated(kind="lint", agent_id="b"),), NotTheHolder),
    ],
    ids=["over", "called off", "another's", "released", "for another"],
)
async def test_what_came_of_work_that_is_over_or_another_has_is_refused(
    world: World, facts: tuple[EventData, ...], refusal: type[Exception]
) -> None:
    await world.happen(*facts)
    before = await world.stored()
    for claim in (AssignmentCompleted(agent_id="a"), AssignmentFailed(agent_id="a", error="x"), AssignmentTimedOut()):
        with pytest.raises(refusal):
            await world.publish(said(claim))
    assert await world.stored() == before


async def test_what_came_of_its_own_work_is_published_once(world: World) -> None:
    await world.happen(GIVEN, BEGUN)
    done = said(AssignmentCompleted(agent_id="a"))
    first = await world.fence.publish(done, encode(done))
    assert await world.fence.publish(done, encode(done)) == (first.sequence, True)
    for claim in (BEGUN, AssignmentCompleted(agent_id="a")):
        with pytest.raises(AssignmentOver, match="completed, by a"):
            await world.publish(said(claim))


async def test_work_that_nobody_begun_or_that_was_given_elsewhere_may_be_ended(world: World) -> None:
    await world.publish(said(AssignmentCompleted(agent_id="a")))
    event = Event.of(AssignmentCreated(kind="lint", agent_id="a"), subject="y", source="/people/ann")
    await world.bus.publish(event)
    await world.publish(Event.of(AssignmentCompleted(agent_id="a"), subject="y", source="/agents/a"))


async def test_work_that_is_taken_away_while_it_is_looked_at_is_not_ended(world: World) -> None:
    await world.register()
    await world.happen(GIVEN, BEGUN)
    look = world.assignments.look

    async def taken_away(subject: str) -> tuple[Any, int]:
        found = await look(subject)
        if found[0].status == "running":
            await world.decide(Expire(incarnation=1))
            await world.happen(AssignmentReleased(agent_id="a"))
        return found

    world.assignments.look = taken_away  # type: ignore[method-assign]
    with pytest.raises(Fenced):
        await world.publish(said(AssignmentCompleted(agent_id="a")))
