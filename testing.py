"""Testing agents: run one task through a handler, on a bus in memory, and look at everything it published.

run = await rookery.testing.run(agent, "code.review", {"path": "."})
assert run.result == {"findings": 0}
(call,) = run.events_of("tool_call.completed")
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .bus import Entity, MemoryBus
from .handlers.agent import Agent, Colony, Serving, TaskFailed
from .handlers.agent.profile import Profile
from .schemas import SEAL_COMMAND, EventData, decode, type_of

TIMEOUT_SECONDS = 10.0
DRAIN_SECONDS = 1.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task: its result or its error, and all that was published about it, in order."""

    result: Any
    error: str | None
    events: list[EventData]

    def events_of(self, type: str) -> list[EventData]:
        """The events of one type, as in `tool_call.completed`."""
        return [event for event in self.events if type_of(event) == type]


async def run(
    agent: Agent | Callable[[Any], Any],
    capability: str,
    input: Any = None,
    *,
    answers: Mapping[str, Any] | None = None,
    attempts_max: int = 1,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Run:
    """Give the agent, or a handler by itself, a task, and return what came of it.

    `answers` stand for the other agents whom the handler asks: for each capability a handler, or simply its answer.
    Attempts beyond the first follow without a pause. Raises `NoResult` when the task isn't done in `timeout_seconds`.
    """
    async with MemoryBus() as bus, contextlib.AsyncExitStack() as at_work:
        colony = Colony(bus, name="test")
        sealing = await bus.serve(SEAL_COMMAND, _as_it_is, queue="vault")
        at_work.push_async_callback(sealing.close)
        await at_work.enter_async_context(Serving(_tried(agent, capability, attempts_max), bus))
        if answers:
            await at_work.enter_async_context(_answering(answers).serving(bus))
        assignment_id = await colony.assign(capability, input)
        result, error = None, None
        try:
            result = await colony.result(assignment_id, timeout_seconds=timeout_seconds)
        except TaskFailed as failed:
            error = failed.reason
        await at_work.aclose()
        return Run(result=result, error=error, events=await _events_about(bus, assignment_id))


async def _as_it_is(payload: bytes) -> bytes:
    """In the place of a node, which would seal what is said about people: a test looks at what was said."""
    return payload


def _tried(tried: Agent | Callable[[Any], Any], capability: str, attempts_max: int) -> Profile:
    """The agent, or one around a handler by itself: as it is, save that it tries again at once and leaves soon."""
    if not isinstance(tried, Agent):
        agent = Agent("agent-under-test", [capability])
        agent.on(capability)(tried)
        tried = agent
    tried.profile.handler(capability)
    hasty = {"attempts_max": attempts_max, "retry_seconds": 0.0, "drain_seconds": DRAIN_SECONDS}
    return msgspec.structs.replace(tried.profile, **hasty)


def _answering(answers: Mapping[str, Any]) -> Agent:
    agent = Agent("others", list(answers))
    for capability, answer in answers.items():
        agent.on(capability)(answer if callable(answer) else lambda _, answer=answer: answer)
    return agent


async def _events_about(bus: MemoryBus, assignment_id: str) -> list[EventData]:
    """What was published by the task's giver and its doer; what others did for it is theirs."""
    (created, *_) = (await bus.history(Entity("assignment", assignment_id))).deliveries
    cause = decode(created.payload).id
    end = (await bus.state()).last_sequence
    found: list[EventData] = []
    async for batch in bus.read():
        events = [decode(delivery.payload) for delivery in batch]
        found += [event.payload() for event in events if cause in (event.id, event.causationid)]
        if batch[-1].sequence >= end:
            break
    return found
