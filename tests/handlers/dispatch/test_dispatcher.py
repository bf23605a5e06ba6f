"""What is overdue ends, also after a restart; a dead agent's work comes to another at once; who is to stop hears it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import Entity, MemoryBus, Receipt
from rookery.eventstore import Record
from rookery.handlers.assignments import stop_subject
from rookery.handlers.dispatch import GRACE_SECONDS, Dispatcher
from rookery.handlers.dispatch.hands import HANDED_SECONDS
from rookery.handlers.proficiency import Rating, Ratings
from rookery.handlers.reactions import runner
from rookery.handlers.reactions.driving import Terms
from rookery.schemas import (
    AgentStateChanged,
    AgentUnregistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    InvalidInput,
)

from ..reactions.conftest import World
from .conftest import ABLE, CHOSEN, EXPIRED, LINT, NAMED, ORIGIN, Colony, closing, nothing_waits, take

EVICTED = AgentStateChanged(state="evicted", incarnation=1)
SUSPECT = AgentStateChanged(state="suspect", incarnation=1)


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
        await colony.pass_time(20)
        await colony.act()
        assert colony.told("assignment.timed_out") == []
        await colony.pass_time(10 + GRACE_SECONDS)
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
        colony.ahead += timedelta(hours=2)
        await colony.start()
        assert len(await colony.until_told("assignment.timed_out")) == 1

    async def test_what_ended_in_time_does_not_time_out(self, colony: Colony) -> None:
        await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=3600), "as-1")
        await colony.happen(AssignmentCompleted(agent_id="a"), "as-1")
        await colony.act()
        await colony.pass_time(4000)
        await colony.act()
        assert colony.told("assignment.timed_out") == []

    async def test_many_whose_time_is_up_do_not_wait_for_each_other(self, tmp_path: Path) -> None:
        async with closing(Colony(tmp_path, bus=Meeting(3))) as colony:
            for number in range(3):
                await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=60), f"as-{number}")
            await colony.start()
            await colony.pass_time(61)
            assert len(await colony.until_told("assignment.timed_out", 3)) == 3

    async def test_one_that_can_not_be_ended_keeps_nobody_else_from_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("rookery.handlers.dispatch.side_by_side.AT_ONCE_MAX", 1)
        async with closing(Colony(tmp_path, bus=Stumbling("as-0"))) as colony:
            for number in range(3):
                await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=60), f"as-{number}")
            await colony.start()
            await colony.pass_time(61)
            ended = await colony.until_told("assignment.timed_out", 2)
            assert sorted(event.subject for event in ended) == ["as-1", "as-2"]


class Meeting(MemoryBus):
    """A bus on which an append waits until so many are under way."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._all = asyncio.Barrier(count)

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        await self._all.wait()
        return await super().append(events, **how)


class Stumbling(MemoryBus):
    """A bus on which nothing can be appended to an assignment, for a reason that nobody foresaw."""

    def __init__(self, assignment_id: str) -> None:
        super().__init__()
        self._assignment_id = assignment_id

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        if events[0].subject == self._assignment_id:
            raise RuntimeError("it stumbles")
        return await super().append(events, **how)


async def test_what_nothing_can_be_made_of_is_set_aside_and_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    def lookup(agent_id: str, skill: str) -> Rating:
        if agent_id == "odd":
            raise ArithmeticError("no rating")
        return Ratings().lookup(agent_id, skill, 0)

    async with closing(Colony(tmp_path, lookup=lookup)) as colony:
        await colony.start()
        await colony.happen(ABLE, "a")
        await colony.act()
        assert colony.dispatcher
        assert colony.dispatcher.candidates.choose("lint")
        assert colony.dispatcher.trouble == ""
        await colony.happen(ABLE, "odd")
        await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=60), "as-1")
        await colony.act()
        assert colony.dispatcher.set_aside == 1
        assert "1 event could not be taken in" in colony.dispatcher.trouble
        await colony.pass_time(61)
        assert len(await colony.until_told("assignment.timed_out")) == 1


async def test_a_log_that_can_not_be_read_is_told_and_keeps_nothing_from_its_end(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(end: int) -> list[Record]:
        raise OSError("the disk is away")

    monkeypatch.setattr("rookery.handlers.dispatch.dispatcher.TROUBLE_SECONDS", 0.01)
    await colony.happen(AssignmentCreated(kind="lint", deadline_seconds=60), "as-1")
    await colony.act()
    assert colony.dispatcher
    with monkeypatch.context() as away:
        away.setattr(colony.dispatcher, "_read", fail)
        await colony.happen(ABLE, "a")
        await World.ingest(colony)
        await colony.pass_time(61)
        async with asyncio.timeout(10):
            while not await colony.bus.has_happened(Entity("assignment", "as-1"), "timed_out"):
                await asyncio.sleep(0.001)
        assert colony.dispatcher.trouble == "it can't read the log: the disk is away"
    await colony.act()
    assert colony.dispatcher.trouble == ""


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

    async def test_it_is_released_however_long_the_log_takes_to_be_read_at_the_start(
        self, colony: Colony, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await colony.happen(ABLE, "a")
        await colony.give(LINT)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1")
        await colony.act()
        await colony.stop()
        await colony.happen(EXPIRED, "a")
        may_read, read = threading.Event(), Dispatcher._read

        def read_later(dispatcher: Dispatcher, end: int) -> list[Record]:
            may_read.wait(10)
            return read(dispatcher, end)

        monkeypatch.setattr(Dispatcher, "_read", read_later)
        monkeypatch.setattr(runner, "Terms", partial(Terms, attempt_seconds_max=0))  # for what has to wait at all
        reacting = await colony.start()
        await asyncio.sleep(0.1)  # which is more than an attempt may take
        assert reacting.parked() == []
        may_read.set()
        assert len(await colony.until_told("assignment.released")) == 1

    @pytest.mark.parametrize("end", [EXPIRED, EVICTED, AgentUnregistered(reason="stopped")])
    async def test_what_it_begins_after_that_is_taken_from_it_too(self, colony: Colony, end: EventData) -> None:
        await colony.happen(ABLE, "a")
        await colony.happen(ABLE, "b")
        await colony.happen(end, "a")
        given = await colony.give(LINT)
        await take(colony.bus)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1"), "as-1")
        await colony.act()
        [released] = colony.told("assignment.released")
        assert released.payload() == AssignmentReleased(agent_id="a", attempt=1, reason="a was dead when it began")
        assert (await take(colony.bus)).event == given

    @pytest.mark.parametrize("before", [(), (EXPIRED,), (ABLE, EXPIRED, ABLE), (ABLE, SUSPECT)])
    async def test_who_never_registered_or_came_back_or_is_only_suspected_begins_what_it_likes(
        self, colony: Colony, before: Sequence[EventData]
    ) -> None:
        for fact in before:
            await colony.happen(fact, "a")
        await colony.give(LINT)
        await colony.happen(AssignmentStarted(agent_id="a", run_id="r1"), "as-1")
        await colony.act()
        assert colony.told("assignment.released") == []


async def test_who_is_told_to_stop_and_refuses_to_hear_holds_up_nothing(colony: Colony) -> None:
    async def refuse(_: bytes) -> bytes:
        raise InvalidInput("its bus is away")

    await colony.bus.serve(stop_subject("a/b"), refuse, queue="agent")
    await colony.happen(AssignmentCancelled(agent_id="a/b"), "as-1")
    await colony.act()
    assert colony.told("reaction.failed") == []


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


async def test_who_stopped_by_itself_is_not_told_to_and_who_has_anothers_name_is(colony: Colony) -> None:
    told = list[bytes]()

    async def hear(payload: bytes) -> bytes:
        told.append(payload)
        return b""

    await colony.bus.serve(stop_subject("a"), hear, queue="agent")
    for subject, source in (("as-1", "/agents/eu/a"), ("as-2", "/people/a")):
        await colony.bus.publish(Event.of(AssignmentCancelled(agent_id="a"), subject=subject, source=source))
    await colony.act()
    assert told == [b"as-2"]


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
