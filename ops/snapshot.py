"""The snapshot file: a read-only copy of all read models beside the node, for programs that DuckDB lets at no other."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ..projections import Projections, Snapshot, SnapshotFailed, clear_snapshot
from .disk import FREE_BYTES_MIN
from .health import Health

SUBSYSTEM = "snapshot"

logger = logging.getLogger(__name__)


class SnapshotFile:
    """Keeps a snapshot at `path`: written when there is something new, every so often and when somebody asks."""

    def __init__(self, projections: Projections, health: Health, path: Path) -> None:
        self.path = path
        self.latest: Snapshot | None = None
        self._projections = projections
        self._health = health
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="snapshot")
        self._writing = asyncio.Lock()
        self._following: asyncio.Task[Snapshot] | None = None
        self._stop = threading.Event()
        self._written_of: object = None
        with suppress(OSError):  # the next snapshot will say what is wrong
            clear_snapshot(path)
        health.set(SUBSYSTEM, "ready")

    async def run(self, interval_seconds: float) -> None:
        """Write one every so often, until cancelled; health tells of those that fail. 0: write none."""
        while interval_seconds:
            await asyncio.sleep(interval_seconds)
            with suppress(SnapshotFailed):
                await self.write()

    async def write(self) -> Snapshot:
        """A snapshot that holds whatever could be queried when this was called. Raises `SnapshotFailed`.

        Where nothing is new that is the latest one. Whoever calls while one is written shares the one after it.
        """
        if self._following is None:
            self._following = asyncio.create_task(self._write_after_present())
        return await asyncio.shield(self._following)

    def close(self) -> None:
        """Give up what is being written, and wait for that."""
        self._stop.set()
        self._thread.shutdown()

    async def _write_after_present(self) -> Snapshot:
        async with self._writing:
            self._following = None
            try:
                self.latest = await asyncio.get_running_loop().run_in_executor(self._thread, self._up_to_date)
            except SnapshotFailed as failure:
                logger.warning("%s", failure)
                self._health.set(SUBSYSTEM, "degraded", str(failure))
                raise
            self._health.set(SUBSYSTEM, "ready")
            return self.latest

    def _up_to_date(self) -> Snapshot:
        state = (self._projections.vector(), self._projections.path.stat().st_ino)  # a rebuild makes another file
        if self.latest and state == self._written_of and self.path.exists():
            return self.latest
        self._ensure_room()
        snapshot = self._projections.snapshot(self.path, self._stop)
        self._written_of = state
        return snapshot

    def _ensure_room(self) -> None:
        """A snapshot must not be what fills the disk. Raises `SnapshotFailed`."""
        needed_bytes = self._projections.size_bytes() + FREE_BYTES_MIN
        free_bytes = shutil.disk_usage(self._projections.path.parent).free
        if free_bytes < needed_bytes:
            reason = f"it takes {needed_bytes / 2**20:,.0f} MiB, and {free_bytes / 2**20:,.0f} MiB are free"
            raise SnapshotFailed(self.path, f"{reason}; free some space")
