"""Handlers: what they return, raise and publish, and what the record then says."""

from __future__ import annotations

import asyncio
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import rookery.testing
from rookery import Agent, Colony, GiveUp, NoResult, Task, TaskFailed, ThreadTask
from rookery.bus import CommandRefused, MemoryBus
from rookery.eventstore.vault import Vault, revealed_event
from rookery.handlers.agent import UnknownCapability
from rookery.handlers.agent import attempt as attempts
from rookery.ops.intake import sealed_alone
from rookery.schemas import SEAL_COMMAND, encode, type_of

from .conftest import events_on

run = rookery.testing.run


async def types_of(handler: Any, **options: Any) -> list[str]:
    return [type_of(event) for event in (await run(handler, "work", **options)).events]


async def test_the_record_begins_and_ends_with_the_task_and_its_run() -> None:
    async def work(task: Task) -> str:
        await task.progress("half way", 0.5)
        return "done"

    assert await types_of(work) == [
        "assignment.created",
        "assignment.started",
        "run.started",
        "run.progressed",
        "run.completed",
        "assignment.completed",
    ]


async def test_a_task_says_what_it_is() -> None:
    seen: list[Any] = []

    async def work(task: Task) -> None:
        seen.append((task.kind, task.input, task.attempt, task.agent_id, task.deadline, len(task.traceparent)))

    await run(work, "work", {"path": "."})
    assert seen == [("work", {"path": "."}, 1, "agent-under-test", None, 55)]


async def test_events_name_their_run_their_cause_and_their_trace(colony: rookery.Colony, events_of: Any) -> None:
    agent = Agent("coder-7", ["work"])

    @agent.on("work")
    async def work(task: Task) -> None:
        await task.progress("on it")

    async with agent.serving(colony.bus):
        await colony.result(await colony.assign("work"))
    (created,), (started,), (progressed,) = [
        await events_of(one) for one in ("assignment.created", "run.started", "run.progressed")
    ]
    assert (progressed.correlationid, progressed.causationid) == (started.subject, created.id)
    assert progressed.traceparent == started.traceparent
    assert progressed.source == "/agents/coder-7"


@pytest.mark.parametrize(
    "result", [None, True, 0, "text", [1, 2.5, None], {"a": {"b": ["ä", "\u2028"]}}, 2**70, "x" * 200_000]
)
async def test_what_is_returned_is_the_result(result: Any) -> None:
    assert (await run(lambda task: result, "work")).result == result


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (object(), "can't be written as JSON: Encoding objects of type object is unsupported"),
        ({("a", 1): 1}, "can't be written as JSON"),
        ("\ud800", "can't be written as JSON"),
        ("x" * 300_000, "takes 300,002 bytes and 262,144 are allowed"),
        ([[]] * 10 + [eval("[" * 80 + "]" * 80)], "nested more than 64 deep"),
    ],
    ids=["object", "tuple keys", "half a surrogate pair", "large", "deep"],
)
async def test_a_result_that_cannot_travel_fails_the_task_once(result: Any, said: str) -> None:
    done = await run(lambda task: result, "work", attempts_max=3)
    assert done.error is not None
    assert said in done.error
    assert len(done.events_of("run.started")) == 1


async def test_what_is_raised_is_recorded_with_its_place() -> None:
    async def work(task: Task) -> None:
        raise ValueError("no such file")

    done = await run(work, "work")
    assert done.error is not None
    assert done.error.startswith("ValueError: no such file (test_handlers.py:")
    (failed,) = done.events_of("run.failed")
    assert failed.error == done.error  # type: ignore[attr-defined]


async def test_a_failed_attempt_is_followed_by_another() -> None:
    async def work(task: Task) -> int:
        if task.attempt < 3:
            raise ConnectionError
        return task.attempt

    done = await run(work, "work", attempts_max=3)
    assert done.result == 3
    assert [type_of(event) for event in done.events if type_of(event).startswith("run")] == [
        "run.started",
        "run.failed",
        "run.started",
        "run.failed",
        "run.started",
        "run.completed",
    ]
    assert not done.events_of("assignment.failed")


async def test_the_last_failed_attempt_fails_the_task() -> None:
    calls: list[int] = []

    def work(task: ThreadTask) -> None:
        calls.append(task.attempt)
        raise ConnectionError

    done = await run(work, "work", attempts_max=2)
    assert calls == [1, 2]
    assert len(done.events_of("assignment.failed")) == 1


async def test_giving_up_is_final() -> None:
    async def work(task: Task) -> None:
        raise GiveUp("there is no such repository")

    done = await run(work, "work", attempts_max=3)
    assert done.error == "there is no such repository"
    assert len(done.events_of("run.failed")) == 1


async def test_an_exception_that_cannot_be_read_still_ends_the_task() -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    async def work(task: Task) -> None:
        raise Unreadable

    assert ((await run(work, "work")).error or "").startswith("Unreadable: (its text can't be read)")


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(), StopAsyncIteration(), KeyboardInterrupt()])
async def test_whatever_a_thread_raises_ends_the_task_and_not_the_agent(error: BaseException) -> None:
    def work(task: ThreadTask) -> None:
        raise error

    assert type(error).__name__ in ((await run(work, "work")).error or "")


async def test_a_coroutine_that_exits_ends_the_task_and_not_the_agent() -> None:
    async def work(task: Task) -> None:
        sys.exit("enough")

    assert "SystemExit: enough" in ((await run(work, "work")).error or "")


async def test_a_coroutine_that_lets_itself_be_cancelled_has_failed() -> None:
    async def work(task: Task) -> None:
        raise asyncio.CancelledError

    done = await run(work, "work", attempts_max=2)
    assert "CancelledError" in (done.error or "")
    assert len(done.events_of("run.failed")) == 2


async def test_a_result_that_is_larger_than_the_bus_takes_fails_the_task() -> None:
    async with MemoryBus(max_payload_bytes=4_000) as bus:
        agent, colony = Agent("coder-7", ["work"]), Colony(bus)
        agent.on("work")(lambda task: "x" * 10_000)
        async with agent.serving(bus):
            with pytest.raises(TaskFailed, match=r"the result of work can't travel: event .* takes 1"):
                await colony.result(await colony.assign("work"))


async def test_an_invalid_event_is_refused_with_its_field_and_fails_the_task_once() -> None:
    async def work(task: Task) -> None:
        await task.progress("too far", 7)

    done = await run(work, "work", attempts_max=3)
    assert done.error is not None
    assert "data.progress" in done.error
    assert not done.events_of("run.progressed")
    assert len(done.events_of("run.started")) == 1


async def test_a_handler_may_catch_what_the_record_refuses() -> None:
    async def work(task: Task) -> str:
        with pytest.raises(rookery.RookeryError):
            await task.remember("x", key="")
        with pytest.raises(rookery.RookeryError):
            await task.message("robot", "hello")  # type: ignore[arg-type]
        with pytest.raises(rookery.RookeryError):
            await task.insight("x" * 2_000_000)
        return "fine"

    done = await run(work, "work")
    assert (done.result, done.error) == ("fine", None)


async def test_what_is_said_about_a_person_is_sealed_by_a_node_before_it_is_published(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "vault")

    async def seal(payload: bytes) -> bytes:
        return sealed_alone(payload, vault)

    async def work(task: Task) -> str:
        await task.message("user", "Ada is ill", about="user-17")
        with pytest.raises(CommandRefused, match="names the data subject in plain"):
            await task.remember("Ada is ill", key="user-17", about="user-17")
        return "fine"

    agent = Agent("nurse", ["work"])
    agent.on("work")(work)
    async with MemoryBus() as bus, agent.serving(bus):
        sealing = await bus.serve(SEAL_COMMAND, seal, queue="vault")
        colony = Colony(bus)
        assert await colony.result(await colony.assign("work")) == "fine"
        (message,) = await events_on(bus, "message.recorded")
        assert not await events_on(bus, "memory.recorded")
        await sealing.close()
    assert message.datasubject == vault.of("user-17")[0].id
    assert b"Ada" not in encode(message)
    assert revealed_event(encode(message), vault)["data"]["content"] == "Ada is ill"


async def test_what_takes_too_long_times_out_for_good() -> None:
    agent = Agent("coder-7", ["work"])
    cancelled, before = asyncio.Event(), datetime.now(UTC)

    @agent.on("work", timeout_seconds=0.05)
    async def work(task: Task) -> None:
        assert task.deadline is not None
        assert task.deadline >= before + timedelta(seconds=0.05)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    done = await run(agent, "work", attempts_max=3)
    assert cancelled.is_set()
    assert done.error == "it was not done in its time"
    assert [type_of(event) for event in done.events[-2:]] == ["run.failed", "assignment.timed_out"]
    assert len(done.events_of("run.started")) == 1


async def test_a_task_may_allow_less_time_than_its_handler(colony: rookery.Colony) -> None:
    agent = Agent("coder-7", ["work"])

    @agent.on("work", timeout_seconds=60)
    async def work(task: Task) -> None:
        await asyncio.Event().wait()

    async with agent.serving(colony.bus):
        with pytest.raises(TaskFailed, match="not done in its time"):
            await colony.result(await colony.assign("work", timeout_seconds=0.05))


async def test_a_timeout_of_the_handlers_own_is_an_ordinary_failure() -> None:
    async def work(task: Task) -> None:
        raise TimeoutError("the model was silent")

    done = await run(work, "work", attempts_max=2)
    assert len(done.events_of("run.failed")) == 2
    assert not done.events_of("assignment.timed_out")


async def test_a_coroutine_that_will_not_be_cancelled_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "CANCEL_SECONDS", 0.01)
    agent = Agent("coder-7", ["work"])
    released, over = asyncio.Event(), asyncio.Event()

    @agent.on("work", timeout_seconds=0.01)
    async def work(task: Task) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        with pytest.raises(rookery.RookeryError, match="is over"):
            await task.progress("still here")
        over.set()

    done = await run(agent, "work")
    assert done.error == "it was not done in its time"
    released.set()
    await over.wait()


async def test_a_thread_whose_time_is_up_is_left_behind_and_told_so() -> None:
    agent = Agent("coder-7", ["work"])
    told, go_on = threading.Event(), threading.Event()

    @agent.on("work", timeout_seconds=0.05)
    def work(task: ThreadTask) -> None:
        go_on.wait()
        if task.over:
            told.set()

    done = await run(agent, "work")
    assert done.error == "it was not done in its time"
    go_on.set()
    assert await asyncio.to_thread(told.wait, 10)


async def test_a_function_of_no_capability_is_refused_before_it_is_waited_for() -> None:
    with pytest.raises(UnknownCapability):
        await run(Agent("coder-7", ["work"]), "play")


async def test_a_test_does_not_wait_for_ever() -> None:
    async def work(task: Task) -> None:
        await asyncio.Event().wait()

    with pytest.raises(NoResult):
        await run(work, "work", timeout_seconds=0.05)


async def test_a_thread_can_say_all_that_a_coroutine_can() -> None:
    def work(task: ThreadTask) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        task.progress("reading", 0.1)
        task.message("user", "hello", about="user-17")
        task.remember("it rains", key="weather", tags=["sky"])
        task.insight("rain is wet", confidence=0.9)
        with task.tool("ruff", {"path": "."}) as tool:
            tool.output = "clean"
        with task.llm_call("openai", "gpt-4o") as call:
            call.usage(input_tokens=1, output_tokens=1)
        return task.ask("sum", [1, 2])

    done = await run(work, "work", answers={"sum": lambda task: sum(task.input)})
    assert done.result == 3
    assert [type_of(event) for event in done.events[3:-2]] == [
        "run.progressed",
        "message.recorded",
        "memory.recorded",
        "insight.recorded",
        "tool_call.completed",
        "llm_call.completed",
        "assignment.created",
    ]


async def test_who_asks_gets_the_answer_and_the_others_run_names_it_as_its_parent(
    colony: rookery.Colony, events_of: Any
) -> None:
    agent = Agent("coder-7", ["double", "quadruple"])

    @agent.on("double")
    def double(task: ThreadTask) -> int:
        return 2 * int(task.input)

    @agent.on("quadruple")
    async def quadruple(task: Task) -> Any:
        return await task.ask("double", await task.ask("double", task.input))

    async with agent.serving(colony.bus):
        assert await colony.result(await colony.assign("quadruple", 5)) == 20
    runs = [(event.subject, event.payload()) for event in await events_of("run.started")]
    (parent,) = [run_id for run_id, started in runs if started.skill == "quadruple"]
    assert [started.parent_run_id for _, started in runs if started.skill == "double"] == [parent, parent]
    assert len({event.traceparent.split("-")[1] for event in await events_of("run.started")}) == 1


@pytest.mark.parametrize("parent", ["", "x" * 300, "a\nb", 7, None, ["run-1"]])
async def test_a_parent_that_is_none_does_not_stop_the_task(
    colony: rookery.Colony, events_of: Any, parent: Any
) -> None:
    agent = Agent("coder-7", ["work"])
    agent.on("work")(lambda task: "done")
    async with agent.serving(colony.bus):
        assert await colony.result(await colony.assign("work", metadata={"parent_run_id": parent})) == "done"
    (started,) = await events_of("run.started")
    assert started.payload().parent_run_id is None


async def test_who_asks_hears_of_failure_and_of_silence() -> None:
    async def work(task: Task) -> str:
        with pytest.raises(TaskFailed, match="no idea"):
            await task.ask("guess")
        with pytest.raises(NoResult, match=r"not done within 0\.05 s"):
            await task.ask("nobody can do this", timeout_seconds=0.05)
        return "heard"

    async def guess(task: Task) -> None:
        raise GiveUp("no idea")

    assert (await run(work, "work", answers={"guess": guess})).result == "heard"
