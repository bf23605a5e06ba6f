"""Agents at work: they share tasks, keep to their bounds, beat their hearts, and leave without dropping anything."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from rookery import Agent, Colony, NoResult, Task, TaskFailed, ThreadTask
from rookery.bus import BusUnavailable, MemoryBus, Receipt
from rookery.handlers.agent import HandlersStuck, NameTaken, Serving, beginning, telling
from rookery.handlers.agent.assigning import assign, created
from rookery.schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    AssignmentTimedOut,
    Event,
    EventData,
    RunCompleted,
    RunStarted,
    derived_id,
)

from .conftest import events_on


def echo(name: str, **options: Any) -> Agent:
    """An agent that returns what it is given."""
    agent = Agent(name, ["echo"], **options)

    @agent.on("echo")
    async def echo(task: Task) -> Any:
        return task.input

    return agent


class Gate:
    """An agent whose tasks begin and then wait to be let through."""

    def __init__(self, name: str = "waiter", capabilities: Sequence[str] = ("wait",), **options: Any) -> None:
        self.agent = Agent(name, capabilities, **options)
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.open = asyncio.Event()
        self.agent.on("wait")(self.wait)

    async def wait(self, task: Task) -> str:
        await self.begun.put(task.id)
        await self.open.wait()
        return task.agent_id


async def test_an_agent_registers_and_says_goodbye(colony: Colony, events_of: Any) -> None:
    async with echo("coder-7", role="reviewer", version="2").serving(colony.bus):
        (registered,) = await events_of("agent.registered")
        assert not await events_of("agent.unregistered")
    data = registered.payload()
    assert (registered.subject, data.name, data.role, data.version) == ("coder-7", "coder-7", "reviewer", "2")
    assert (data.capabilities, data.transport, data.heartbeat_interval_seconds) == (["echo"], "nats", 10.0)
    assert len(await events_of("agent.unregistered")) == 1


async def test_every_task_goes_to_one_agent(colony: Colony, events_of: Any) -> None:
    agents = [echo(f"coder-{n}", concurrency=2) for n in range(3)]
    async with contextlib.AsyncExitStack() as at_work:
        for agent in agents:
            await at_work.enter_async_context(agent.serving(colony.bus))
        given = [await colony.assign("echo", n) for n in range(50)]
        assert await asyncio.gather(*(colony.result(one) for one in given)) == list(range(50))
    done = Counter(event.subject for event in await events_of("assignment.completed"))
    assert done == Counter(given)


async def test_no_more_tasks_are_at_work_than_allowed(colony: Colony) -> None:
    gate = Gate(concurrency=2)
    async with gate.agent.serving(colony.bus):
        given = [await colony.assign("wait") for _ in range(5)]
        assert {await gate.begun.get(), await gate.begun.get()} <= set(given)
        for _ in range(50):
            await asyncio.sleep(0)
        assert gate.begun.empty()
        gate.open.set()
        await asyncio.gather(*(colony.result(one) for one in given))


async def test_the_bound_holds_over_all_capabilities(colony: Colony) -> None:
    agent = Agent("coder-7", ["a", "b", "c"], concurrency=2)
    busy: list[int] = []
    at_work = 0
    both = asyncio.Event()

    async def work(task: Task) -> None:
        nonlocal at_work
        at_work += 1
        busy.append(at_work)
        if at_work == 2:
            both.set()
        await both.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        at_work -= 1

    for capability in ("a", "b", "c"):
        agent.on(capability)(work)
    async with agent.serving(colony.bus):
        given = [await colony.assign(capability) for capability in ("a", "b", "c") for _ in range(5)]
        await asyncio.gather(*(colony.result(one) for one in given))
    assert max(busy) == 2


@pytest.mark.parametrize(("concurrency", "shares"), [(8, [2, 3, 3]), (9, [3, 3, 3]), (3, [1, 1, 1]), (1, [1, 1, 1])])
def test_capabilities_share_the_places(concurrency: int, shares: list[int]) -> None:
    profile = Agent("coder-7", ["a", "b", "c"], concurrency=concurrency).profile
    assert [profile.share_of(capability) for capability in ("a", "b", "c")] == shares


async def test_an_agent_that_is_busy_with_one_capability_leaves_another_to_others(colony: Colony) -> None:
    gate = Gate("both", capabilities=["wait", "echo"], concurrency=2)
    hold = asyncio.Event()

    @gate.agent.on("echo")
    async def echo_slowly(task: Task) -> None:
        await hold.wait()

    async with gate.agent.serving(colony.bus):
        await colony.assign("wait")
        await gate.begun.get()
        held = await colony.assign("echo")
        async for _ in colony.bus.read(subject=f"evt.assignment.{held}.started.>"):
            break
        async with echo("coder-7").serving(colony.bus):
            assert await colony.result(await colony.assign("echo", 1)) == 1
        hold.set()
        gate.open.set()


async def test_a_task_that_is_given_again_under_its_id_is_one_task(colony: Colony, events_of: Any) -> None:
    for _ in range(2):
        await colony.assign("echo", "x", id="as-1")
    async with echo("coder-7").serving(colony.bus):
        assert await colony.result("as-1") == "x"
        await colony.assign("echo", "x", id="as-1")
        await colony.result(await colony.assign("echo", "y"))
    assert [event.subject for event in await events_of("assignment.created")].count("as-1") == 1
    assert len(await events_of("run.started")) == 2


async def test_a_task_that_is_begun_already_is_not_given_again(colony: Colony, events_of: Any) -> None:
    """However long ago that was: the bus itself forgets after a minute what it was given."""
    begun = AssignmentStarted(agent_id="coder-6")
    await colony.bus.publish(Event.of(begun, subject="as-1", source="/agents/coder-6"))
    assert await colony.assign("echo", id="as-1") == "as-1"
    assert await events_of("assignment.created") == []


async def test_who_is_handed_what_another_has_begun_begins_the_next_attempt_and_not_that_ones(
    memory_bus: MemoryBus,
) -> None:
    gates = [Gate("coder-6", concurrency=1), Gate("coder-7")]
    event = created(AssignmentCreated(kind="wait"), "as-1", source="/people/operator")
    async with gates[0].agent.serving(memory_bus):
        await assign(memory_bus, event)
        await gates[0].begun.get()
        memory_bus._work._sequences.clear()  # a minute later, the bus knows it no more, and gives it once more
        async with gates[1].agent.serving(memory_bus):
            await assign(memory_bus, event)
            await gates[1].begun.get()
            gates[1].open.set()
            assert await Colony(memory_bus).result("as-1") == "coder-7"
        gates[0].open.set()
    runs = [event.payload().run_id for event in await events_on(memory_bus, "assignment.started")]
    assert runs == [derived_id("as-1", "1", "run"), derived_id("as-1", "2", "run")]


async def test_a_task_may_be_given_to_one_agent(colony: Colony, events_of: Any) -> None:
    async with echo("coder-1").serving(colony.bus), echo("coder-2").serving(colony.bus):
        for n in range(10):
            await colony.result(await colony.assign("echo", n, agent_id="coder-2"))
    assert {event.payload().agent_id for event in await events_of("assignment.completed")} == {"coder-2"}


async def test_a_capability_that_the_named_agent_lacks_fails_the_task_with_what_it_has(colony: Colony) -> None:
    async with echo("coder-7").serving(colony.bus):
        with pytest.raises(TaskFailed, match=r"no capability 'ecko'; did you mean 'echo'\? \(it has: echo\)"):
            await colony.result(await colony.assign("ecko", agent_id="coder-7"))


async def test_a_capability_that_nobody_has_waits(colony: Colony) -> None:
    task_id = await colony.assign("echo", 1)
    with pytest.raises(NoResult, match="is an agent with the capability running"):
        await colony.result(task_id, timeout_seconds=0.01)
    async with echo("coder-7").serving(colony.bus):
        assert await colony.result(task_id) == 1


async def test_a_result_can_be_asked_for_again(colony: Colony) -> None:
    async with echo("coder-7").serving(colony.bus):
        task_id = await colony.assign("echo", "x")
        assert [await colony.result(task_id), await colony.result(task_id)] == ["x", "x"]


async def test_a_second_agent_of_the_same_name_is_refused(colony: Colony, events_of: Any) -> None:
    async with echo("coder-7").serving(colony.bus):
        with pytest.raises(NameTaken, match=r"at work already \(process \d+ on .+\)"):
            async with echo("coder-7").serving(colony.bus):
                pass
        assert await colony.result(await colony.assign("echo", 1)) == 1
    assert len(await events_of("agent.registered")) == len(await events_of("agent.unregistered")) == 1


async def test_of_two_that_start_at_once_under_one_name_one_does(colony: Colony) -> None:
    async with contextlib.AsyncExitStack() as at_work:
        starting = [at_work.enter_async_context(echo("coder-7").serving(colony.bus)) for _ in range(2)]
        started = await asyncio.gather(*starting, return_exceptions=True)
        assert {type(one) for one in started} == {NameTaken, Serving}


async def test_a_name_is_free_again_when_its_agent_has_left(colony: Colony) -> None:
    for _ in range(2):
        async with echo("coder-7").serving(colony.bus):
            assert await colony.result(await colony.assign("echo", 1)) == 1


async def test_a_draining_agent_finishes_what_it_has_and_takes_no_more(colony: Colony, events_of: Any) -> None:
    gate = Gate(concurrency=1)
    serving = gate.agent.serving(colony.bus)
    await serving.__aenter__()
    first, second = await colony.assign("wait"), await colony.assign("wait")
    await gate.begun.get()
    draining = asyncio.create_task(serving.drain())
    gate.open.set()
    await draining
    assert [event.subject for event in await events_of("assignment.completed")] == [first]
    other = Gate("another")
    other.open.set()
    async with other.agent.serving(colony.bus):
        assert await colony.result(second) == "another"


async def test_what_is_not_done_when_draining_ends_goes_to_another(colony: Colony, events_of: Any) -> None:
    gate = Gate(drain_seconds=0)
    async with gate.agent.serving(colony.bus):
        task_id = await colony.assign("wait")
        await gate.begun.get()
    (cancelled,) = await events_of("run.cancelled")
    assert cancelled.payload().reason == "waiter stopped; the task is given to another"
    other = Gate("another")
    other.open.set()
    async with other.agent.serving(colony.bus):
        assert await colony.result(task_id) == "another"
    assert not await events_of("run.failed")


async def test_a_serving_agent_that_is_cancelled_drains_and_cancelled_again_hands_back(
    colony: Colony, events_of: Any
) -> None:
    gate = Gate()
    serving = asyncio.create_task(gate.agent.serve(colony.bus))
    await colony.assign("wait")
    await gate.begun.get()
    serving.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not serving.done()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert len(await events_of("run.cancelled")) == len(await events_of("agent.unregistered")) == 1


async def test_a_task_that_was_done_already_is_not_done_twice(colony: Colony, events_of: Any) -> None:
    """As when the bus did not hear that it was done."""
    task_id = "as-1"
    agent = Agent("coder-7", ["echo"], retry_seconds=0)

    @agent.on("echo")
    async def echo(task: Task) -> None:
        done = AssignmentCompleted(agent_id="coder-6", result="by another")
        await colony.bus.publish(
            Event.of(done, subject=task_id, source="/agents/coder-6", id=derived_id(task_id, "ended"))
        )
        raise ConnectionError

    async with agent.serving(colony.bus):
        await colony.assign("echo", id=task_id)
        assert await colony.result(task_id) == "by another"
    assert len(await events_of("run.started")) == 1


async def begun_by_one_who_died(
    colony: Colony, *, of_run: EventData | None = None, of_work: EventData | None = None
) -> tuple[str, str]:
    """Give work that another agent begins, with what was told of it then; the bus hands it out again."""
    works = colony.bus.work("echo", in_hand_max=1)
    task_id = await colony.assign("echo", "x")
    lost = await anext(works)
    run_id = derived_id(task_id, "1", "run")
    told = [(AssignmentStarted(agent_id="coder-6", run_id=run_id), task_id), (RunStarted(agent_id="coder-6"), run_id)]
    told += [(data, subject) for data, subject in ((of_run, run_id), (of_work, task_id)) if data is not None]
    for data, subject in told:
        await colony.bus.publish(echo("coder-6").profile.says(data, subject=subject))
    await lost.again(0)
    return task_id, run_id


async def test_a_run_that_nobody_ended_is_ended_by_who_comes_next(colony: Colony, events_of: Any) -> None:
    task_id, earlier = await begun_by_one_who_died(colony)
    async with echo("coder-7").serving(colony.bus):
        assert await colony.result(task_id) == "x"
    (failed,) = await events_of("run.failed")
    assert failed.subject == earlier
    assert failed.payload().error == beginning.LOST


async def test_a_run_that_ended_without_its_assignment_is_done_again(colony: Colony, events_of: Any) -> None:
    """As when its agent was killed between the two."""
    task_id, _ = await begun_by_one_who_died(colony, of_run=RunCompleted(agent_id="coder-6"))
    async with echo("coder-7").serving(colony.bus):
        assert await colony.result(task_id) == "x"
    assert await events_of("run.failed") == []
    assert len(await events_of("assignment.completed")) == 1


class CalledOffAsItEnds(MemoryBus):
    """A bus on which an assignment is called off just before it would be completed."""

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        if events[0].type == "assignment.completed":
            event = Event.of(AssignmentCancelled(reason="too dear"), subject=events[0].subject, source="/p", id="off")
            await self.publish(event)
        return await super().append(events, **how)


async def test_what_is_called_off_as_it_ends_stays_called_off_and_its_run_is_told_as_it_was() -> None:
    async with CalledOffAsItEnds() as bus:
        async with echo("coder-7").serving(bus):
            colony = Colony(bus)
            with pytest.raises(TaskFailed, match="called off: too dear"):
                await colony.result(await colony.assign("echo", "x"))
        assert await events_on(bus, "assignment.completed") == []
        assert len(await events_on(bus, "run.completed")) == 1
        assert await events_on(bus, "run.cancelled") == []


class AnswersLost(MemoryBus):
    """A bus that goes away for long after it has stored the first event of a type, before it says so."""

    def __init__(self, type: str) -> None:
        super().__init__()
        self.unanswered = type

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        receipts = await super().append(events, **how)
        if events[0].type == self.unanswered:
            self.unanswered = ""
            raise BusUnavailable("memory:", "the append was not answered")
        return receipts


@pytest.mark.parametrize("type", ["assignment.started", "run.started", "run.completed", "assignment.completed"])
async def test_what_was_stored_without_an_answer_is_ones_own_and_goes_on(
    type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "PUBLISH_PAUSE_SECONDS", 0)
    calls = list[str]()
    agent = Agent("coder-7", ["count"], attempts_max=1)

    @agent.on("count")
    async def count(task: Task) -> int:
        calls.append(task.id)
        return len(calls)

    async with AnswersLost(type) as bus, agent.serving(bus):
        colony = Colony(bus)
        assert await colony.result(await colony.assign("count"), timeout_seconds=10) == 1
        assert (bus.unanswered, len(calls)) == ("", 1)
        assert len(await events_on(bus, "run.completed")) == 1


async def test_a_run_that_nobody_ended_is_ended_also_where_its_task_is_over(colony: Colony, events_of: Any) -> None:
    """As when the node ended what was overdue, and the agent that had it was dead."""
    _, earlier = await begun_by_one_who_died(colony, of_work=AssignmentTimedOut(agent_id="coder-6"))
    async with echo("coder-7").serving(colony.bus), asyncio.timeout(20):
        while not await events_of("run.failed"):
            await asyncio.sleep(0.01)
    assert [one.subject for one in await events_of("run.failed")] == [earlier]
    assert len(await events_of("run.started")) == 1


async def test_a_task_that_every_agent_died_of_fails(colony: Colony, events_of: Any) -> None:
    works = colony.bus.work("echo", in_hand_max=1)
    task_id = await colony.assign("echo")
    for _ in range(3):
        await (await anext(works)).again(0)
    async with echo("coder-7").serving(colony.bus):
        with pytest.raises(TaskFailed, match="every attempt at it was lost with its agent"):
            await colony.result(task_id)
    assert not await events_of("run.started")


async def test_an_agent_whose_threads_are_all_held_ends(colony: Colony) -> None:
    agent = Agent("coder-7", ["hang"], concurrency=2)
    go_on = threading.Event()

    @agent.on("hang", timeout_seconds=0.02)
    def hang(task: ThreadTask) -> None:
        go_on.wait()

    await colony.assign("hang")
    await colony.assign("hang")
    with pytest.raises(HandlersStuck, match="all 2 threads"):
        await agent.serve(colony.bus)
    go_on.set()


async def test_an_agent_whose_bus_is_closed_ends(memory_bus: MemoryBus) -> None:
    serving = asyncio.create_task(echo("coder-7").serve(memory_bus))
    async for _ in memory_bus.read(subject="evt.agent.coder-7.registered.>"):
        break
    await memory_bus.close()
    with pytest.raises(Exception, match="the bus is closed"):
        await serving


async def test_an_event_that_is_no_assignment_cannot_be_given(colony: Colony) -> None:
    task = AssignmentCreated(kind="", input=None)
    with pytest.raises(Exception, match=r"data\.kind"):
        await assign(colony.bus, created(task, "as-1", source="/clients/test"))


@pytest.mark.parametrize("input", [object(), "\ud800"])
async def test_input_that_cannot_travel_is_refused_where_it_is_given(colony: Colony, input: Any) -> None:
    with pytest.raises(Exception, match=r"data\.input: can't be written as JSON"):
        await colony.assign("echo", input)
