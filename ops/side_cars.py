"""Making the side-cars of sealed segments, with the processor that everything else leaves over."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..projections import SideCars
from ..projections.sidecars import Pace
from ..schemas import RookeryError
from .giving_way import step_back

# What can be made again leaves the last of the disk to what can't.
ROOM_BYTES_MIN = 256 * 2**20
RETRY_SECONDS_MIN = 1.0
RETRY_SECONDS_MAX = 600.0

logger = logging.getLogger(__name__)


class NoRoomForSideCars(RookeryError):
    """The disk has room for the log, and not for more."""

    def __init__(self, folder: Path, free_bytes: int) -> None:
        self.folder = folder
        self.free_bytes = free_bytes
        super().__init__(
            f"only {free_bytes / 2**20:.0f} MiB are free for {folder}: side-cars, which make rebuilds fast, are made "
            f"again when {ROOM_BYTES_MIN / 2**20:.0f} MiB are free"
        )


class SideCarMaker:
    """Makes what is missing, one side-car at a time, on a thread of its own; `wake` it when a segment was sealed.

    Nobody waits for it: without a side-car, a segment is read as it is.
    """

    def __init__(self, side_cars: SideCars, pace: Pace) -> None:
        self._side_cars = side_cars
        self._pace = pace
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
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._make)
            except RookeryError as error:
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
        self._ensure_room()
        self._side_cars.make_missing(self._stop, self._paced)

    def _paced(self, worked_seconds: float) -> float:
        self._ensure_room()
        return self._pace(worked_seconds)

    def _ensure_room(self) -> None:
        folder = self._side_cars.folder.parent
        if (free_bytes := shutil.disk_usage(folder).free) < ROOM_BYTES_MIN:
            raise NoRoomForSideCars(folder, free_bytes)
