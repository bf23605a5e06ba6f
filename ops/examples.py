"""The example agents at work on a folder: each in a process of its own, as a user would run it, until all is done."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ..handlers.agent import Colony, NoResult, TaskFailed, connect
from ..schemas import RookeryError

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"
TASK_SECONDS_MAX = 45.0
STOP_SECONDS_MAX = 5.0
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


class ExampleEnded(RookeryError):
    """An example agent ended before its work was done."""

    def __init__(self, agent_id: str, said: str) -> None:
        self.agent_id = agent_id
        super().__init__(f"agent {agent_id!r} ended before its work was done: {said or 'it said nothing'}")


def at_work(nats_url: str, folder: Path) -> list[Done]:
    """Start the agents, give each its task, stop them, and return what came of it. Raises `ExampleEnded`."""
    with _running(nats_url) as agents:
        return asyncio.run(_outcomes(agents, nats_url, folder))


async def _outcomes(agents: list[_Agent], nats_url: str, folder: Path) -> list[Done]:
    """What came of the tasks. Raises `ExampleEnded` when an agent ends before."""
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


async def _watch(agents: list[_Agent]) -> None:
    while all(agent.process.poll() is None for agent in agents):
        await asyncio.sleep(LOOK_SECONDS)
    ended = next(agent for agent in agents if agent.process.poll() is not None)
    raise ExampleEnded(ended.example.agent_id, ended.last_words())


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


class _Agent(NamedTuple):
    example: Example
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def last_words(self) -> str:
        self.said.seek(0)
        return self.said.read().decode(errors="replace").strip().rpartition("\n")[2]


@contextmanager
def _running(nats_url: str) -> Iterator[list[_Agent]]:
    """The agents' processes; none is left in the end, whatever happens meanwhile."""
    agents: list[_Agent] = []
    try:
        for example in EXAMPLES:
            agents.append(_started(example, nats_url))  # noqa: PERF401 (who is started is to be stopped)
        yield agents
    finally:
        _stop(agents)


def _started(example: Example, nats_url: str) -> _Agent:
    said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the agent is stopped)
    process = subprocess.Popen(
        [sys.executable, "-P", str(FOLDER / example.file)],  # -P: its neighbours must not take the place of modules
        env={**os.environ, "ROOKERY_NATS_URL": nats_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # a Ctrl-C is for us: we stop them in good order
    )
    return _Agent(example, process, said)


def _stop(agents: list[_Agent]) -> None:
    for agent in agents:
        agent.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS_MAX
    for agent in agents:
        try:
            agent.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            agent.process.kill()
            agent.process.wait()
        agent.said.close()
