"""Agents: what the kit takes of a machine, from `import rookery` to five hundred agents that wait for work."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from ...bus import Bus, NatsBus
from ...handlers.agent import Agent, Colony, Task
from ..nats_server import ANY_FREE_PORT, NatsServer
from . import plain_agent
from .figures import Figure, percentile
from .node_process import node_process

TASKS = 5_000
RIVAL_TASKS = 1_000
CONCURRENCY = 256
STEADY_TASKS_PER_SECOND = 100
STEADY_SECONDS = 10.0
AGENTS = 500
JOINING_AT_ONCE = 25
IMPORTS = 5
GIVEN_AT_ONCE = 500
CAPABILITY = "bench.nothing"
IMPORT = "import rookery; rookery.Agent"

Measured = TypeVar("Measured")


def agents(
    tasks: int = TASKS,
    *,
    concurrency: int = CONCURRENCY,
    rival_tasks: int = RIVAL_TASKS,
    steady_seconds: float = STEADY_SECONDS,
    agents: int = AGENTS,
    imports: int = IMPORTS,
) -> list[Figure]:
    """How soon a task is begun on a whole node, tasks per second of an empty handler, and what many agents need.

    All but the first are on a nats-server alone, so that nothing but the kit is measured. Overhead is the processor
    time that the agent's process takes for one task, publishing what it tells of it included.
    """
    delays = _begun(int(STEADY_TASKS_PER_SECOND * steady_seconds))
    busy = asyncio.run(_on_server(lambda url: _busy(url, tasks, concurrency)))
    plain = asyncio.run(_on_server(lambda url: plain_agent.tasks_per_second(url, rival_tasks, concurrency)))
    many = asyncio.run(_on_server(lambda url: _many(url, agents)))
    return [
        Figure.of("agents.throughput", busy.per_second, "tasks/s", rival=plain_agent.NAME, rival_value=plain),
        Figure.of("agents.overhead", busy.cpu_seconds * 1e3, "ms"),
        Figure.of("agents.begun_p50", percentile(delays, 0.5) * 1e3, "ms"),
        Figure.of("agents.begun_p99", percentile(delays, 0.99) * 1e3, "ms"),
        Figure.of("agents.many_ready", many.ready_seconds, "s"),
        Figure.of("agents.many_throughput", many.per_second, "tasks/s"),
        Figure.of("agents.import", _import_seconds(imports) * 1e3, "ms"),
    ]


class Busy(NamedTuple):
    """How an agent with an empty handler did: tasks per second, and what each took of its process's processor time."""

    per_second: float
    cpu_seconds: float


class Many(NamedTuple):
    """How long it took until all agents had joined, and tasks per second of all."""

    ready_seconds: float
    per_second: float


async def _on_server(measure: Callable[[str], Awaitable[Measured]]) -> Measured:
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        async with await NatsServer.start(Path(folder), port=ANY_FREE_PORT) as server:
            return await measure(server.url)


async def _busy(url: str, tasks: int, concurrency: int) -> Busy:
    async with await NatsBus.connect(url) as bus:
        await _give(bus, tasks)
        done = _Counter(tasks)
        began, used = time.perf_counter(), time.process_time()
        async with _idle_agent("bench", done, concurrency).serving(bus):
            await done.all.wait()
        return Busy(tasks / (time.perf_counter() - began), (time.process_time() - used) / tasks)


def _begun(tasks: int) -> list[float]:
    """The seconds from giving each task to its beginning, at a steady pace, on a node that takes all of it in."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        return asyncio.run(_steady(running.node.nats_url, tasks))


async def _steady(url: str, tasks: int) -> list[float]:
    async with await NatsBus.connect(url) as bus, await NatsBus.connect(url) as agents_bus:
        colony, done = Colony(bus), _Counter(tasks)
        given: dict[str, float] = {}
        async with _idle_agent("bench", done).serving(agents_bus), asyncio.TaskGroup() as giving:
            began = time.perf_counter()
            for number in range(tasks):
                await asyncio.sleep(max(0.0, began + number / STEADY_TASKS_PER_SECOND - time.perf_counter()))
                given[f"bench-{number}"] = time.perf_counter()
                giving.create_task(colony.assign(CAPABILITY, id=f"bench-{number}"))
            await done.all.wait()
        return [moment - given[name] for name, moment in done.moments.items()]


async def _many(url: str, count: int) -> Many:
    tasks = 2 * count
    done = _Counter(tasks)
    async with AsyncExitStack() as stack:
        began = time.perf_counter()
        room = asyncio.Semaphore(JOINING_AT_ONCE)
        await asyncio.gather(*(_join(stack, room, url, f"bench-{number}", done) for number in range(count)))
        ready_seconds = time.perf_counter() - began
        bus = await stack.enter_async_context(await NatsBus.connect(url))
        began = time.perf_counter()
        await _give(bus, tasks)
        await done.all.wait()
        per_second = tasks / (time.perf_counter() - began)
    return Many(ready_seconds, per_second)


async def _join(stack: AsyncExitStack, room: asyncio.Semaphore, url: str, name: str, done: _Counter) -> None:
    async with room:
        bus = await stack.enter_async_context(await NatsBus.connect(url, name=name))
        await stack.enter_async_context(_idle_agent(name, done).serving(bus))


class _Counter:
    """Counts the tasks that were begun, and when each was."""

    def __init__(self, tasks: int) -> None:
        self.all = asyncio.Event()
        self.moments: dict[str, float] = {}
        self._tasks = tasks

    def begin(self, task: Task) -> None:
        self.moments.setdefault(task.id, time.perf_counter())
        if len(self.moments) == self._tasks:
            self.all.set()


def _idle_agent(name: str, counter: _Counter, concurrency: int = 8) -> Agent:
    """An agent that does nothing but count."""
    agent = Agent(name, [CAPABILITY], concurrency=concurrency)

    @agent.on(CAPABILITY)
    async def nothing(task: Task) -> None:
        counter.begin(task)

    return agent


async def _give(bus: Bus, tasks: int) -> None:
    colony, room = Colony(bus), asyncio.Semaphore(GIVEN_AT_ONCE)

    async def give() -> None:
        async with room:
            await colony.assign(CAPABILITY)

    await asyncio.gather(*(give() for _ in range(tasks)))


def _import_seconds(times: int) -> float:
    """What `IMPORT` takes beyond a Python that does nothing: the best of several."""
    return min(_python_seconds(IMPORT) for _ in range(times)) - min(_python_seconds("pass") for _ in range(times))


def _python_seconds(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began
