"""However attempts go, and however often the bus forgets that a task is done: it ends once, and so does every run."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from rookery import Agent, Colony, GiveUp, Task, TaskFailed
from rookery.bus import MemoryBus, Work
from rookery.schemas import Event, decode

Fate = Literal["return", "raise", "give up", "time out", "say rubbish", "return rubbish"]
FATES: list[Fate] = ["return", "raise", "give up", "time out", "say rubbish", "return rubbish"]
ATTEMPTS_MAX = 3


class ForgetfulBus(MemoryBus):
    """It forgets so often that a task is done, and hands it out again."""

    def __init__(self, forgets: int) -> None:
        super().__init__()
        self.forgets = forgets
        self.settled = asyncio.Event()

    async def work(self, *arguments: Any, **options: Any) -> AsyncGenerator[Work, None]:
        async with contextlib.aclosing(super().work(*arguments, **options)) as works:
            async for work in works:
                yield ForgottenWork(self, work)  # type: ignore[misc]


class ForgottenWork:
    def __init__(self, bus: ForgetfulBus, work: Work) -> None:
        self._bus = bus
        self._work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)

    async def done(self) -> None:
        if self._bus.forgets:
            self._bus.forgets -= 1
            await self._work.again()
        else:
            await self._work.done()
            self._bus.settled.set()


@settings(max_examples=80, deadline=None)
@given(fates=st.lists(st.sampled_from(FATES), max_size=4), forgets=st.integers(0, 5))
def test_a_task_ends_once_and_so_does_every_run(fates: list[Fate], forgets: int) -> None:
    events = asyncio.run(lived_through(fates, forgets))
    kinds = [(*event.type.split("."), event.subject) for event in events]
    began = [subject for entity, fact, subject in kinds if (entity, fact) == ("run", "started")]
    ended = [subject for entity, fact, subject in kinds if entity == "run" and fact in ("completed", "failed")]
    assert began == ended, "runs follow one another, and each ends"
    assert 1 <= len(began) == len(set(began)) <= ATTEMPTS_MAX
    told = Counter(fact for entity, fact, _ in kinds if entity == "assignment")
    assert (told.pop("created"), told.pop("started")) == (1, len(began))
    assert told.pop("released", 0) == len(began) - 1, "what is tried again was given back"
    assert told.total() == 1, "it ends once"
    if "time out" not in fates:  # on a busy machine, anything may take too long
        assert len(began) == expected_attempts(fates)


def expected_attempts(fates: list[Fate]) -> int:
    """Only what was raised is tried again."""
    tried = list(fates)
    while tried and tried[0] == "raise":
        tried.pop(0)
    return min(len(fates) - len(tried) + 1, ATTEMPTS_MAX)


async def lived_through(fates: list[Fate], forgets: int) -> list[Event]:
    """All that is published about a task whose attempts go like this; those after the last one return."""
    async with ForgetfulBus(forgets) as bus:
        agent = Agent("coder-7", ["work"], attempts_max=ATTEMPTS_MAX, retry_seconds=0)

        @agent.on("work", timeout_seconds=0.002 if "time out" in fates else None)
        async def work(task: Task) -> Any:
            match fates[task.attempt - 1] if task.attempt <= len(fates) else "return":
                case "raise":
                    raise ConnectionError
                case "give up":
                    raise GiveUp("enough")
                case "time out":
                    await asyncio.Event().wait()
                case "say rubbish":
                    await task.progress("", 2)
                case "return rubbish":
                    return object()
            return None

        colony = Colony(bus)
        async with agent.serving(bus):
            with contextlib.suppress(TaskFailed):
                await colony.result(await colony.assign("work"))
            await bus.settled.wait()
        held = [delivery async for batch in upto_the_end(bus) for delivery in batch]
        return [event for event in map(decode, (one.payload for one in held)) if event.entity != "agent"]


async def upto_the_end(bus: MemoryBus) -> AsyncGenerator[Any, None]:
    end = (await bus.state()).last_sequence
    async for batch in bus.read():
        yield batch
        if batch[-1].sequence >= end:
            return
