"""The workload: runs of a coding colony, the same for the same seed, with the mix and sizes of recorded ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from random import Random

from ...bus import Delivery, NatsBus
from ...schemas import (
    Event,
    EventData,
    LlmCallCompleted,
    MessageRecorded,
    RunCompleted,
    RunStarted,
    ToolCallCompleted,
    derived_id,
    encode,
    subject_of,
    usd,
)

START = datetime(2026, 1, 5, 8, tzinfo=UTC)
AGENTS = 50
TURNS = 9
TICK_SECONDS = 0.02
PROMPTS = ["Read the diff and name what could break.", "Run the tests again.", "The build is red: find out why. " * 6]
MODELS = [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5")]
TOOLS = ["read_file", "grep", "pytest", "git_diff"]


def events(count: int, *, seed: int = 1) -> Iterator[Event]:
    """`count` events: runs of about 30 events each, one after the other."""
    random = Random(seed)  # noqa: S311
    made = 0
    run = 0
    while True:
        for event in _run(random, seed, run):
            if made == count:
                return
            yield event
            made += 1
        run += 1


def deliveries(count: int, *, seed: int = 1) -> Iterator[Delivery]:
    """The same events as a bus delivers them, for filling a log without one."""
    for sequence, event in enumerate(events(count, seed=seed), 1):
        yield Delivery(sequence, subject_of(event), encode(event), event.time)


def publish(nats_url: str, count: int, events_per_second: int, seed: int = 1) -> None:
    """Publish the events at this pace, or as fast as the bus takes them."""
    asyncio.run(_publish(nats_url, count, events_per_second, seed))


async def _publish(nats_url: str, count: int, events_per_second: int, seed: int) -> None:
    bus = await NatsBus.connect(nats_url)
    made = events(count, seed=seed)
    while tick := list(islice(made, max(1, int(events_per_second * TICK_SECONDS)))):
        began = time.perf_counter()
        await asyncio.gather(*(bus.publish(event) for event in tick))
        await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.perf_counter()))
    await bus.close()


def _run(random: Random, seed: int, number: int) -> Iterator[Event]:
    run_id, agent_id = f"run-{seed}-{number}", f"coder-{random.randrange(AGENTS)}"
    clock = START + timedelta(seconds=20 * number)
    facts = list(_facts(random, run_id, agent_id))
    for index, (subject, fact) in enumerate(facts):
        yield Event.of(
            fact,
            subject=subject,
            source=f"/agents/{agent_id}",
            id=derived_id("workload", str(seed), str(number), str(index)),
            time=clock + timedelta(milliseconds=40 * index),
            correlationid=run_id,
        )


def _facts(random: Random, run_id: str, agent_id: str) -> Iterator[tuple[str, EventData]]:
    yield run_id, RunStarted(agent_id=agent_id, task="Fix the failing test", skill="code.fix")
    for turn in range(TURNS):
        provider, model = random.choice(MODELS)
        input_tokens, output_tokens = random.randrange(200, 6_000), random.randrange(20, 900)
        yield (
            f"{run_id}-call-{turn}",
            LlmCallCompleted(
                provider=provider,
                request_model=model,
                run_id=run_id,
                agent_id=agent_id,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost_usd=usd(Decimal(input_tokens * 25 + output_tokens * 100).scaleb(-7)),
                duration_seconds=random.randrange(200, 9_000) / 1_000,
            ),
        )
        yield (
            f"{run_id}-message-{turn}",
            MessageRecorded(
                run_id=run_id, step=turn, role="assistant", agent_id=agent_id, content=random.choice(PROMPTS)
            ),
        )
        yield (
            f"{run_id}-tool-{turn}",
            ToolCallCompleted(
                tool=random.choice(TOOLS),
                run_id=run_id,
                agent_id=agent_id,
                step=turn,
                outcome="ok" if random.random() < 0.9 else "error",
                duration_seconds=random.randrange(1, 3_000) / 1_000,
                arguments={"path": f"src/module_{random.randrange(200)}.py"},
            ),
        )
    success = random.random() < 0.6
    yield run_id, RunCompleted(agent_id=agent_id, skill="code.fix", success=success, reward=float(success))
