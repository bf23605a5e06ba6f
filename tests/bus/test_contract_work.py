"""What every bus does with work: the same suite over both buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import pytest
from rookery.bus import Bus, BusUnavailable, EventTooLarge, MemoryBus, Work, WorkQueueFull
from rookery.schemas import AssignmentCreated, Event, InvalidEvent
from rookery.tests.bus.paces import ACK_WAITS_SECONDS, Pace, at_some_pace

MakeEvent = Callable[..., Event]

ACK_WAIT_SECONDS = ACK_WAITS_SECONDS[0]


def task(kind: str = "code.review", *, subject: str = "as-1", **data: Any) -> Event:
    return Event.of(AssignmentCreated(kind=kind, **data), subject=subject, source="/people/ada")


@asynccontextmanager
async def taking(
    bus: Bus, capability: str = "code.review", *, in_hand_max: int = 4, **options: Any
) -> AsyncIterator[AsyncGenerator[Work, None]]:
    async with aclosing(bus.work(capability, in_hand_max=in_hand_max, **options)) as tasks:
        yield tasks


def taking_at(bus: Bus, pace: Pace, **options: Any) -> AbstractAsyncContextManager[AsyncGenerator[Work, None]]:
    return taking(bus, pace.capability, ack_wait_seconds=pace.ack_wait_seconds, **options)


async def next_of(tasks: AsyncGenerator[Work, None]) -> Work:
    async with asyncio.timeout(10):
        return await anext(tasks)


async def held(bus: Bus, capability: str, *, agent_id: str | None = None) -> list[str]:
    return sorted([one async for page in bus.tasks_held(capability, agent_id=agent_id) for one in page])


@asynccontextmanager
async def waiting_for_next(tasks: AsyncGenerator[Work, None]) -> AsyncIterator[asyncio.Task[Work]]:
    """Somebody who waits for the next task while the test goes on."""
    waiting = asyncio.create_task(next_of(tasks))
    try:
        yield waiting
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


class TestGive:
    async def test_a_task_is_handed_out_as_it_was_given(self, bus: Bus) -> None:
        given = task(input={"path": "."})
        assert await bus.give(given) == (1, False)
        async with taking(bus) as tasks:
            found = await next_of(tasks)
        assert found.event == given
        assert (found.attempt, found.attempts_max, found.exhausted) == (1, 3, False)

    async def test_where_a_task_was_recorded_goes_along_with_it(self, bus: Bus) -> None:
        await bus.give(task(subject="as-1"), recorded=17)
        await bus.give(task(subject="as-2"))
        async with taking(bus) as tasks:
            assert [(await next_of(tasks)).recorded for _ in range(2)] == [17, None]

    async def test_giving_again_changes_nothing(self, bus: Bus) -> None:
        given, other = task(), task()
        assert await bus.give(given) == (1, False)
        assert await bus.give(given) == (1, True)
        await bus.give(other)
        async with taking(bus) as tasks:
            assert [(await next_of(tasks)).event, (await next_of(tasks)).event] == [given, other]

    async def test_giving_is_no_publishing(self, bus: Bus) -> None:
        await bus.give(task())
        assert (await bus.state()).messages == 0

    async def test_only_assignments_can_be_given(self, bus: Bus, make_event: MakeEvent) -> None:
        with pytest.raises(InvalidEvent, match=r"only assignment\.created") as refused:
            await bus.give(make_event())
        assert refused.value.field == "type"

    async def test_a_task_that_is_too_large_is_refused(self, bus: Bus) -> None:
        with pytest.raises(EventTooLarge):
            await bus.give(task(input="x" * 2_000_000))

    async def test_a_capability_that_makes_too_long_a_subject_is_refused(self, bus: Bus) -> None:
        with pytest.raises(InvalidEvent, match="shorter"):
            await bus.give(task("\N{SNOWMAN}" * 256))

    async def test_a_closed_bus_takes_and_hands_out_nothing(self, bus: Bus) -> None:
        async with taking(bus) as tasks, waiting_for_next(tasks) as waiting:
            await bus.give(task("another"))
            await bus.close()
            with pytest.raises(BusUnavailable):
                await waiting
        with pytest.raises(BusUnavailable):
            await bus.give(task())


class TestWhoGetsIt:
    async def test_who_waits_hears_of_new_work(self, bus: Bus) -> None:
        async with taking(bus) as tasks, waiting_for_next(tasks) as waiting:
            given = task()
            await bus.give(given)
            assert (await waiting).event == given

    async def test_each_task_goes_to_one_of_those_who_can_do_it(self, bus: Bus) -> None:
        done: list[str] = []
        finished = asyncio.Event()

        async def agent() -> None:
            async with taking(bus, in_hand_max=2) as tasks:
                async for found in tasks:
                    done.append(found.event.subject)
                    await found.done()
                    if len(done) == 60:
                        finished.set()

        agents = [asyncio.create_task(agent()) for _ in range(3)]
        await asyncio.gather(*(bus.give(task(subject=f"as-{n}")) for n in range(60)))
        async with asyncio.timeout(20):
            await finished.wait()
        for one in agents:
            one.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
        assert sorted(done) == sorted(f"as-{n}" for n in range(60))

    @pytest.mark.parametrize(
        "capability", ["code", "code.review.more", "*", ">", "a b", "ü", "code%2Ereview", "x" * 256]
    )
    async def test_capabilities_are_kept_apart(self, bus: Bus, capability: str) -> None:
        await bus.give(task("code.review", subject="review"))
        await bus.give(task(capability, subject="other"))
        async with taking(bus, capability) as tasks:
            assert (await next_of(tasks)).event.subject == "other"
        async with taking(bus, "code.review") as tasks:
            assert (await next_of(tasks)).event.subject == "review"

    async def test_work_for_an_agent_waits_for_that_agent(self, bus: Bus) -> None:
        await bus.give(task(subject="for-bob", agent_id="bob"))
        await bus.give(task(subject="for-anyone"))
        async with taking(bus, agent_id="eve") as eves:
            found = await next_of(eves)
            assert found.event.subject == "for-anyone"
            await found.done()
        async with taking(bus, agent_id="bob") as bobs:
            assert (await next_of(bobs)).event.subject == "for-bob"

    async def test_an_agent_gets_what_it_is_given_by_name_whatever_the_capability(self, bus: Bus) -> None:
        await bus.give(task("write.poems", agent_id="bob"))
        async with taking(bus, "code.review", agent_id="bob") as bobs:
            assert (await next_of(bobs)).event.payload() == AssignmentCreated(kind="write.poems", agent_id="bob")


class TestBackPressure:
    async def test_no_more_is_handed_out_than_hands_are_free(self, bus: Bus) -> None:
        for number in range(4):
            await bus.give(task(subject=f"as-{number}"))
        async with taking(bus, in_hand_max=2) as tasks:
            first, _ = [await next_of(tasks), await next_of(tasks)]
            async with waiting_for_next(tasks) as waiting, taking(bus, in_hand_max=2) as others:
                assert {(await next_of(others)).event.subject for _ in range(2)} == {"as-2", "as-3"}
                await bus.give(task(subject="as-4"))  # and nobody has a hand free
                await asyncio.sleep(0.02)
                assert not waiting.done()
                await first.done()
                assert (await waiting).event.subject == "as-4"

    @pytest.mark.parametrize("in_hand_max", [1, 2, 8])
    async def test_hands_are_bound_for_shared_and_named_work_together(self, bus: Bus, in_hand_max: int) -> None:
        for number in range(30):
            await bus.give(task(subject=f"as-{number}", agent_id="bob" if number % 3 == 0 else None))
        in_hand: list[Work] = []
        seen: set[str] = set()
        async with taking(bus, agent_id="bob", in_hand_max=in_hand_max) as tasks:
            while len(seen) < 30:
                found = await next_of(tasks)
                in_hand.append(found)
                seen.add(found.event.subject)
                if len(in_hand) == in_hand_max:
                    await in_hand.pop(0).done()
        assert len(seen) == 30

    async def test_what_was_fetched_and_not_handed_out_goes_to_others_at_once(self, bus: Bus) -> None:
        for number in range(8):
            await bus.give(task(subject=f"as-{number}"))
        async with taking(bus, in_hand_max=8) as tasks:
            await (await next_of(tasks)).done()
        async with taking(bus, in_hand_max=8) as tasks:
            assert {(await next_of(tasks)).event.subject for _ in range(7)} == {f"as-{n}" for n in range(1, 8)}

    async def test_who_is_cancelled_while_waiting_takes_nothing_along(self, bus: Bus) -> None:
        async with taking(bus) as tasks, waiting_for_next(tasks):
            await asyncio.sleep(0.02)
        await bus.give(task())
        async with taking(bus) as tasks:
            assert (await next_of(tasks)).attempt == 1

    async def test_what_is_in_hand_can_be_settled_after_the_end(self, bus: Bus) -> None:
        await bus.give(task())
        async with taking(bus, ack_wait_seconds=ACK_WAIT_SECONDS) as tasks:
            found = await next_of(tasks)
        await found.done()
        await found.done()
        async with taking(bus, ack_wait_seconds=ACK_WAIT_SECONDS) as tasks, waiting_for_next(tasks) as waiting:
            await asyncio.sleep(2 * ACK_WAIT_SECONDS)
            assert not waiting.done()


class TestSettling:
    async def test_what_is_done_never_comes_again(self, bus: Bus) -> None:
        async def check(pace: Pace) -> None:
            await bus.give(task(pace.capability))
            async with taking_at(bus, pace) as tasks:
                await (await next_of(tasks)).done()
                async with waiting_for_next(tasks) as waiting:
                    await asyncio.sleep(2 * pace.ack_wait_seconds)
                    assert not waiting.done()

        await at_some_pace(check)

    async def test_what_was_given_back_comes_again_after_the_delay(self, bus: Bus) -> None:
        async def check(pace: Pace) -> None:
            await bus.give(task(pace.capability, subject="later"))
            async with taking(bus, pace.capability, in_hand_max=1) as tasks:
                await (await next_of(tasks)).again(pace.ack_wait_seconds)
                await bus.give(task(pace.capability, subject="meanwhile"))
                found = await next_of(tasks)
                assert (found.event.subject, found.attempt) == ("meanwhile", 1)
                await found.done()
                found = await next_of(tasks)
                assert (found.event.subject, found.attempt) == ("later", 2)

        await at_some_pace(check)

    async def test_what_was_given_back_without_delay_comes_at_once(self, bus: Bus) -> None:
        await bus.give(task())
        async with taking(bus, in_hand_max=1) as tasks:
            for attempt in (1, 2, 3):
                found = await next_of(tasks)
                assert (found.attempt, found.exhausted) == (attempt, False)
                await found.again()

    async def test_what_was_given_up_never_comes_again(self, bus: Bus) -> None:
        await bus.give(task(subject="hopeless"))
        async with taking(bus, in_hand_max=1, ack_wait_seconds=ACK_WAIT_SECONDS) as tasks:
            await (await next_of(tasks)).give_up()
            async with waiting_for_next(tasks) as waiting:
                await asyncio.sleep(2 * ACK_WAIT_SECONDS)
                assert not waiting.done()

    async def test_the_work_of_a_dead_agent_goes_to_another(self, bus: Bus) -> None:
        await bus.give(task())
        async with taking(bus, in_hand_max=1, ack_wait_seconds=ACK_WAIT_SECONDS) as dead:
            assert (await next_of(dead)).attempt == 1
            async with taking(bus, ack_wait_seconds=ACK_WAIT_SECONDS) as living:
                assert (await next_of(living)).attempt == 2

    async def test_who_drops_a_task_has_its_hand_free_and_the_task_goes_to_another(self, bus: Bus) -> None:
        async def check(pace: Pace) -> None:
            dropped, other = task(pace.capability), task(pace.capability, subject="as-2")
            await bus.give(dropped)
            async with taking_at(bus, pace, in_hand_max=1) as tasks:
                held = await next_of(tasks)
                await bus.give(other)
                held.drop()
                held.drop()
                found = await next_of(tasks)
                assert found.event == other
                await found.done()
                again = await next_of(tasks)
                assert (again.event, again.attempt) == (dropped, 2)

        await at_some_pace(check)

    async def test_what_is_being_worked_on_stays_with_whom_it_is(self, bus: Bus) -> None:
        async def check(pace: Pace) -> None:
            await bus.give(task(pace.capability))
            async with taking_at(bus, pace, in_hand_max=2) as tasks:
                found = await next_of(tasks)
                async with waiting_for_next(tasks) as waiting:
                    for _ in range(8):
                        await asyncio.sleep(pace.ack_wait_seconds / 3)
                        await found.busy()
                    assert not waiting.done()
                    assert (await waiting).attempt == 2

        await at_some_pace(check)

    async def test_a_task_whose_attempts_are_used_up_comes_once_more_to_be_said_so(self, bus: Bus) -> None:
        await bus.give(task())
        async with taking(bus, attempts_max=2, ack_wait_seconds=ACK_WAIT_SECONDS) as tasks:
            attempts = [await next_of(tasks) for _ in range(3)]
            assert [(one.attempt, one.exhausted) for one in attempts] == [(1, False), (2, False), (3, True)]
            await attempts[-1].give_up()

    async def test_the_word_of_one_who_was_too_slow_still_counts(self, bus: Bus) -> None:
        async def check(pace: Pace) -> None:
            await bus.give(task(pace.capability))
            async with taking_at(bus, pace) as tasks:
                slow = await next_of(tasks)
                assert (await next_of(tasks)).attempt == 2
                await slow.done()
                async with waiting_for_next(tasks) as waiting:
                    await asyncio.sleep(2 * pace.ack_wait_seconds)
                    assert not waiting.done()

        await at_some_pace(check)


class TestHandingOver:
    async def test_what_somebody_has_in_hand_comes_to_another_at_once(self, bus: Bus) -> None:
        given = task()
        await bus.give(given)
        alone = {"in_hand_max": 1, "ack_wait_seconds": 60}
        async with taking(bus, **alone) as dead, taking(bus, **alone) as tasks:
            lost = await next_of(dead)
            await bus.hand_over(given, None, number=1)
            found = await next_of(tasks)
            assert (found.event, found.attempt) == (given, 1)
            await lost.done()  # after all: it changes nothing
            await found.done()
            await bus.give(other := task(subject="as-2"))
            assert (await next_of(tasks)).event == other

    async def test_it_goes_to_whom_it_is_handed_over_and_to_nobody_else(self, bus: Bus) -> None:
        given = task(agent_id="ada")
        await bus.give(given)
        await bus.hand_over(given, "bob", number=1)
        await bus.hand_over(given, None, number=2, was=["bob"])
        await bus.hand_over(given, "eve", number=3)
        async with (
            taking(bus, "other", agent_id="ada") as adas,
            taking(bus, "other", agent_id="bob") as bobs,
            taking(bus) as anybodys,
            taking(bus, None, agent_id="eve") as eves,
            waiting_for_next(adas) as ada,
            waiting_for_next(bobs) as bob,
            waiting_for_next(anybodys) as anybody,
        ):
            assert (await next_of(eves)).event == given
            assert not any(one.done() for one in (ada, bob, anybody))

    async def test_handing_over_again_changes_nothing(self, bus: Bus) -> None:
        given = task()
        await bus.give(given)
        first = await bus.hand_over(given, None, number=1)
        again = await bus.hand_over(given, None, number=1)
        assert (first.duplicate, again) == (False, (first.sequence, True))
        await bus.give(other := task(subject="as-2"))
        async with taking(bus) as tasks:
            assert [(await next_of(tasks)).event, (await next_of(tasks)).event] == [given, other]

    async def test_what_waits_or_is_in_hand_at_a_place_is_told_and_nothing_else(self, bus: Bus) -> None:
        assert await held(bus, "code.review") == []
        for number in range(3):
            await bus.give(task(subject=f"as-{number}"))
        await bus.give(task("code.lint", subject="other"))
        await bus.give(task(subject="named", agent_id="coder-7"))
        async with taking(bus, in_hand_max=2) as tasks:
            await (await next_of(tasks)).done()
            await next_of(tasks)
        assert await held(bus, "code.review") == ["as-1", "as-2"]
        await bus.hand_over(task(subject="as-1"), "coder-7", number=1)
        assert "as-1" in await held(bus, "whatever", agent_id="coder-7")
        assert "named" in await held(bus, "whatever", agent_id="coder-7")

    async def test_who_takes_no_capability_gets_only_what_is_given_by_name(self, bus: Bus) -> None:
        await bus.give(task())
        await bus.give(named := task(agent_id="ada", subject="as-2"))
        await bus.give(again := task("other", agent_id="ada", subject="as-3"))
        async with taking(bus, None, agent_id="ada") as tasks:
            assert [(await next_of(tasks)).event, (await next_of(tasks)).event] == [named, again]
            async with waiting_for_next(tasks) as waiting:
                assert not waiting.done()


async def test_what_finds_no_room_in_memory_when_it_is_handed_over_stays_where_it_is(memory_bus: MemoryBus) -> None:
    given = task()
    await memory_bus.give(given)
    memory_bus._work._waiting_max = 1
    with pytest.raises(WorkQueueFull):
        await memory_bus.hand_over(given, "coder-7", number=1)
    assert await held(memory_bus, "code.review") == ["as-1"]
