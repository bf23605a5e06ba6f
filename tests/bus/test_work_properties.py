"""Properties of work: given, taken, done and given back in any order, nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.bus import Bus, MemoryBus, NatsBus, Work
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.schemas import AssignmentCreated, Event

Step = tuple[str, int]
TASKS_MAX = 12

# Giving and taking come more often, so that there is something to settle; and short histories say little.
KINDS = ["give", "give", "take", "take", "done", "again", "give_up"]
steps_of_work = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, TASKS_MAX - 1)), min_size=20, max_size=60)


def event(number: int) -> Event:
    data = AssignmentCreated(kind="code.review", agent_id="bob" if number % 4 == 0 else None)
    return Event.of(data, subject=f"as-{number}", source="/people/ada", id=f"task-{number}")


class Model:
    """What a queue ought to hold, beside one that does."""

    def __init__(self, tasks: AsyncGenerator[Work, None]) -> None:
        self._tasks = tasks
        self._given: set[str] = set()
        self._waiting: set[str] = set()
        self._in_hand: list[Work] = []
        self._attempts: Counter[str] = Counter()

    async def give(self, bus: Bus, number: int) -> None:
        receipt = await bus.give(event(number))
        subject = f"as-{number}"
        assert receipt.duplicate == (subject in self._given)
        if subject not in self._given:
            self._given.add(subject)
            self._waiting.add(subject)

    async def take(self) -> None:
        if self._waiting:
            async with asyncio.timeout(5):
                found = await anext(self._tasks)
            self._waiting.remove(found.event.subject)
            self._attempts[found.event.subject] += 1
            assert found.attempt == self._attempts[found.event.subject]
            self._in_hand.append(found)

    async def settle(self, how: str, number: int) -> None:
        if self._in_hand:
            found = self._in_hand.pop(number % len(self._in_hand))
            if how == "again":
                self._waiting.add(found.event.subject)
            await getattr(found, how)()

    async def finish(self) -> None:
        while self._waiting:
            await self.take()
        while self._in_hand:
            await self.settle("done", 0)


async def keeps_what_the_model_keeps(bus: Bus, steps: list[Step]) -> None:
    async with aclosing(bus.work("code.review", agent_id="bob", in_hand_max=TASKS_MAX, attempts_max=99)) as tasks:
        model = Model(tasks)
        for step, number in steps:
            if step == "give":
                await model.give(bus, number)
            elif step == "take":
                await model.take()
            else:
                await model.settle(step, number)
        await model.finish()


async def on_memory(steps: list[Step]) -> None:
    async with MemoryBus() as bus:
        await keeps_what_the_model_keeps(bus, steps)


async def on_nats(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = await NatsServer.start(Path(folder), port=ANY_FREE_PORT)
        async with server, await NatsBus.connect(server.url) as bus:
            await keeps_what_the_model_keeps(bus, steps)


@settings(max_examples=150, deadline=None)
@given(steps_of_work)
def test_the_double_keeps_what_the_model_keeps(steps: list[Step]) -> None:
    asyncio.run(on_memory(steps))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps_of_work)
def test_the_queue_keeps_what_the_model_keeps(steps: list[Step]) -> None:
    asyncio.run(on_nats(steps))
