"""A process full of agents that may be killed at any moment; its arguments: URL, prefix, count, heartbeat, seconds."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import AsyncExitStack

from ...bus import NatsBus
from ...handlers.agent import Agent, Task

CAPABILITY = "bench.mortal"
READY = "ready"
PLACES = 5


async def main(url: str, prefix: str, count: int, heartbeat_seconds: float, seconds: float) -> None:
    """Work until the process is ended."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(await NatsBus.connect(url, name=prefix))
        for number in range(count):
            agent = _agent(f"{prefix}-{number}", heartbeat_seconds, seconds)
            await stack.enter_async_context(agent.serving(bus))
        print(READY, flush=True)
        await asyncio.Event().wait()


def _agent(agent_id: str, heartbeat_seconds: float, seconds: float) -> Agent:
    agent = Agent(
        agent_id,
        [CAPABILITY],
        concurrency=PLACES,
        assignments_max=PLACES,
        heartbeat_seconds=heartbeat_seconds,
        attempts_max=10,
    )

    @agent.on(CAPABILITY)
    async def work(task: Task) -> str:
        await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 # no secret
        return task.agent_id

    return agent


def run() -> None:
    """Work as the process's arguments say."""
    url, prefix, count, heartbeat_seconds, seconds = sys.argv[1:]
    asyncio.run(main(url, prefix, int(count), float(heartbeat_seconds), float(seconds)))
