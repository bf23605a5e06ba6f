"""An assignment is begun by who is handed it, ended once by its holder, and not begun when it was called off."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given as over
from hypothesis import strategies as st
from rookery import Agent, Colony, Task, TaskFailed
from rookery.bus import Bus, Entity, MemoryBus, Receipt
from rookery.handlers.assignments import (
    ASSIGNMENTS,
    Assignment,
    AssignmentOver,
    Cancel,
    Complete,
    Fail,
    GiveUp,
    NotTheHolder,
    Release,
    Start,
    TimeOut,
    UnknownAssignment,
    stop,
)
from rookery.handlers.reactions import Command, CommandData, Decider, Happened, given
from rookery.handlers.reactions.scenario import NOON
from rookery.schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    RookeryError,
    decode,
)

CREATED = AssignmentCreated(kind="lint", skill="lint")
CHOSEN = AssignmentCreated(kind="lint", agent_id="a", chosen={"score": 1})
NAMED = AssignmentCreated(kind="lint", agent_id="a")
STARTED = AssignmentStarted(agent_id="a", run_id="r1", attempt=1)
AGAIN = AssignmentStarted(agent_id="b", run_id="r2", attempt=2)
RELEASED = AssignmentReleased(agent_id="a", attempt=1, reason="it died")
COMPLETED = AssignmentCompleted(agent_id="a")


@pytest.fixture(params=["memory_bus", "nats_bus"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(request.param)
    return found


class TestBeginning:
    def test_attempts_are_counted_whoever_makes_them(self) -> None:
        given(ASSIGNMENTS, CREATED).when(Start(agent_id="a", run_id="r1")).then(STARTED)
        given(ASSIGNMENTS, CREATED, STARTED, RELEASED).when(Start(agent_id="b", run_id="r2")).then(AGAIN)

    def test_a_run_begins_once(self) -> None:
        given(ASSIGNMENTS, CREATED, STARTED).when(Start(agent_id="a", run_id="r1")).then()

    def test_who_is_handed_it_takes_it_over(self) -> None:
        given(ASSIGNMENTS, CREATED, STARTED).when(Start(agent_id="b", run_id="r2")).then(AGAIN)

    def test_what_is_for_one_agent_is_begun_by_no_other(self) -> None:
        given(ASSIGNMENTS, NAMED).when(Start(agent_id="b")).then_refused(NotTheHolder)
        given(ASSIGNMENTS, NAMED, STARTED, RELEASED).when(Start(agent_id="b")).then_refused(NotTheHolder)
        given(ASSIGNMENTS, CHOSEN).when(Start(agent_id="b")).then_refused(NotTheHolder)

    def test_what_was_released_by_who_was_chosen_is_for_anybody(self) -> None:
        given(ASSIGNMENTS, CHOSEN, STARTED, RELEASED).when(Start(agent_id="b", run_id="r2")).then(AGAIN)

    @pytest.mark.parametrize("end", [COMPLETED, AssignmentTimedOut(), AssignmentCancelled()])
    def test_what_is_over_is_not_begun(self, end: EventData) -> None:
        given(ASSIGNMENTS, CREATED, end).when(Start(agent_id="a")).then_refused(AssignmentOver)

    def test_what_nobody_gave_is_not_begun(self) -> None:
        given(ASSIGNMENTS).when(Start(agent_id="a")).then_refused(UnknownAssignment)


class TestResults:
    def test_the_holder_says_what_came_of_it(self) -> None:
        begun = given(ASSIGNMENTS, CREATED, STARTED)
        done = AssignmentCompleted(agent_id="a", skill="lint", score=0.5, result=[1])
        begun.when(Complete(agent_id="a", run_id="r1", score=0.5, result=[1])).then(done)
        begun.when(Fail(agent_id="a", error="no")).then(AssignmentFailed(agent_id="a", skill="lint", error="no"))
        begun.when(TimeOut(agent_id="a", run_id="r1")).then(AssignmentTimedOut(agent_id="a", skill="lint"))

    @pytest.mark.parametrize("result", [Complete(agent_id="a", run_id="r1"), Fail(agent_id="a", run_id="r1", error="")])
    def test_a_finished_assignment_refuses_results(self, result: CommandData) -> None:
        for end in (COMPLETED, AssignmentFailed(agent_id="a", error=""), AssignmentTimedOut(), AssignmentCancelled()):
            given(ASSIGNMENTS, CREATED, STARTED, end).when(result).then_refused(AssignmentOver)

    @pytest.mark.parametrize("result", [Complete(agent_id="a", run_id="r1"), Fail(agent_id="a", run_id="r1", error="")])
    def test_a_result_from_who_does_not_hold_it_is_refused(self, result: CommandData) -> None:
        given(ASSIGNMENTS, CREATED).when(result).then_refused(NotTheHolder)
        given(ASSIGNMENTS, CREATED, STARTED, RELEASED).when(result).then_refused(NotTheHolder)
        given(ASSIGNMENTS, CREATED, STARTED, AGAIN).when(result).then_refused(NotTheHolder)

    def test_an_earlier_attempt_of_the_same_agent_has_no_say(self) -> None:
        second = AssignmentStarted(agent_id="a", run_id="r2", attempt=2)
        late = Complete(agent_id="a", run_id="r1")
        given(ASSIGNMENTS, CREATED, STARTED, second).when(late).then_refused(NotTheHolder)

    def test_whoever_is_handed_it_for_the_last_time_gives_it_up(self) -> None:
        lost = AssignmentFailed(agent_id="a", skill="lint", error="lost")
        given(ASSIGNMENTS, CREATED, STARTED).when(GiveUp(agent_id="b", skill="lint", error="lost")).then(lost)


class TestTime:
    def test_an_attempt_times_out_and_not_the_one_after_it(self) -> None:
        timed_out = AssignmentTimedOut(agent_id="a", skill="lint")
        given(ASSIGNMENTS, CREATED, STARTED).when(TimeOut(attempt=1)).then(timed_out)
        given(ASSIGNMENTS, CREATED, STARTED, RELEASED).when(TimeOut(attempt=1)).then()
        given(ASSIGNMENTS, CREATED, STARTED, RELEASED, AGAIN).when(TimeOut(attempt=1)).then()

    def test_the_whole_times_out_also_while_it_waits(self) -> None:
        given(ASSIGNMENTS, CREATED).when(TimeOut()).then(AssignmentTimedOut(skill="lint"))
        given(ASSIGNMENTS, CREATED, STARTED, RELEASED).when(TimeOut()).then(AssignmentTimedOut(skill="lint"))


class TestReleasing:
    def test_what_an_agent_holds_is_taken_out_of_its_hands(self) -> None:
        given(ASSIGNMENTS, CREATED, STARTED).when(Release(agent_id="a", reason="it died")).then(RELEASED)

    def test_what_waits_for_who_was_chosen_is_free_again(self) -> None:
        free = AssignmentReleased(agent_id="a", reason="it died")
        given(ASSIGNMENTS, CHOSEN).when(Release(agent_id="a", reason="it died")).then(free)
        given(ASSIGNMENTS, CHOSEN, free).when(Start(agent_id="b", run_id="r")).then(
            AssignmentStarted(agent_id="b", run_id="r", attempt=1)
        )

    def test_what_is_not_in_its_hands_is_left_as_it_is(self) -> None:
        for facts in ([CREATED], [NAMED], [CREATED, STARTED, AGAIN], [CREATED, STARTED, COMPLETED]):
            given(ASSIGNMENTS, *facts).when(Release(agent_id="a")).then()
        given(ASSIGNMENTS, CREATED, STARTED).when(Release(agent_id="a", run_id="r0")).then()


def test_what_is_not_over_is_called_off_once() -> None:
    given(ASSIGNMENTS, CREATED).when(Cancel(reason="no")).then(AssignmentCancelled(reason="no"))
    given(ASSIGNMENTS, CREATED, STARTED).when(Cancel("no")).then(AssignmentCancelled(reason="no", agent_id="a"))
    given(ASSIGNMENTS, CREATED, AssignmentCancelled()).when(Cancel()).then()
    given(ASSIGNMENTS, CREATED, STARTED, COMPLETED).when(Cancel()).then_refused(AssignmentOver)
    given(ASSIGNMENTS).when(Cancel()).then_refused(UnknownAssignment)


agents, runs = st.sampled_from("ab"), st.sampled_from(["r1", "r2"])
commands = st.one_of(
    st.builds(Start, agent_id=agents, run_id=runs),
    st.builds(Complete, agent_id=agents, run_id=runs),
    st.builds(Fail, agent_id=agents, run_id=runs, error=st.just("no")),
    st.builds(TimeOut, attempt=st.none() | st.integers(1, 3)),
    st.builds(Release, agent_id=agents, run_id=st.none() | runs),
    st.builds(GiveUp, agent_id=agents, error=st.just("lost")),
    st.builds(Cancel),
)


@over(st.sampled_from([CREATED, CHOSEN, NAMED]), st.lists(commands, max_size=12))
def test_whatever_is_asked_it_ends_once_and_attempts_only_grow(created: EventData, asked: list[CommandData]) -> None:
    state, ends = ASSIGNMENTS.fold([Happened(created, NOON)]), list[EventData]()
    for number, data in enumerate(asked):
        command = Command(subject="x", data=data, source="/tests", id=f"c{number}", time=NOON)
        before: Assignment = state
        try:
            facts = ASSIGNMENTS.decide(command, state)
        except RookeryError:
            continue
        for fact in facts:
            state = ASSIGNMENTS.evolve(state, Happened(fact, NOON))
            ends += [fact] if state.is_over else []
        assert state.attempts - before.attempts == sum(isinstance(fact, AssignmentStarted) for fact in facts)
    assert len(ends) == state.is_over


async def test_an_agent_does_not_begin_what_was_called_off(bus: Bus) -> None:
    agent, begun = Agent("linter", ["lint"]), list[str]()

    @agent.on("lint")
    async def lint(task: Task) -> str:
        begun.append(task.id)
        return "clean"

    colony = Colony(bus, name="test")
    for name in ("as-1", "as-2"):
        await colony.assign("lint", id=name)
    cancel = Command.of(Cancel(), subject="as-1", source="/people/ann")
    await Decider(bus, ASSIGNMENTS, source="/nodes/local").handle(cancel)
    async with agent.serving(bus):
        assert await colony.result("as-2") == "clean"
    assert begun == ["as-2"]
    history = await bus.history(Entity("assignment", "as-1"))
    assert [delivery.subject.split(".")[3] for delivery in history.deliveries] == ["created", "cancelled"]


async def test_who_has_begun_what_is_called_off_stops_when_it_hears_so(bus: Bus) -> None:
    agent, begun, stopped = Agent("linter", ["lint"]), asyncio.Event(), asyncio.Event()

    @agent.on("lint")
    async def lint(task: Task) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    decider = Decider(bus, ASSIGNMENTS, source="/nodes/local")
    async with agent.serving(bus), asyncio.timeout(20):
        await Colony(bus, name="test").assign("lint", id="as-1")
        await begun.wait()
        await stop(bus, "linter", "as-1")  # it is not over: nothing stops
        assert not stopped.is_set()
        await decider.handle(Command.of(Cancel("no"), subject="as-1", source="/people/ann"))
        await stop(bus, "linter", "as-1")
        await stopped.wait()
    history = await bus.history(Entity("assignment", "as-1"))
    assert [delivery.subject.split(".")[3] for delivery in history.deliveries] == ["created", "started", "cancelled"]
    run_id = decode(history.deliveries[1].payload).payload().run_id  # type: ignore[attr-defined]
    told = await bus.history(Entity("run", run_id))
    assert [delivery.subject.split(".")[3] for delivery in told.deliveries] == ["started", "cancelled"]


class Hasty(MemoryBus):
    """A bus on which an assignment is called off when somebody is just about to begin it."""

    async def append(
        self, events: Sequence[Event], *, expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        for event in events:
            if event.type == "assignment.started":
                await self.publish(Event.of(AssignmentCancelled(), subject=event.subject, source="/people/ann"))
        return await super().append(events, expected=expected, payloads=payloads)


async def test_what_is_called_off_in_the_moment_of_its_beginning_is_not_begun() -> None:
    agent, begun = Agent("linter", ["lint"]), list[str]()

    @agent.on("lint")
    async def lint(task: Task) -> None:
        begun.append(task.id)

    async with Hasty() as bus, agent.serving(bus):
        colony = Colony(bus, name="test")
        with pytest.raises(TaskFailed, match="called off"):
            await colony.result(await colony.assign("lint", id="as-1"))
        assert (await bus.history(Entity("assignment", "as-1"))).deliveries[-1].subject.split(".")[3] == "cancelled"
    assert begun == []
