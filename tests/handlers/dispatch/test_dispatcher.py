"""What is overdue ends, also after a restart; a dead agent's work comes to another at once; who is to stop hears it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rookery.handlers.assignments import stop_subject
from rookery.handlers.dispatch import GRACE_SECONDS
from rookery.handlers.dispatch.dispatcher import HANDED_SECONDS
from rookery.schemas import (
    AgentUnregistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    AssignmentTimedOut,
    EventData,
)

from .conftest import ABLE, CHOSEN, EXPIRED, LINT, NAMED, ORIGIN, Colony, nothing_waits, take


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

    async def test_what_went_to_one_who_is_silent_too_is_handed_over_again(self, colony: Colony) -> None:
        for name in "abc":
            await colony.happen(ABLE, name)
        given = await colony.give(LINT)
        await take(colony.bus)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.happen(EXPIRED, "a")
        await colony.act()
        await take(colony.bus)  # by one who asked before it froze, and never begins it
        await colony.pass_time(HANDED_SECONDS + 1)
        assert (await take(colony.bus)).event == given
        await colony.happen(AssignmentStarted(agent_id="c", run_id="r2", attempt=2), "as-1")
        await colony.act()
        await colony.pass_time(100)
        await colony.act()
        assert await nothing_waits(colony.bus)

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
