"""The node's archive: written every so often and when somebody asks, on a thread that lets everything else go first."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ..eventstore import Log
from ..eventstore.archive import Progress
from ..schemas import RookeryError
from .archive import ArchiveReport, OriginTiers, copy_out, place_for, tiers_of
from .giving_way import step_back
from .health import Health
from .loose_thread import in_loose_thread
from .settings import Settings

SUBSYSTEM = "archive"
SETTLING_SECONDS = 60.0  # a node that starts has more urgent things to do
RETRY_SECONDS = 300.0

logger = logging.getLogger(__name__)


class NoArchiveSet(RookeryError):
    """The node was not told where its archive is."""

    def __init__(self) -> None:
        super().__init__(
            "this node has no archive; start it with --archive FOLDER or --archive s3://bucket/prefix, or name a "
            "place: `rookery archive FOLDER`"
        )


class ArchiveRunning(RookeryError):
    """One archiving at a time."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        super().__init__(
            f"the node is archiving already, {progress.done:,} of {progress.total:,} objects so far; "
            "GET /hobby/archive says when it is done"
        )


class ArchivingStopped(RookeryError):
    """The node was closed; the archive is as it was, and the next archiving goes on."""

    def __init__(self) -> None:
        super().__init__("the node closes; the archive is as it was")


class Running(msgspec.Struct, frozen=True):
    """How far the present archiving is, in objects."""

    doing: str
    done: int
    total: int


class ArchiveStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What is hot, what is cold, and how archiving goes. `failed` says why the last one did, if it did."""

    archive: str | None
    hours: float
    keep_days: float | None
    running: Running | None
    failed: str | None
    origins: dict[str, OriginTiers]


class Archiver:
    """Keeps the archive that the settings name."""

    def __init__(self, data: Path, log: Log, health: Health, settings: Settings) -> None:
        self.progress: Progress | None = None
        self._data = data
        self._log = log
        self._health = health
        self._settings = settings
        self._failed: str | None = None
        self._stop = threading.Event()
        health.set(SUBSYSTEM, "ready")

    async def run(self) -> None:
        """Archive whenever it is time, until cancelled; health tells of what fails."""
        if not self._settings.archive or not self._settings.archive_hours:
            return
        await asyncio.sleep(max(await in_loose_thread(self._due_in_seconds, SUBSYSTEM), SETTLING_SECONDS))
        while True:
            pause_seconds = self._settings.archive_hours * 3_600
            try:
                await self.archive(keep_days=self._settings.archive_keep_days)
            except ArchiveRunning:
                pass
            except (RookeryError, OSError):
                pause_seconds = min(pause_seconds, RETRY_SECONDS)
            await asyncio.sleep(pause_seconds)

    async def archive(self, *, keep_days: float | None = None, verify: bool = False) -> ArchiveReport:
        """Copy what the archive lacks, read it back, and trim what is older than `keep_days`; None trims nothing.

        A caller that goes away leaves it running. Raises `NoArchiveSet`, `ArchiveRunning`, `ArchivingStopped`, or what
        archiving raises.
        """
        if not self._settings.archive:
            raise NoArchiveSet
        if self.progress is not None:
            raise ArchiveRunning(self.progress)
        self.progress = Progress("", 0, 0)
        working = asyncio.ensure_future(self._archive(self._settings.archive, keep_days, verify))
        working.add_done_callback(lambda done: done.cancelled() or done.exception())  # it was logged
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            if self._stop.is_set():  # no client that went away, but a node that can't wait for a slow archive
                raise ArchivingStopped from None
            raise

    def status(self) -> ArchiveStatus:
        """What is where; looks at the disk."""
        progress = self.progress
        return ArchiveStatus(
            archive=self._settings.archive,
            hours=self._settings.archive_hours,
            keep_days=self._settings.archive_keep_days,
            running=Running(*progress) if progress else None,
            failed=self._failed,
            origins={name: tiers_of(self._log, name) for name in self._log.origins()},
        )

    def close(self) -> None:
        """Stop before the next object. What is under way ends by itself or with the process: nothing depends on it."""
        self._stop.set()

    async def _archive(self, place: str, keep_days: float | None, verify: bool) -> ArchiveReport:
        def work() -> ArchiveReport:
            step_back()
            store = place_for(place, self._data)
            return copy_out(
                self._log, store, self._data, keep_days=keep_days, verify=verify, trims=True, watch=self._watch
            )

        try:
            report = await in_loose_thread(work, SUBSYSTEM)
        except ArchivingStopped:
            raise
        except (RookeryError, OSError) as error:
            logger.warning("archiving failed: %s", error)
            self._failed = str(error)
            self._health.set(SUBSYSTEM, "degraded", str(error))
            raise
        finally:
            self.progress = None
        self._failed = None
        self._health.set(SUBSYSTEM, "ready")
        return report

    def _watch(self, progress: Progress) -> None:
        if self._stop.is_set():
            raise ArchivingStopped
        self.progress = progress

    def _due_in_seconds(self) -> float:
        tierings = [tiering for name in self._log.origins() if (tiering := self._log.tiering(name))]
        if not tierings:
            return 0.0
        due = min(tiering.verified_at for tiering in tierings) + timedelta(hours=self._settings.archive_hours)
        return (due - datetime.now(UTC)).total_seconds()
