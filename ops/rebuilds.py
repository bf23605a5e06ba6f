"""Rebuilds of the read models: one at a time, begun by somebody, or by a start that finds the tables outdated."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Literal

import msgspec

from ..projections import FoldFailed, Projections, RebuildAbandoned, RebuildFailed, RebuildReport, RebuildUnderWay
from ..schemas import RookeryError
from .disk import FREE_BYTES_MIN
from .giving_way import step_back
from .health import Health

SUBSYSTEM = "projector"

LOOK_SECONDS = 0.01
RETRY_SECONDS_MIN = 5.0
RETRY_SECONDS_MAX = 600.0

Kind = Literal["rebuild", "verify", "rollback"]
Standing = Literal["running", "done", "abandoned", "failed"]

logger = logging.getLogger(__name__)


class Report(msgspec.Struct, frozen=True):
    """What a rebuild did. `changed` names the read models that were not as the log says; null where nobody compared."""

    events: int
    seconds: float
    changed: list[str] | None
    digests_before: dict[str, str]
    digests_after: dict[str, str]


class Failure(msgspec.Struct, frozen=True):
    """Why a rebuild failed; where a projection's statement did, which one, and over which events."""

    error: str
    detail: str
    projection: str | None = None
    file: str | None = None
    statement: str | None = None
    origin: str | None = None
    first: int | None = None
    last: int | None = None


class RebuildStatus(msgspec.Struct, frozen=True):
    """How the latest rebuild stands. `number` tells it from those before it since the node's start.

    `by_itself`: nobody asked for it; the tables were outdated. `seconds_left` is an estimate, null where there is none.
    """

    number: int
    kind: Kind
    by_itself: bool
    state: Standing
    started_at: datetime
    seconds: float
    events_done: int
    events_total: int
    seconds_left: float | None
    report: Report | None
    failure: Failure | None


class Rebuild:
    """One rebuild, from its beginning on. `work` is done when it has ended."""

    def __init__(self, number: int, kind: Kind, *, by_itself: bool) -> None:
        self.number = number
        self.kind = kind
        self.by_itself = by_itself
        self.work: asyncio.Task[Report]
        self.failure: RookeryError | None = None
        self._report: Report | None = None
        self._started_at = datetime.now(UTC)
        self._started = time.monotonic()
        self._seconds: float | None = None
        self._done, self._total = 0, 0

    def progress(self, done: int, total: int) -> None:
        """Note how far it is."""
        self._done, self._total = done, total

    def end(self, report: Report | None, failure: RookeryError | None) -> None:
        """Note how it ended."""
        self._report, self.failure = report, failure
        self._seconds = time.monotonic() - self._started

    @property
    def standing(self) -> Standing:
        """Whether it is under way, or how it ended."""
        if self._seconds is None:
            return "running"
        if self.failure is None:
            return "done"
        return "abandoned" if isinstance(self.failure, RebuildAbandoned) else "failed"

    @property
    def so_far(self) -> str:
        """How far it is, to follow a verb."""
        return f", {self._done:,} of {self._total:,} events so far" if self._done < self._total else ""

    def status(self) -> RebuildStatus:
        """How it stands now."""
        seconds = time.monotonic() - self._started if self._seconds is None else self._seconds
        is_folding = self.standing == "running" and self._done
        return RebuildStatus(
            number=self.number,
            kind=self.kind,
            by_itself=self.by_itself,
            state=self.standing,
            started_at=self._started_at,
            seconds=seconds,
            events_done=self._done,
            events_total=self._total,
            seconds_left=seconds * (self._total - self._done) / self._done if is_folding else None,
            report=self._report,
            failure=failure_of(self.failure) if self.failure else None,
        )


class Rebuilds:
    """Rebuilds one node's read models. `on_end` is called on the event loop when the tables are others than before."""

    def __init__(self, projections: Projections, health: Health, on_end: Callable[[], None]) -> None:
        self.latest: Rebuild | None = None
        self._projections = projections
        self._health = health
        self._on_end = on_end
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rebuilds")

    def begin(self, kind: Kind, *, by_itself: bool = False) -> Rebuild:
        """Begin one, which goes on whoever waits for it. Call it on the event loop. Raises `RebuildUnderWay`."""
        if self.latest and self.latest.standing == "running":
            raise RebuildUnderWay
        self.latest = rebuild = Rebuild((self.latest.number if self.latest else 0) + 1, kind, by_itself=by_itself)
        rebuild.work = asyncio.create_task(self._do(rebuild))
        rebuild.work.add_done_callback(_look_at)
        return rebuild

    async def abandon(self) -> Rebuild | None:
        """Let the one that is under way come to nothing, soon; it, if there is one.

        Outdated tables are tried again, as after a failure.
        """
        rebuild = self.latest
        if rebuild is None or rebuild.standing != "running":
            return None
        while rebuild.standing == "running" and not self._projections.abandon_rebuild():
            await asyncio.sleep(LOOK_SECONDS)  # it still opens its tables
        return rebuild

    async def run(self) -> None:
        """Have outdated tables replaced; a failure is tried again, with growing pauses."""
        pause_seconds = RETRY_SECONDS_MIN
        while self._projections.outdated:
            try:
                await asyncio.shield(self.begin("rebuild", by_itself=True).work)
            except RookeryError as error:
                logger.warning("the outdated read models can't be made anew; trying again: %s", error)
            await asyncio.sleep(pause_seconds if self._projections.outdated else 0)
            pause_seconds = min(pause_seconds * 2, RETRY_SECONDS_MAX)

    def look(self) -> None:
        """Have health tell of outdated tables."""
        if not self._projections.outdated:
            return
        position = ", ".join(f"{origin}:{n}" for origin, n in self._projections.vector().items())
        meanwhile = f"until then they answer as of {position}"
        rebuild = self.latest
        if rebuild is None or rebuild.standing == "running":
            detail = f"the read models are being made anew{rebuild.so_far if rebuild else ''}; {meanwhile}"
            self._health.set(SUBSYSTEM, "degraded", detail)
        else:
            self._health.set(SUBSYSTEM, "failed", f"{rebuild.failure}; it is tried again, and {meanwhile}")

    def close(self) -> None:
        """Wait until the one that is under way has come to nothing."""
        self._projections.stop()
        self._thread.shutdown()

    async def _do(self, rebuild: Rebuild) -> Report:
        report: Report | None = None
        failure: RookeryError | None = RebuildAbandoned()
        try:
            report = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, rebuild)
            failure = None
        except RookeryError as error:
            failure = error
            raise
        except Exception as error:
            failure = RebuildFailed(f"{type(error).__name__}: {error}")
            raise failure from error
        finally:
            rebuild.end(report, failure)
            self._on_end()
        return report

    def _work(self, rebuild: Rebuild) -> Report:
        match rebuild.kind:
            case "rollback":
                done = self._projections.roll_back(rebuild.progress, on_thread=step_back)
            case "verify":
                self._make_room()
                done = self._projections.verify(rebuild.progress, on_thread=step_back)
            case "rebuild" if rebuild.by_itself:
                self._make_room()
                done = self._projections.renew(rebuild.progress, on_thread=step_back)
            case "rebuild":
                self._make_room()
                done = self._projections.rebuild(rebuild.progress, on_thread=step_back)
        return _told(done)

    def _make_room(self) -> None:
        """A rebuild must not be what fills the disk: the previous version goes before. Raises `RebuildFailed`."""
        needed_bytes = self._projections.size_bytes() + FREE_BYTES_MIN
        folder = self._projections.path.parent
        if shutil.disk_usage(folder).free < needed_bytes:
            self._projections.forget_previous()
        if (free_bytes := shutil.disk_usage(folder).free) < needed_bytes:
            reason = f"it takes {needed_bytes / 2**20:,.0f} MiB, and {free_bytes / 2**20:,.0f} MiB are free"
            raise RebuildFailed(f"{reason}; free some space")


def failure_of(error: RookeryError) -> Failure:
    """What there is to say of an error, in fields."""
    if not isinstance(error, FoldFailed):
        return Failure(type(error).__name__, str(error))
    return Failure(
        type(error).__name__,
        str(error),
        error.projection,
        error.file,
        error.statement,
        error.origin,
        error.first,
        error.last,
    )


def _told(report: RebuildReport) -> Report:
    compared = bool(report.digests_before)
    return Report(
        report.events,
        report.seconds,
        report.changed if compared else None,
        report.digests_before,
        report.digests_after,
    )


def _look_at(work: asyncio.Task[Report]) -> None:
    """Whoever waits hears of a failure, and so does who asks how it stands: asyncio need not complain of it."""
    if not work.cancelled():
        work.exception()
