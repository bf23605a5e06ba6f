"""Agents while things break: a bus that dies, processes that are told to stop, and processes that are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rookery import Agent, Colony, Task, connect
from rookery.bus import NatsBus
from rookery.handlers.agent import NameTaken
from rookery.ops.nats_server import NatsServer
from rookery.schemas import Event, decode

# An agent that goes on when a test makes a file, and that is given up for dead after a second.
PROGRAM = """
import asyncio, pathlib, sys
import rookery
from rookery.handlers.agent import serving

serving.ACK_WAIT_SECONDS = 1.0
serving.BUSY_SECONDS = 0.3
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
agent = rookery.Agent(name, ["wait"], drain_seconds=60)

@agent.on("wait")
async def wait(task):
    await task.progress("begun")
    while not (folder / "go").exists():
        await asyncio.sleep(0.01)
    return {"by": task.agent_id, "attempt": task.attempt}

agent.run()
"""


@pytest.fixture
def colony(nats_bus: NatsBus) -> Colony:
    return Colony(nats_bus, name="test")


@asynccontextmanager
async def process(
    server: NatsServer, name: str, folder: Path, program: str = PROGRAM
) -> AsyncIterator[asyncio.subprocess.Process]:
    """An agent in a process of its own."""
    (folder / "program.py").write_text(program)
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        str(folder / "program.py"),
        name,
        str(folder),
        env={**os.environ, "ROOKERY_NATS_URL": server.url},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def first(bus: NatsBus, subject: str) -> Event:
    """The first event under a subject, waited for."""
    async with asyncio.timeout(30):
        async for batch in bus.read(subject=subject):
            return decode(batch[0].payload)
    raise AssertionError


async def ends_on(bus: NatsBus) -> Counter[str]:
    """How often each assignment was completed."""
    end = (await bus.state()).last_sequence
    found: Counter[str] = Counter()
    async for batch in bus.read():
        events = [decode(delivery.payload) for delivery in batch]
        found.update(event.subject for event in events if event.type == "assignment.completed")
        if batch[-1].sequence >= end:
            break
    return found


async def test_sigterm_lets_the_tasks_in_hand_end(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, "coder-7", tmp_path) as agent:
        task = await colony.assign("wait")
        await first(nats_bus, "evt.run.*.progressed.>")
        agent.send_signal(signal.SIGTERM)
        await said(agent, "finishes 1 tasks")
        waiting = await colony.assign("wait")
        (tmp_path / "go").touch()
        assert await agent.wait() == 0
        assert await colony.result(task, timeout_seconds=10) == {"by": "coder-7", "attempt": 1}
    async with process(nats_server, "coder-8", tmp_path):
        assert (await colony.result(waiting, timeout_seconds=20))["by"] == "coder-8"


async def test_a_second_sigterm_hands_the_tasks_back_at_once(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, "coder-7", tmp_path) as agent:
        task = await colony.assign("wait")
        await first(nats_bus, "evt.run.*.progressed.>")
        agent.send_signal(signal.SIGTERM)
        await said(agent, "finishes 1 tasks")
        agent.send_signal(signal.SIGTERM)
        assert await agent.wait() == 0
    await first(nats_bus, "evt.run.*.cancelled.>")
    await first(nats_bus, "evt.agent.*.unregistered.>")
    (tmp_path / "go").touch()
    async with process(nats_server, "coder-8", tmp_path):
        assert await colony.result(task, timeout_seconds=20) == {"by": "coder-8", "attempt": 2}


async def said(agent: asyncio.subprocess.Process, words: str) -> None:
    assert agent.stderr is not None
    async with asyncio.timeout(30):
        while words not in (line := (await agent.stderr.readline()).decode()):
            assert line, "it ended, and never said so"


async def test_a_killed_agents_task_is_taken_up_by_another(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, "coder-7", tmp_path) as agent:
        task = await colony.assign("wait")
        await first(nats_bus, "evt.run.*.progressed.>")
        agent.kill()
        await agent.wait()
        (tmp_path / "go").touch()
        async with process(nats_server, "coder-8", tmp_path):
            assert await colony.result(task, timeout_seconds=30) == {"by": "coder-8", "attempt": 2}
    failed = await first(nats_bus, "evt.run.*.failed.>")
    assert failed.source == "/agents/coder-8"


async def test_a_killed_agents_name_is_free(colony: Colony, nats_server: NatsServer, tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    for _ in range(2):
        async with process(nats_server, "coder-7", tmp_path):
            assert (await colony.result(await colony.assign("wait"), timeout_seconds=20))["by"] == "coder-7"


async def test_a_name_is_held_across_connections(nats_server: NatsServer, nats_bus: NatsBus) -> None:
    agent = Agent("coder-7", ["x"])
    agent.on("x")(lambda task: None)
    async with agent.serving(nats_bus), await NatsBus.connect(nats_server.url) as other:
        with pytest.raises(NameTaken):
            await agent.serve(other)


async def test_no_task_is_lost_or_done_twice_when_the_bus_is_killed(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer
) -> None:
    agent = Agent("coder-7", ["count"], concurrency=16, heartbeat_seconds=0.1)
    done: list[Any] = []
    some = asyncio.Event()

    @agent.on("count")
    async def work(task: Task) -> Any:
        async with task.tool("count"):
            done.append(task.input)
        if len(done) > 50:
            some.set()
        return task.input

    async with await NatsBus.connect(nats_server.url) as own, agent.serving(own):
        given = await asyncio.gather(*(colony.assign("count", n) for n in range(150)))
        await some.wait()
        os.kill(nats_server.pid, signal.SIGKILL)
        await nats_server.wait()
        await nats_server.restart()
        results = await asyncio.gather(*(colony.result(task, timeout_seconds=60) for task in given))
    assert results == list(range(150))
    assert set(done) == set(range(150))
    assert await ends_on(nats_bus) == Counter(given)


async def test_an_agent_waits_for_a_bus_that_is_not_there_yet(nats_server: NatsServer) -> None:
    agent = Agent("coder-7", ["echo"], nats_url=nats_server.url)

    @agent.on("echo")
    async def echo(task: Task) -> Any:
        return task.input

    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    serving = asyncio.create_task(agent.serve())
    await asyncio.sleep(0)
    await nats_server.restart()
    async with connect(nats_server.url) as colony:
        assert await colony.result(await colony.assign("echo", "hello"), timeout_seconds=30) == "hello"
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


STUBBORN = """
import asyncio
import rookery
from rookery.handlers.agent import attempt

attempt.CANCEL_SECONDS = 0.1
agent = rookery.Agent("coder-7", ["wait"], drain_seconds=0)

@agent.on("wait")
async def wait(task):
    await task.progress("begun")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

agent.run()
"""


async def test_a_coroutine_that_will_not_be_cancelled_does_not_hold_the_process(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, "coder-7", tmp_path, STUBBORN) as agent:
        await colony.assign("wait")
        await first(nats_bus, "evt.run.*.progressed.>")
        agent.send_signal(signal.SIGTERM)
        await said(agent, "ends in the midst of what would not be cancelled: wait ")
        assert await agent.wait() == 1
    await first(nats_bus, "evt.agent.*.unregistered.>")


# As an author would write it, but for the linter.
SAMPLE = """
import rookery

async def lint(path):
    return [path]

agent = rookery.Agent("coder-7", capabilities=["code.review"])

@agent.on("code.review")
async def review(task):
    await task.progress("reading the diff")
    async with task.tool("ruff") as tool:      # recorded with duration, outcome
        findings = await lint(task.input["path"])
    return {"findings": len(findings)}

agent.run()
"""


async def test_a_program_of_ten_lines_is_an_agent(
    colony: Colony, nats_bus: NatsBus, nats_server: NatsServer, tmp_path: Path
) -> None:
    async with process(nats_server, "coder-7", tmp_path, SAMPLE):
        assert await colony.result(await colony.assign("code.review", {"path": "."})) == {"findings": 1}
    assert (await first(nats_bus, "evt.tool_call.>")).payload().outcome == "ok"  # type: ignore[attr-defined]


async def test_stopping_while_the_bus_is_away_is_a_matter_of_seconds(nats_server: NatsServer) -> None:
    agent = Agent("coder-7", ["wait"], nats_url=nats_server.url, drain_seconds=0.1)
    begun = asyncio.Event()

    @agent.on("wait")
    async def wait(task: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    serving = asyncio.create_task(agent.serve())
    async with connect(nats_server.url) as colony:
        await colony.assign("wait")
        await begun.wait()
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    serving.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await serving
