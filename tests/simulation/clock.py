"""Virtual time: an event loop that never waits, in which every thread's work happens at a moment drawn by chance."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from random import Random
from typing import Any

WORK_SECONDS = (0.0, 0.0, 0.001, 0.1)


class Deadlock(AssertionError):
    """Everybody waits for somebody else."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Hours pass in no time, and the same chance gives the same interleaving."""

    def __init__(self, chance: Random) -> None:
        self._clock = _Clock()
        self._chance = chance
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.seconds

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, work: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        self.call_later(self._chance.choice(WORK_SECONDS), _do, future, work, args)
        return future


class _Clock(selectors.DefaultSelector):
    """Where a loop would sleep, its clock is put forward instead."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing will ever happen again, and not everything is done")
        self.seconds += timeout
        return super().select(0)


def _do(future: asyncio.Future[Any], work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if future.cancelled():
        return
    try:
        future.set_result(work(*args))
    except BaseException as error:  # a crash too is for whoever waits for the work
        future.set_exception(error)
