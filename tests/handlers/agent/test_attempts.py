"""Attempts: what counts as one, and what doesn't."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from rookery import Agent, Colony, Task, ThreadTask
from rookery.bus import MemoryBus
from rookery.handlers.agent.assigning import created
from rookery.schemas import AssignmentCreated


async def test_a_last_attempt_that_is_handed_back_is_made_again(colony: Colony, events_of: Any) -> None:
    agents = [Agent(name, ["work"], attempts_max=1, drain_seconds=0) for name in ("coder-7", "coder-8")]
    begun = asyncio.Event()

    @agents[0].on("work")
    async def never_end(task: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    @agents[1].on("work")
    async def end(task: Task) -> str:
        return task.agent_id

    async with agents[0].serving(colony.bus):
        task_id = await colony.assign("work")
        await begun.wait()
    async with agents[1].serving(colony.bus):
        assert await colony.result(task_id) == "coder-8"
    assert [event.payload().attempt for event in await events_of("assignment.started")] == [1, 2]


async def test_what_a_bus_that_was_made_anew_has_of_a_task_counts(colony: Colony, events_of: Any) -> None:
    """The log still has that the task was given, and so it was given to the bus again; there, only that is missing."""
    agent = Agent("coder-7", ["work"], retry_seconds=0)

    @agent.on("work")
    async def work(task: Task) -> int:
        if task.attempt == 1:
            raise ConnectionError
        return task.attempt

    async with agent.serving(colony.bus):
        await colony.bus.give(created(AssignmentCreated(kind="work"), "as-1", source="/people/ann"))
        assert await colony.result("as-1") == 2
    assert len(await events_of("run.failed")) == 1


async def test_a_thread_that_cannot_be_had_fails_an_attempt_and_takes_no_place(
    memory_bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, scarce = Agent("coder-7", ["work"], concurrency=1, retry_seconds=0), [RuntimeError("can't start new thread")]

    @agent.on("work")
    def work(task: ThreadTask) -> int:
        return task.attempt

    start = threading.Thread.start

    def start_if_any(thread: threading.Thread) -> None:
        if thread.name.startswith("work ") and scarce:
            raise scarce.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_any)
    colony = Colony(memory_bus)
    async with agent.serving(memory_bus):
        assert await colony.result(await colony.assign("work"), timeout_seconds=20) == 2
