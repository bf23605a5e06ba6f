"""What was recorded and never given is given when a node begins; what waits, or is in hand, is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from rookery.bus import MemoryBus, Receipt, WorkQueueFull
from rookery.handlers.agent.assigning import created
from rookery.handlers.assignments import ASSIGNMENTS
from rookery.handlers.dispatch import Dispatcher
from rookery.handlers.reactions import Decider
from rookery.schemas import AssignmentCancelled, AssignmentCreated, AssignmentStarted, Event, EventData

from .conftest import ABLE, CHOSEN, EXPIRED, LINT, NAMED, ORIGIN, Colony, closing, nothing_waits, take


async def record(colony: Colony, data: AssignmentCreated, subject: str = "as-1") -> Event:
    """As one who dies before it gives what it has recorded."""
    event = created(data, subject, source="/people/ada")
    await colony.bus.publish(event)
    return event


async def begin_anew(colony: Colony) -> None:
    await colony.act()
    await colony.stop()
    await colony.start()
    assert colony.dispatcher
    await colony.dispatcher.until_no_strays()


def forget_ids(colony: Colony) -> None:
    """Have the time pass in which the bus knows what it was given."""
    assert isinstance(colony.bus, MemoryBus)
    colony.bus._work._sequences.clear()


async def tasks_held(colony: Colony) -> int:
    assert isinstance(colony.bus, MemoryBus)
    return len(colony.bus._work._tasks)


@pytest.mark.parametrize(("data", "agent_id"), [(LINT, None), (NAMED, "a"), (CHOSEN, "a")])
async def test_what_was_recorded_and_never_given_is_given_at_the_next_start(
    colony: Colony, data: AssignmentCreated, agent_id: str | None
) -> None:
    await colony.happen(ABLE, "a")
    given = await record(colony, data)
    await begin_anew(colony)
    assert (await take(colony.bus, None if agent_id else "lint", agent_id)).event == given
    await begin_anew(colony)
    assert await tasks_held(colony) == 1


async def test_what_waits_or_is_in_hand_is_not_given_once_more(colony: Colony) -> None:
    for number in range(3):
        await colony.give(LINT, f"as-{number}")
    await take(colony.bus)
    await record(colony, LINT, "stray")
    await begin_anew(colony)
    assert await tasks_held(colony) == 4


@pytest.mark.parametrize("fact", [AssignmentStarted(agent_id="a", run_id="r1"), AssignmentCancelled()])
async def test_what_was_begun_or_is_over_is_not_given(colony: Colony, fact: EventData) -> None:
    await record(colony, LINT)
    await colony.happen(fact, "as-1")
    await begin_anew(colony)
    assert await nothing_waits(colony.bus)


async def test_work_that_is_done_elsewhere_and_only_recorded_here_is_not_given(colony: Colony) -> None:
    await colony.happen(LINT, "as-1")
    await begin_anew(colony)
    assert await tasks_held(colony) == 0


async def test_what_came_to_an_end_since_the_log_was_read_is_not_given(colony: Colony) -> None:
    await record(colony, LINT)
    await colony.act()
    await colony.stop()
    await colony.happen(AssignmentCancelled(), "as-1")  # on the bus, and not in the log yet
    dispatcher = Dispatcher(colony.log, colony.bus, ORIGIN)
    running = asyncio.create_task(dispatcher.run(Decider(colony.bus, ASSIGNMENTS, source=f"/nodes/{ORIGIN}")))
    await dispatcher.until_no_strays()
    running.cancel()
    assert await tasks_held(colony) == 0


class Full(MemoryBus):
    """A bus that takes no work under one id, for now."""

    refused = "as-1"

    async def give(self, event: Event, *, recorded: int | None = None) -> Receipt:
        if event.subject == self.refused:
            raise WorkQueueFull(1)
        return await super().give(event, recorded=recorded)


async def test_one_that_can_not_be_given_keeps_no_other_from_it_and_is_given_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.handlers.dispatch.dispatcher.STRAYS_SECONDS", 0.01)
    async with closing(Colony(tmp_path, bus=(bus := Full()))) as colony:
        for number in range(3):
            await record(colony, LINT, f"as-{number}")
        await colony.start()
        assert {(await take(bus)).event.subject for _ in range(2)} == {"as-0", "as-2"}
        assert colony.dispatcher
        async with asyncio.timeout(10):
            while "it can't give work that waits nowhere" not in colony.dispatcher.trouble:
                await asyncio.sleep(0.001)
        bus.refused = ""
        assert (await take(bus)).event.subject == "as-1"
        await colony.dispatcher.until_no_strays()
        assert colony.dispatcher.trouble == ""


class TestGivingAgain:
    async def test_what_waits_is_not_given_twice_however_late_and_what_waits_nowhere_is(self, colony: Colony) -> None:
        given, stray = await colony.give(LINT), await record(colony, LINT, "stray")
        forget_ids(colony)
        giver = colony.giver
        for event in (given, stray, given, stray):
            await giver.give_again(event)
        assert await tasks_held(colony) == 2
        assert [(await take(colony.bus)).event for _ in range(2)] == [given, stray]
        forget_ids(colony)
        await giver.give_again(given)
        assert await nothing_waits(colony.bus)

    async def test_what_was_handed_over_to_others_is_not_given_where_it_was_first(self, colony: Colony) -> None:
        for agent_id in ("a", "b"):
            await colony.happen(ABLE, agent_id)
        given = await colony.give(CHOSEN)
        await colony.happen(EXPIRED, "a")
        await colony.until_told("assignment.released")
        await colony.act()
        assert (await take(colony.bus)).event == given
        forget_ids(colony)
        await colony.giver.give_again(given)
        assert await tasks_held(colony) == 1

    async def test_many_who_ask_at_once_share_the_looks(self, tmp_path: Path) -> None:
        async with closing(Colony(tmp_path, bus=(bus := Looked()))) as colony:
            await colony.start()
            events = [await record(colony, LINT, f"as-{number}") for number in range(20)]
            giver, before = colony.giver, bus.looks
            asking = [asyncio.create_task(giver.give_again(event)) for event in events]
            await asyncio.sleep(0)
            asking[0].cancel()  # whoever looks for all of them gives up
            asking[7].cancel()
            await asyncio.wait(asking)
            assert await tasks_held(colony) == 20
            assert bus.looks - before <= 3


class Looked(MemoryBus):
    """A bus that counts how often its work is looked through."""

    looks = 0

    def tasks_held(self, capability: str, *, agent_id: str | None = None) -> AsyncGenerator[list[str], None]:
        self.looks += 1
        return super().tasks_held(capability, agent_id=agent_id)
