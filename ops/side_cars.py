"""Making the side-cars of sealed segments, with the processor that everything else leaves over."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from ..projections import SideCarFailed, SideCars
from ..projections.sidecars import Pace
from .giving_way import step_back

RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 600.0

logger = logging.getLogger(__name__)


class SideCarMaker:
    """Makes what is missing, one side-car at a time, on a thread of its own; `wake` it when a segment was sealed.

    Nobody waits for it: without a side-car, a segment is read as it is. `has_room` says whether the disk may be used.
    """

    def __init__(self, side_cars: SideCars, pace: Pace, has_room: Callable[[], bool]) -> None:
        self._side_cars = side_cars
        self._pace = pace
        self._has_room = has_room
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="side-cars", initializer=step_back)
        self._stop = threading.Event()
        self._sealed = asyncio.Event()
        self._sealed.set()

    def wake(self) -> None:
        """Say that a segment was sealed. Call it on the event loop."""
        self._sealed.set()

    async def run(self) -> None:
        """Make side-cars until cancelled. What fails is tried again with growing pauses."""
        retry_seconds = RETRY_SECONDS_MIN
        while True:
            await self._sealed.wait()
            self._sealed.clear()
            if not self._has_room():
                continue
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._make)
            except SideCarFailed as error:
                logger.warning("%s; trying again in %g seconds", error, retry_seconds)
                self._sealed.set()
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(retry_seconds * 2, RETRY_SECONDS_MAX)
            else:
                retry_seconds = RETRY_SECONDS_MIN

    def close(self) -> None:
        """End after the present side-car, and wait for that."""
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)

    def _make(self) -> None:
        self._side_cars.make_missing(self._stop, self._pace)
