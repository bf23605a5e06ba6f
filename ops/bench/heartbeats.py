"""Heartbeats: what it takes to watch many agents, and how soon one that falls silent is declared dead."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec
import psutil

from ...bus import Bus, NatsBus
from ...handlers.fleet import AGENTS, Register
from ...handlers.fleet.beats import Beat, beat_subject
from ...handlers.reactions import Command, Decider
from ...schemas import AgentStateChanged, decode
from .figures import Figure, percentile
from .node_process import node_process

COUNT = 10_000
INTERVAL_SECONDS = 10.0
MEASURED_SECONDS = 30.0
SILENCED_SHARE = 0.05
REGISTERED_AT_ONCE = 512
TICKS_PER_INTERVAL = 100


def heartbeats(
    count: int = COUNT, *, interval_seconds: float = INTERVAL_SECONDS, measured_seconds: float = MEASURED_SECONDS
) -> list[Figure]:
    """Agents registered a second; the cores that node and nats-server take while all of them beat; and the time from
    an agent's last beat until the log says that it is dead, in intervals, when some fall silent at once."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        node = psutil.Process(running.process.pid)
        measured = asyncio.run(_measured(running.node.nats_url, node, count, interval_seconds, measured_seconds))
    lags = [seconds / interval_seconds for seconds in measured.silent_seconds]
    return [
        Figure.of("fleet.registered", measured.registered_per_second, "agents/s"),
        Figure.of("fleet.heartbeats_cpu", measured.cores, "cores"),
        Figure.of("fleet.expired_p50", percentile(lags, 0.5), "intervals"),
        Figure.of("fleet.expired_max", max(lags), "intervals"),
    ]


class _Measured(NamedTuple):
    registered_per_second: float
    cores: float
    silent_seconds: list[float]


async def _measured(url: str, node: psutil.Process, count: int, interval: float, seconds: float) -> _Measured:
    async with await NatsBus.connect(url) as bus:
        hearts = _Hearts(bus, interval)
        async with hearts.beating():
            began = time.perf_counter()
            await _register(bus, hearts, count, interval)
            per_second = count / (time.perf_counter() - began)
            await asyncio.sleep(2 * interval)  # all that comes of registering is over, and every heart has beaten
            cores = await _cores(node, seconds)
            after = (await bus.state()).last_sequence
            silent = random.Random(1).sample(sorted(hearts.agents), max(1, int(count * SILENCED_SHARE)))  # noqa: S311
            for agent_id in silent:
                hearts.agents.discard(agent_id)
            last = {agent_id: hearts.last_beat[agent_id] for agent_id in silent}
            expired = await _expired(bus, after, set(silent), patience_seconds=5 * interval)
        lags = [expired[agent_id] - last[agent_id] if agent_id in expired else 5 * interval for agent_id in silent]
        return _Measured(per_second, cores, lags)


class _Hearts:
    """The hearts of many agents, spread evenly over the interval."""

    def __init__(self, bus: Bus, interval_seconds: float) -> None:
        self.agents: set[str] = set()
        self.last_beat: dict[str, float] = {}
        self._bus = bus
        self._interval_seconds = interval_seconds
        self._slots: list[list[str]] = [[] for _ in range(TICKS_PER_INTERVAL)]

    def begin(self, agent_id: str) -> None:
        """Let the agent's heart beat from now on, for the first time an interval from now."""
        tick = int(time.time() / self._interval_seconds * TICKS_PER_INTERVAL)
        self._slots[tick % TICKS_PER_INTERVAL].append(agent_id)
        self.agents.add(agent_id)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Beat while the block lasts."""
        task = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _beat(self) -> None:
        tick_seconds = self._interval_seconds / TICKS_PER_INTERVAL
        tick = int(time.time() / tick_seconds)
        while True:
            await asyncio.sleep(max(0.0, (tick + 1) * tick_seconds - time.time()))
            tick += 1
            now = time.time()
            beat = msgspec.json.encode(Beat(time=datetime.fromtimestamp(now, UTC), incarnation=1, active_assignments=0))
            for agent_id in self._slots[tick % TICKS_PER_INTERVAL]:
                if agent_id in self.agents:
                    await self._bus.send(beat_subject(agent_id), beat)
                    self.last_beat[agent_id] = now


async def _register(bus: Bus, hearts: _Hearts, count: int, interval_seconds: float) -> None:
    decider, room = Decider(bus, AGENTS, source="/bench"), asyncio.Semaphore(REGISTERED_AT_ONCE)
    told = Register(capabilities=["bench.nothing"], transport="nats", heartbeat_interval_seconds=interval_seconds)

    async def register(agent_id: str) -> None:
        async with room:
            await decider.handle(Command.of(told, subject=agent_id, source=f"/agents/{agent_id}"))
            hearts.begin(agent_id)

    await asyncio.gather(*(register(f"bench-{number}") for number in range(count)))


async def _expired(bus: Bus, after: int, agents: set[str], *, patience_seconds: float) -> dict[str, float]:
    """When the bus had stored that each of these agents is dead."""
    found: dict[str, float] = {}
    try:
        async with asyncio.timeout(patience_seconds):
            async for batch in bus.read(after=after, subject="evt.agent.*.state_changed.>"):
                for one in batch:
                    event = decode(one.payload)
                    data = event.payload()
                    if isinstance(data, AgentStateChanged) and data.state == "expired":
                        found[event.subject] = one.stored_at.timestamp()
                if agents <= found.keys():
                    break
    except TimeoutError:
        pass
    if strangers := found.keys() - agents:
        raise RuntimeError(f"{len(strangers)} agents that beat were declared dead, {min(strangers)} among them")
    return found


async def _cores(node: psutil.Process, seconds: float) -> float:
    """The cores that the node and its nats-server take, over so many seconds."""
    began, used = time.perf_counter(), _cpu_seconds(node)
    await asyncio.sleep(seconds)
    return (_cpu_seconds(node) - used) / (time.perf_counter() - began)


def _cpu_seconds(node: psutil.Process) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in (node, *node.children(recursive=True)))
