"""The example agents at work on a folder: each in a process of its own, as a user would run it, until all is done."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..handlers.agent import Colony, NoResult, TaskFailed, connect
from .agent_processes import AgentProcess, Program, running_agents

TASK_SECONDS_MAX = 45.0
LOOK_SECONDS = 0.2


class Example(NamedTuple):
    """A program in docs/examples: its file, the agent that it runs, and what that agent can do."""

    file: str
    agent_id: str
    capability: str


EXAMPLES = (
    Example("code_inventory.py", "surveyor", "code.inventory"),
    Example("linter.py", "linter", "code.lint"),
    Example("tests_inventory.py", "examiner", "tests.inventory"),
)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task: what the agent says of it, or why it failed."""

    agent_id: str
    capability: str
    seconds: float
    summary: str | None = None
    error: str | None = None


def at_work(nats_url: str, folder: Path) -> list[Done]:
    """Start the agents, give each its task, stop them, and return what came of it. Raises `AgentEnded`."""
    with running_agents([Program(example.file, example.agent_id) for example in EXAMPLES], nats_url) as agents:
        return asyncio.run(_outcomes(agents, nats_url, folder))


async def _outcomes(agents: list[AgentProcess], nats_url: str, folder: Path) -> list[Done]:
    """What came of the tasks. Raises `AgentEnded` when an agent ends before."""
    async with connect(nats_url, name="demo") as colony:
        try:
            async with asyncio.TaskGroup() as together:
                watch = together.create_task(_watch(agents))
                tasks = [together.create_task(_done(colony, example, folder)) for example in EXAMPLES]
                await asyncio.wait(tasks)
                watch.cancel()
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]


async def _watch(agents: list[AgentProcess]) -> None:
    while True:
        for agent in agents:
            agent.refuse_ended()
        await asyncio.sleep(LOOK_SECONDS)


async def _done(colony: Colony, example: Example, folder: Path) -> Done:
    began = time.monotonic()
    task = await colony.assign(example.capability, {"path": str(folder)}, timeout_seconds=TASK_SECONDS_MAX)
    outcome: dict[str, Any] = {}
    try:
        outcome["summary"] = (await colony.result(task, timeout_seconds=TASK_SECONDS_MAX))["summary"]
    except TaskFailed as failed:
        outcome["error"] = failed.reason
    except NoResult as late:
        outcome["error"] = str(late)
    seconds = time.monotonic() - began
    return Done(agent_id=example.agent_id, capability=example.capability, seconds=seconds, **outcome)
