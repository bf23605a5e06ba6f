"""Lanes: threads of their own for what people ask, so that no question holds up what the node has to write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..schemas import RookeryError

# Fewer than the read models let in at once, so that the node itself can always look at them.
QUERIES_AT_ONCE_MAX = 8
QUERIES_WAITING_MAX = 64
# Tables of the past may have to be made first: whoever asks about the present doesn't wait behind that.
PAST_AT_ONCE_MAX = 2
PAST_WAITING_MAX = 32
READS_AT_ONCE_MAX = 4
READS_WAITING_MAX = 1_000

Result = TypeVar("Result")


class TooBusy(RookeryError):
    """As much of this kind of work is under way and waiting as the node allows."""

    def __init__(self, lane: str, limit: int) -> None:
        self.lane = lane
        self.limit = limit
        super().__init__(f"{limit} {lane} are under way or waiting, which is as many as there may be; try again later")


class Lane:
    """Does blocking work on at most `at_once_max` threads, with at most `waiting_max` waiting for one."""

    def __init__(self, name: str, at_once_max: int, waiting_max: int) -> None:
        self._name = name
        self._limit = at_once_max + waiting_max
        self._threads = ThreadPoolExecutor(at_once_max, thread_name_prefix=name)
        self._under_way: set[Future[Any]] = set()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do `work` and return what it returns. Raises `TooBusy`.

        If the caller is cancelled, work that still waits is never begun; what has begun ends by itself.
        """
        if len(self._under_way) >= self._limit:
            raise TooBusy(self._name, self._limit)
        future = self._threads.submit(work)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return await asyncio.wrap_future(future)


class Lanes:
    """The lanes of one node's API."""

    def __init__(self) -> None:
        self.queries = Lane("queries", QUERIES_AT_ONCE_MAX, QUERIES_WAITING_MAX)
        self.past = Lane("questions about the past", PAST_AT_ONCE_MAX, PAST_WAITING_MAX)
        self.reads = Lane("reads", READS_AT_ONCE_MAX, READS_WAITING_MAX)
        self.imports = Lane("imports", 1, 4)
