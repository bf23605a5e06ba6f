"""Assigning: how many decisions a second, how soon work begins, and whether each piece ends once while agents die."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx
import msgspec

from ...bus import Bus, NatsBus
from ...handlers.agent import Agent, Task
from ...handlers.dispatch import Candidates
from ...handlers.fleet import AGENTS, AgentRecord
from ...handlers.reactions import Happened
from ...schemas import AgentRegistered, AssignmentCreated, AssignmentStarted, Event, InvalidEvent, decode
from . import mortal_agents
from .figures import Figure, percentile
from .node_process import node_process

CANDIDATES = 10_000
DECISIONS = 20_000
KINDS = 20
KINDS_EACH = 5
OPEN_MAX = 5_000
STEADY_PER_SECOND = 100
STEADY_SECONDS = 10.0
STEADY_AGENTS = 20
ASSIGNMENTS = 1_000
PROCESSES = 10
AGENTS_EACH = 10
KILLED_SHARE = 0.3
HEARTBEAT_SECONDS = 1.0
WORK_SECONDS = 1.0
GIVEN_AT_ONCE = 50
PATIENCE_SECONDS = 180.0
ENDS = frozenset({"completed", "failed", "timed_out", "cancelled"})


def assigning(
    *,
    decisions: int = DECISIONS,
    steady_seconds: float = STEADY_SECONDS,
    assignments: int = ASSIGNMENTS,
    processes: int = PROCESSES,
    killed_share: float = KILLED_SHARE,
) -> list[Figure]:
    """Decisions among 10,000 agents; from the request for the best agent to its beginning, at a steady pace, on a whole
    node; and how long it took until many assignments had ended, each once, of which some lost their agents to kill -9.

    Raises where one ended otherwise, or where somebody dead was given one.
    """
    delays = _steady(int(STEADY_PER_SECOND * steady_seconds))
    survived = survive(assignments=assignments, processes=processes, killed_share=killed_share)
    if survived.ended_once != assignments or survived.given_to_the_dead:
        raise RuntimeError(f"not what was promised: {survived}")
    return [
        Figure.of("fleet.decisions", decisions_per_second(decisions), "decisions/s"),
        Figure.of("fleet.begun_p50", percentile(delays, 0.5) * 1e3, "ms"),
        Figure.of("fleet.begun_p99", percentile(delays, 0.99) * 1e3, "ms"),
        Figure.of("fleet.survived", survived.seconds, "s"),
        Figure.of("fleet.ended_once", survived.ended_once, "assignments"),
    ]


def decisions_per_second(count: int, *, candidates: int = CANDIDATES) -> float:
    """Choices among many agents, each of which changes the load of the one who is chosen."""
    chance = random.Random(1)  # noqa: S311 # no secret
    kinds = [f"kind-{number}" for number in range(KINDS)]
    table = Candidates()
    for number in range(candidates):
        told = AgentRegistered(name="x", capabilities=chance.sample(kinds, KINDS_EACH))
        table.hear(f"agent-{number}", number, Happened(told, datetime.now(UTC)))
    for kind in kinds:
        table.choose(kind)
    began = time.perf_counter()
    for number in range(count):
        choice = table.choose(kinds[number % KINDS])
        assert choice is not None, "there is room for all that is open at once"
        table.hold(f"as-{number}", choice.candidate.agent_id)
        if number >= OPEN_MAX:
            table.hold(f"as-{number - OPEN_MAX}", None)
    return count / (time.perf_counter() - began)


def _steady(tasks: int) -> list[float]:
    """The seconds from each request for the best agent to the beginning of its handler."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        return asyncio.run(_asked(running.node.url, running.node.nats_url, tasks))


async def _asked(url: str, nats_url: str, tasks: int) -> list[float]:
    begun: dict[str, float] = {}
    given: dict[str, float] = {}
    done = asyncio.Event()

    async def give() -> None:
        asked = time.perf_counter()
        given[await _give(client)] = asked

    def begin(task: Task) -> None:
        begun[task.id] = time.perf_counter()
        if len(begun) == tasks:
            done.set()

    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await NatsBus.connect(nats_url))
        for number in range(STEADY_AGENTS):
            await stack.enter_async_context(_quick(f"quick-{number}", begin).serving(bus))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS))
        giving = await stack.enter_async_context(asyncio.TaskGroup())
        began = time.perf_counter()
        for number in range(tasks):
            await asyncio.sleep(max(0.0, began + number / STEADY_PER_SECOND - time.perf_counter()))
            giving.create_task(give())
        async with asyncio.timeout(PATIENCE_SECONDS):
            await done.wait()
    return [moment - given[name] for name, moment in begun.items()]


def _quick(agent_id: str, begin: object) -> Agent:
    agent = Agent(agent_id, [mortal_agents.CAPABILITY], concurrency=8, assignments_max=8)

    @agent.on(mortal_agents.CAPABILITY)
    async def work(task: Task) -> None:
        begin(task)  # type: ignore[operator] # a function

    return agent


async def _give(client: httpx.AsyncClient) -> str:
    """Have the best do something, and return the assignment's id."""
    asked = {"capability": mortal_agents.CAPABILITY, "best": True}
    answer = await client.post("/assignments", params={"wait": "durable"}, content=msgspec.json.encode(asked))
    answer.raise_for_status()
    return str(answer.json()["assignment_id"])


class Survived(NamedTuple):
    """What became of assignments while agents died: how many ended exactly once, and in how many seconds all did.

    `given_to_the_dead` counts those that were recorded for an agent, or begun by one, that had expired by then.
    """

    assignments: int
    ended_once: int
    released: int
    given_to_the_dead: int
    seconds: float


def survive(
    *,
    assignments: int = ASSIGNMENTS,
    processes: int = PROCESSES,
    agents_each: int = AGENTS_EACH,
    killed_share: float = KILLED_SHARE,
    heartbeat_seconds: float = HEARTBEAT_SECONDS,
    work_seconds: float = WORK_SECONDS,
) -> Survived:
    """Give all of it to the best agents there are, kill some of their processes in the midst, and see it through."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="rookery-bench-"))
        running = stack.enter_context(node_process(Path(folder)))
        hosts = stack.enter_context(
            _hosts(running.node.nats_url, processes, agents_each, heartbeat_seconds, work_seconds)
        )
        doomed = hosts[: round(processes * killed_share)]
        return asyncio.run(_survived(running.node.url, running.node.nats_url, assignments, doomed))


@contextmanager
def _hosts(
    url: str, processes: int, agents_each: int, heartbeat_seconds: float, work_seconds: float
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes full of agents, once all of them are at work."""
    command = [sys.executable, "-c", f"from {mortal_agents.__name__} import run; run()", url]
    terms = [str(agents_each), str(heartbeat_seconds), str(work_seconds)]
    hosts = [
        subprocess.Popen([*command, f"host-{number}", *terms], stdout=subprocess.PIPE, text=True)
        for number in range(processes)
    ]
    try:
        for host in hosts:
            assert host.stdout is not None, "it was asked for"
            assert host.stdout.readline().strip() == mortal_agents.READY, "an agent's process ended before it began"
        yield hosts
    finally:
        for host in hosts:
            host.kill()
            host.wait()
            if host.stdout is not None:
                host.stdout.close()


async def _survived(url: str, nats_url: str, count: int, doomed: Sequence[subprocess.Popen[str]]) -> Survived:
    room = asyncio.Semaphore(GIVEN_AT_ONCE)

    async def give(client: httpx.AsyncClient) -> None:
        async with room:
            await _give(client)

    async with httpx.AsyncClient(base_url=url, timeout=60) as client, await NatsBus.connect(nats_url) as bus:
        began = time.perf_counter()
        giving = asyncio.gather(*(give(client) for _ in range(count)))
        ended = asyncio.create_task(_until_ended(bus, count))
        await _until_ended(bus, count // 4)
        for host in doomed:
            host.send_signal(signal.SIGKILL)
        await giving
        async with asyncio.timeout(PATIENCE_SECONDS):
            await ended
        seconds = time.perf_counter() - began
        return await _judged(bus, count, seconds)


async def _until_ended(bus: Bus, count: int) -> None:
    """Wait until so many assignments have come to an end."""
    over = set[str]()
    async for batch in bus.read(subject="evt.assignment.>"):
        over |= {one.subject.split(".")[2] for one in batch if one.subject.split(".")[3] in ENDS}
        if len(over) >= count:
            return


async def _judged(bus: Bus, count: int, seconds: float) -> Survived:
    """Read all that happened, in its order, and hold it against what may happen."""
    last = (await bus.state()).last_sequence
    agents: dict[str, AgentRecord] = {}
    ends, released, to_the_dead = Counter[str](), 0, 0
    async for batch in bus.read():
        for delivery in batch:
            try:
                event = decode(delivery.payload)
                data = event.payload()
            except InvalidEvent:
                continue
            if event.entity == "agent":
                before = agents.get(event.subject, AgentRecord())
                agents[event.subject] = AGENTS.evolve(before, Happened(data, event.time))
            elif event.entity == "assignment":
                fact = event.type.split(".")[1]
                ends[event.subject] += fact in ENDS
                released += fact == "released"
                to_the_dead += _is_for_the_dead(event, agents)
        if batch[-1].sequence >= last:
            break
    return Survived(count, sum(number == 1 for number in ends.values()), released, to_the_dead, seconds)


def _is_for_the_dead(event: Event, agents: dict[str, AgentRecord]) -> bool:
    data = event.payload()
    if not isinstance(data, AssignmentCreated | AssignmentStarted) or data.agent_id is None:
        return False
    return agents.get(data.agent_id, AgentRecord()).state not in ("alive", "suspect")
