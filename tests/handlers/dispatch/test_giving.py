"""Work is given to one agent, to the best, to the pool, or to anybody, and to nobody who is dead by then."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import pytest
from rookery.bus import Bus, Entity, MemoryBus, Receipt
from rookery.handlers.dispatch import AgentNotAlive, Given, Incapable, NobodyCan, Wish
from rookery.handlers.fleet import UnknownAgent
from rookery.handlers.reactions import Contended
from rookery.schemas import AgentRegistered, AgentUpdated, AssignmentCompleted, AssignmentCreated, Event, RookeryError

from .conftest import ABLE, EXPIRED, LINT, Colony


async def record(colony: Colony, assignment_id: str = "as-1", *, best: bool = False, **data: object) -> Given:
    return await colony.giver.record(
        Wish(msgspec.structs.replace(LINT, **data), assignment_id, "/people/ada", best=best)
    )


def holder(given: Given) -> str | None:
    data = given.event.payload()
    assert isinstance(data, AssignmentCreated)
    return data.agent_id


async def test_the_best_is_recorded_with_why(colony: Colony) -> None:
    await colony.happen(ABLE, "a")
    await colony.act()
    given = await record(colony, best=True)
    data = given.event.payload()
    assert isinstance(data, AssignmentCreated)
    assert data.agent_id == "a"
    assert data.chosen is not None
    assert (data.chosen["agent_id"], data.chosen["eligible"]) == ("a", 1)
    await colony.act()
    assert [event.subject for event in colony.told("assignment.created")] == ["as-1"]


async def test_what_was_just_given_counts_before_the_log_has_it(colony: Colony) -> None:
    for name in "ab":
        await colony.happen(AgentRegistered(name=name, capabilities=["lint"], assignments_max=2), name)
    await colony.act()
    given = await asyncio.gather(*(record(colony, f"as-{n}", best=True) for n in range(6)))
    assert sorted(holder(one) or "" for one in given) == ["", "", "a", "a", "b", "b"]
    await colony.act()
    await colony.happen(
        AssignmentCompleted(agent_id="a"), next(one.event.subject for one in given if holder(one) == "a")
    )
    await colony.act()
    assert holder(await record(colony, "as-9", best=True)) == "a"


async def test_who_died_before_the_log_heard_of_it_is_given_nothing(colony: Colony) -> None:
    await colony.happen(ABLE, "a")
    await colony.happen(ABLE, "b")
    await colony.act()
    await colony.happen(EXPIRED, "a")  # on the bus, and not in the log yet
    assert holder(await record(colony, best=True)) == "b"
    await colony.happen(EXPIRED, "b")
    with pytest.raises(AgentNotAlive):
        await record(colony, "as-2", agent_id="b")


class Moving(MemoryBus):
    """A bus on which something happens to an agent whenever somebody is about to append."""

    async def append(
        self, events: Sequence[Event], *, expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        for entity in expected:
            moved = AgentUpdated(name="x", capabilities=["lint"])
            await self.publish(Event.of(moved, subject=entity.id, source="/agents/x"))
        return await super().append(events, expected=expected, payloads=payloads)


async def test_an_agent_that_never_keeps_still_is_given_up_and_holds_nothing(colony: Colony) -> None:
    await colony.happen(ABLE, "a")
    await colony.act()
    moving: Bus = Moving()
    await moving.publish(Event.of(ABLE, subject="a", source="/agents/a"))
    giver = colony.giver
    giver._bus = moving
    giver._agents._bus = moving
    assert colony.dispatcher
    for wish in (
        Wish(LINT, "as-1", "/people/ada", best=True),
        Wish(msgspec.structs.replace(LINT, agent_id="a"), "as-2", "/people/ada"),
    ):
        with pytest.raises(Contended):
            await giver.record(wish)
    [one] = colony.dispatcher.candidates.candidates("lint")
    assert one.assignments == 0


async def test_where_nobody_alive_can_the_pool_has_it(colony: Colony) -> None:
    assert holder(await record(colony, best=True)) == "local-1"
    assert holder(await record(colony, "as-2")) == "local-1"
    await colony.happen(ABLE, "a")
    await colony.act()
    assert holder(await record(colony, "as-3")) is None


@pytest.mark.parametrize(
    ("how", "refusal"),
    [
        ({"agent_id": "nobody"}, UnknownAgent),
        ({"agent_id": "dead"}, AgentNotAlive),
        ({"agent_id": "a", "kind": "other"}, Incapable),
        ({"kind": "other", "best": True}, NobodyCan),
    ],
)
async def test_what_can_not_be_given_is_refused_and_leaves_no_trace(
    colony: Colony, how: dict[str, object], refusal: type[RookeryError]
) -> None:
    await colony.happen(ABLE, "a")
    await colony.happen(ABLE, "dead")
    await colony.happen(EXPIRED, "dead")
    await colony.act()
    with pytest.raises(refusal):
        await record(colony, **how)  # type: ignore[arg-type]
    await colony.act()
    assert colony.told("assignment.created") == []


async def test_what_was_recorded_before_weighs_on_nobody_but_who_has_it(colony: Colony) -> None:
    for name in "ab":
        await colony.happen(ABLE, name)
    await colony.act()
    first = await record(colony, best=True)
    await colony.happen(AssignmentCompleted(agent_id=holder(first)), "as-1")
    await colony.act()
    again = await record(colony, agent_id="b")
    assert again.repeated
    assert colony.dispatcher
    assert [one.assignments for one in colony.dispatcher.candidates.alive()] == [0, 0]
