"""The read models as the rest of Rookery sees them: kept level with the log, and asked from any thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import duckdb

from ..eventstore import Disk, Log
from .asking import ReadModels
from .database import DamagedDatabase, Resources, empty, is_damage, move_aside, write_ahead_log
from .definitions import Catalogue
from .engine import Progress, Vector
from .errors import (
    NoWayBack,
    ProjectionError,
    QueryFailed,
    RebuildAbandoned,
    RebuildUnderWay,
    SnapshotFailed,
    TablesOutdated,
)
from .leash import Leash
from .lineage import Lineage
from .past import Past
from .queries import events_view
from .readers import Readers
from .rebuilding import RebuildReport, Successor, told
from .sidecars import SideCars
from .snapshots import Snapshot, write_snapshot
from .tables import Making, Tables
from .versions import Versions

logger = logging.getLogger(__name__)


class Folded(NamedTuple):
    """What `catch_up` did."""

    events: int
    seconds: float


class Projections(ReadModels):
    """All SQL read models, in one DuckDB file, with the version before them in another.

    One thread folds at a time (`catch_up`), one rebuilds beside it (`rebuild`, `verify`, `roll_back`), and any number
    may ask (`rows`, `sql`) meanwhile. Every method blocks: call them in threads.
    """

    def __init__(
        self, path: Path, log: Log, catalogue: Catalogue, resources: Resources, disk: Disk | None = None
    ) -> None:
        self.path = path
        self._log = log
        self._files = Versions(path, disk)
        self.side_cars = SideCars(path.with_name("columns"), log)
        self._making = Making(log, catalogue, resources, path.with_name(path.name + ".scratch"), self.side_cars)
        self._folding = threading.Lock()
        self._rebuilding = threading.Lock()
        self._successor: Successor | None = None
        self._suspicion: BaseException | None = None
        self._is_stopped = False
        self._live = self._open()
        super().__init__(
            catalogue,
            Readers(self._live.database),
            events=lambda: events_view(log.files()),
            scratch=self._making.scratch,
            names=self._live.names,
        )
        self._past = Past(path.with_name("past"), log, catalogue, self.side_cars)
        self.lineage = Lineage(catalogue, log, self._making.scratch, self.side_cars)
        empty(self._making.scratch)
        with suppress(OSError):  # the next rebuild does it
            self._files.remove(self._files.rebuilt)

    @classmethod
    def open(
        cls,
        path: Path,
        log: Log,
        *,
        catalogue: Catalogue | None = None,
        resources: Resources | None = None,
        progress: Progress | None = None,
        serve_outdated: bool = False,
        disk: Disk | None = None,
    ) -> Projections:
        """Open the read models in `path`, a file that need not exist.

        A file that is damaged is made anew from the log before this returns. So is one that other projections or event
        schemas than today's made, unless the version before it was made from today's, which then takes its place; with
        `serve_outdated` it is left to answer until somebody calls `renew` (see `outdated`). One that is merely behind
        is left so: call `catch_up`. Raises `DatabaseLocked`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        projections = cls(path, log, catalogue or Catalogue.of_folder(), resources or Resources(), disk)
        is_empty = existed and not projections.vector() and bool(log.vector())
        try:
            if is_empty:
                projections.rebuild(progress)
            elif projections.outdated and not serve_outdated:
                projections.renew(progress)
        except BaseException:
            projections.close()
            raise
        return projections

    @property
    def outdated(self) -> TablesOutdated | None:
        """Why the tables stand still until a rebuild has replaced them; None where they keep level with the log."""
        return self._live.outdated

    def catch_up(self, progress: Progress | None = None) -> Folded:
        """Fold everything that the log has beyond the tables. A database that turns out damaged is made anew.

        Raises `LoadFailed` or `FoldFailed`, with the tables left where the batch before ended, and `TablesOutdated`.
        """
        started = time.perf_counter()
        with self._folding:
            if not self._live.is_open:  # the disk refused when one version was to replace another
                self._readers.exchange(self._open_anew)
            try:
                if self._suspicion:
                    raise self._suspicion
                events = self._fold(progress=progress)
            except (ProjectionError, duckdb.Error) as error:
                if not is_damage(error, self.path):
                    raise
                self._suspicion = error
                self._readers.exchange(self._make_anew)
                events = self._fold(progress=progress)
        return Folded(events, time.perf_counter() - started)

    def at(
        self, moment: Vector | None, names: Iterable[str] | None = None, leash: Leash | None = None
    ) -> AbstractContextManager[ReadModels]:
        """The read models as they were when the log went up to `moment`: those of these names at least, or all.

        Without a moment, the live ones. Entering it blocks while they are made. Raises as `Past.at` does.
        """
        return nullcontext(self) if moment is None else self._past.at(moment, names, leash)

    def key_of(self, name: str) -> tuple[str, ...]:
        """The columns that tell a read model's rows apart.

        Raises `UnknownReadModel`, and `TablesOutdated` where it is one that outdated tables don't have.
        """
        if self.outdated and name in self._catalogue.by_name.keys() - self._names:
            raise TablesOutdated(self.outdated.differing, f"there is no {name} yet")
        return super().key_of(name)

    def vector(self) -> Vector:
        """How far the tables are: the last folded n of each origin."""
        return self._live.vector()

    def stamp(self, moment: Vector | None = None) -> str:
        """What tells whether an answer may have changed: the tables' edition, and how far they are, or were."""
        if moment is not None:
            return self._past.stamp(moment)
        return f"{self._live.edition} {sorted(self.vector().items())}"

    def rebuild(
        self, progress: Progress | None = None, *, on_thread: Callable[[], None] | None = None
    ) -> RebuildReport:
        """Make all read models anew from the log, beside the live ones, which answer until the new ones take over.

        The live ones are kept: see `roll_back`. `on_thread` is called on the thread that builds, before all else.
        Raises `RebuildUnderWay`, `RebuildAbandoned`, `RebuildFailed`, `LoadFailed` or `FoldFailed`.
        """
        started = time.perf_counter()
        with self._successor_in(self._files.rebuilt, on_thread, progress) as successor:
            built = time.perf_counter()
            before, after = self._compared(successor) if self.vector() and not self.outdated else ({}, {})
            compared = time.perf_counter()
            successor.write()
            with self._folding:
                is_worth_keeping = bool(self.vector()) and not self._suspicion
                self._replace_live(successor, partial(self._files.take_over, keep=is_worth_keeping))
        seconds = time.perf_counter() - started - (compared - built)
        report = RebuildReport(successor.events, seconds, before, after)
        if before and report.changed:
            logger.warning("the rebuild corrected %s", ", ".join(report.changed))
        return report

    def verify(self, progress: Progress | None = None, *, on_thread: Callable[[], None] | None = None) -> RebuildReport:
        """Make all read models anew, compare them with the live ones, and leave those in their place.

        Raises like `rebuild`, and `TablesOutdated` where a comparison would say nothing.
        """
        if self.outdated:
            raise self.outdated
        started = time.perf_counter()
        with self._successor_in(self._files.rebuilt, on_thread, progress) as successor:
            seconds = time.perf_counter() - started
            return RebuildReport(successor.events, seconds, *self._compared(successor))

    def roll_back(
        self, progress: Progress | None = None, *, on_thread: Callable[[], None] | None = None
    ) -> RebuildReport:
        """Have the version before the live one take its place, level with the log; another roll-back undoes it.

        Raises like `rebuild`, and `NoWayBack` where there is none, or today's projections can't fold into it.
        """
        if not self._files.previous.exists():
            raise NoWayBack("no rebuild has replaced the read models yet")
        started = time.perf_counter()
        try:
            with self._successor_in(self._files.previous, on_thread, progress) as successor, self._folding:
                self._replace_live(successor, self._files.exchange)
        except TablesOutdated as outdated:
            reason = f"{outdated}; the version of Rookery that made them takes them up when it starts"
            raise NoWayBack(reason) from outdated
        except ProjectionError as error:
            if not is_damage(error, self._files.previous):
                raise
            self.forget_previous()
            raise NoWayBack(f"the previous read models were damaged, and are gone now ({error})") from error
        return RebuildReport(successor.events, time.perf_counter() - started, {}, {})

    def renew(self, progress: Progress | None = None, *, on_thread: Callable[[], None] | None = None) -> RebuildReport:
        """Put something up to date in the place of outdated tables: the version before, if it is, or else a rebuild.

        Raises like `rebuild`.
        """
        try:
            return self.roll_back(progress, on_thread=on_thread)
        except NoWayBack:
            return self.rebuild(progress, on_thread=on_thread)

    def abandon_rebuild(self) -> bool:
        """Let a rebuild that is under way come to nothing, soon; whether there is one."""
        if (successor := self._successor) is not None:
            successor.stop()
        return successor is not None

    @property
    def previous(self) -> Path | None:
        """The file of the version before the live one, if there is one."""
        return self._files.previous if self._files.previous.exists() else None

    def forget_previous(self) -> None:
        """Give up the way back, for the room that it takes. Raises `RebuildUnderWay`."""
        with self._alone():
            self._files.remove(self._files.previous)

    def size_bytes(self) -> int:
        """How much room the database takes on the disk, with what is still to be written into it."""
        files = (self.path, write_ahead_log(self.path))
        return sum(file.stat().st_size for file in files if file.exists())

    def memory_bytes(self) -> dict[str, int]:
        """What DuckDB holds in memory for the live read models, by its own tags, as of `base_table`.

        Raises `QueryNotAdmitted`.
        """
        with self._readers.cursor() as cursor:
            held = "select lower(tag), memory_usage_bytes from duckdb_memory() order by tag"
            return dict(cursor.execute(held).fetchall())

    def snapshot(self, target: Path, stop: threading.Event | None = None) -> Snapshot:
        """Write all read models into a file of plain tables. Raises `SnapshotFailed`, also when `stop` is set."""
        if self.outdated:
            raise SnapshotFailed(target, str(self.outdated))
        return write_snapshot(self.path, target, self._catalogue, stop=stop)

    def stop(self) -> None:
        """Let whatever is folding end after its present batch, for good; a rebuild is abandoned."""
        self._is_stopped = True
        self._live.engine.stop()
        self.abandon_rebuild()

    def close(self) -> None:
        """Stop folding, let queries end, and close the file."""
        self.stop()
        self._past.close()
        self.lineage.close()
        with self._rebuilding, self._folding:
            self._readers.close()
            self._live.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _heard(self, error: QueryFailed) -> None:
        # Some queries make DuckDB stumble over itself; that alone says nothing of the file.
        if is_damage(error, self.path) and not isinstance(error.__cause__, duckdb.InternalException):
            self._suspicion = error  # the next `catch_up` makes the database anew
        if self.outdated and isinstance(error.__cause__, duckdb.CatalogException | duckdb.BinderException):
            raise TablesOutdated(self.outdated.differing, error.reason) from error

    def _fold(self, target: Vector | None = None, progress: Progress | None = None) -> int:
        if self._live.outdated:
            raise self._live.outdated
        return self._live.engine.catch_up(target, progress)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._rebuilding.acquire(blocking=False):
            raise RebuildUnderWay
        try:
            yield
        finally:
            self._rebuilding.release()

    @contextmanager
    def _successor_in(
        self, path: Path, on_thread: Callable[[], None] | None, progress: Progress | None
    ) -> Iterator[Successor]:
        """Tables in `path` that were level with the log a moment ago: made anew there, or the previous version."""
        is_anew = path == self._files.rebuilt
        with self._alone(), told(), ThreadPoolExecutor(1, "rebuild", initializer=on_thread) as builder:
            if is_anew:
                self._files.remove(path)
            opening = builder.submit(Tables.open, path, self._making, disposable=is_anew)
            self._successor = successor = Successor(opening.result())
            try:
                if self._is_stopped:
                    raise RebuildAbandoned
                builder.submit(successor.reach, self._log.vector(), progress).result()
                yield successor
            finally:
                self._successor = None
                successor.stop()
                builder.shutdown()
                successor.tables.close()
                with suppress(OSError):  # the next rebuild does it
                    self._files.remove(self._files.rebuilt)

    def _compared(self, successor: Successor) -> tuple[dict[str, str], dict[str, str]]:
        """Digests of the live tables and the successor's, of the same events. Live folding goes on meanwhile."""
        names = sorted(self._catalogue.by_name)
        with ExitStack() as pinned:
            with self._folding:
                target = self._log.vector()
                live = self._live_at(target, pinned)
            successor.reach(target)
            before = successor.digests_of(live, names) if live else {}
        return before, successor.digests(names)

    def _live_at(self, target: Vector, pinned: ExitStack) -> duckdb.DuckDBPyConnection | None:
        """A cursor to which the live tables stay as they are at `target`; None if they are past telling."""
        try:
            self._fold(target)
            cursor = pinned.enter_context(self._readers.cursor())
            cursor.execute("begin transaction read only")
            cursor.execute("from rookery.checkpoints").fetchall()  # what is seen is what there is at the first look
        except (ProjectionError, duckdb.Error) as error:
            logger.warning("the live read models can't be compared with the rebuilt ones: %s", error)
            return None
        return cursor

    def _replace_live(self, successor: Successor, move: Callable[[], None]) -> None:
        """Close both, have `move` put the successor's file in place, and open what is there then."""

        def replace() -> None:
            self._live.close()
            try:
                move()
            finally:
                self._open_anew()
            self._suspicion = None

        successor.reach(self._log.vector())
        successor.write()  # closing would not say that it could not
        successor.tables.close()
        self._readers.exchange(replace)

    def _make_anew(self) -> None:
        self._live.abandon()
        self._put_aside(self._suspicion)
        self._suspicion = None
        self._open_anew()

    def _open_anew(self) -> None:
        self._live = self._open()
        if self._is_stopped:
            self._live.engine.stop()
        self._readers.database = self._live.database
        self._names, self._shapes = self._live.names, {}

    def _open(self) -> Tables:
        self._files.recover()
        try:
            return Tables.open(self.path, self._making, also_outdated=True)
        except (DamagedDatabase, duckdb.Error) as error:
            if not is_damage(error, self.path):
                raise
            self._put_aside(error)
        return Tables.open(self.path, self._making)

    def _put_aside(self, error: BaseException | None) -> None:
        kept = move_aside(self.path)
        logger.warning("the read models were damaged (%s); kept as %s and made anew from the log", error, kept)
