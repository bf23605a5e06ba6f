"""Work that waits can be called off, and then nobody begins it."""

from __future__ import annotations

import pytest
from rookery import Agent, Colony, Task
from rookery.bus import Bus, Entity
from rookery.handlers.assignments import ASSIGNMENTS, Cancel, NotWaiting, UnknownAssignment
from rookery.handlers.reactions import Command, Decider, given
from rookery.schemas import AssignmentCancelled, AssignmentCompleted, AssignmentCreated, AssignmentStarted

CREATED = AssignmentCreated(kind="lint")
STARTED = AssignmentStarted(agent_id="a")


@pytest.fixture(params=["memory_bus", "nats_bus"])
def bus(request: pytest.FixtureRequest) -> Bus:
    found: Bus = request.getfixturevalue(request.param)
    return found


def test_what_waits_is_called_off_once_and_what_is_begun_or_over_is_not() -> None:
    given(ASSIGNMENTS, CREATED).when(Cancel(reason="no")).then(AssignmentCancelled(reason="no"))
    given(ASSIGNMENTS, CREATED, AssignmentCancelled()).when(Cancel()).then()
    given(ASSIGNMENTS, CREATED, STARTED).when(Cancel()).then_refused(NotWaiting)
    given(ASSIGNMENTS, CREATED, STARTED, AssignmentCompleted(agent_id="a")).when(Cancel()).then_refused(NotWaiting)
    given(ASSIGNMENTS).when(Cancel()).then_refused(UnknownAssignment)
    given(ASSIGNMENTS, CREATED, AssignmentCancelled(), STARTED).when(Cancel()).then()


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
