"""The read models as the rest of Rookery sees them: kept level with the log, and asked from any thread."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from uuid import uuid4

import duckdb

from ..eventstore import Log
from .asking import ReadModels
from .database import DamagedDatabase, Database, Resources, empty, is_damage, move_aside, remove, write_ahead_log
from .definitions import Catalogue
from .digests import digests_at_one_moment
from .engine import Engine, OutdatedTables, Progress, Vector
from .errors import ProjectionError, QueryFailed, RebuildAbandoned
from .queries import events_view
from .readers import Readers
from .snapshots import Snapshot, write_snapshot

logger = logging.getLogger(__name__)


class Folded(NamedTuple):
    """What `catch_up` did."""

    events: int
    seconds: float


class RebuildReport(NamedTuple):
    """What a rebuild did, and how long it took, not counting the comparison with the old tables.

    The digests are of the same events; they differ only if the old tables were wrong.
    """

    events: int
    seconds: float
    digests_before: dict[str, str]
    digests_after: dict[str, str]

    @property
    def changed(self) -> list[str]:
        """The read models that came out otherwise than they were."""
        return sorted(name for name, after in self.digests_after.items() if self.digests_before.get(name) != after)


class Projections(ReadModels):
    """All SQL read models, in one DuckDB file.

    One thread folds at a time (`catch_up`, `rebuild`); any number may ask (`rows`, `sql`) meanwhile. Every method
    blocks: call them in threads.
    """

    def __init__(self, path: Path, log: Log, catalogue: Catalogue, resources: Resources) -> None:
        self.path = path
        self._log = log
        self._catalogue = catalogue
        self._resources = resources
        self._scratch = path.with_name(path.name + ".scratch")
        self._rebuilt = path.with_name(path.name + ".rebuilt")
        self._folding = threading.Lock()
        self._rebuilding = threading.Lock()
        self._engines: set[Engine] = set()
        self._suspicion: BaseException | None = None
        self._database, self._engine = self._open()
        super().__init__(
            catalogue, Readers(self._database), events=lambda: events_view(log.files()), scratch=self._scratch
        )
        empty(self._scratch)
        remove(self._rebuilt)

    @classmethod
    def open(
        cls,
        path: Path,
        log: Log,
        *,
        catalogue: Catalogue | None = None,
        resources: Resources | None = None,
        progress: Progress | None = None,
    ) -> Projections:
        """Open the read models in `path`, a file that need not exist.

        A file that is damaged, or was made by other projections or event schemas than today's, is made anew from the
        log before this returns. One that is merely behind is left so: call `catch_up`. Raises `DatabaseLocked`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        projections = cls(path, log, catalogue or Catalogue.of_folder(), resources or Resources())
        if existed and not projections.vector():
            projections.catch_up(progress)
        return projections

    def catch_up(self, progress: Progress | None = None) -> Folded:
        """Fold everything that the log has beyond the tables. A database that turns out damaged is made anew.

        Raises `LoadFailed` or `FoldFailed`, with the tables left where the batch before ended.
        """
        started = time.perf_counter()
        with self._folding:
            try:
                if self._suspicion:
                    raise self._suspicion
                events = self._engine.catch_up(progress=progress)
            except (ProjectionError, duckdb.Error) as error:
                if not is_damage(error, self.path):
                    raise
                self._readers.exchange(partial(self._made_anew, error))
                events = self._engine.catch_up(progress=progress)
        return Folded(events, time.perf_counter() - started)

    def vector(self) -> Vector:
        """How far the tables are: the last folded n of each origin."""
        return self._engine.vector()

    def stamp(self) -> str:
        """What tells whether an answer may have changed: the tables' edition, and how far they are."""
        return f"{self._edition} {sorted(self.vector().items())}"

    def rebuild(self, progress: Progress | None = None) -> RebuildReport:
        """Make all read models anew from the log, beside the old ones, which answer until the new ones take over."""
        started = time.perf_counter()
        with self._rebuilding:
            remove(self._rebuilt)
            database, engine = self._connect(self._rebuilt, disposable=True)
            try:
                events = engine.catch_up(progress=progress)
                with self._folding:
                    report = self._take_over(database, engine, events, started)
            finally:
                self._engines.discard(engine)
                database.close()
                remove(self._rebuilt)
        return report

    def size_bytes(self) -> int:
        """How much room the database takes on the disk, with what is still to be written into it."""
        files = (self.path, write_ahead_log(self.path))
        return sum(file.stat().st_size for file in files if file.exists())

    def snapshot(self, target: Path, stop: threading.Event | None = None) -> Snapshot:
        """Write all read models into a file of plain tables. Raises `SnapshotFailed`, also when `stop` is set."""
        return write_snapshot(self.path, target, self._catalogue, stop=stop)

    def stop(self) -> None:
        """Let whatever is folding end after its present batch, for good; a rebuild is abandoned."""
        for engine in list(self._engines):
            engine.stop()

    def close(self) -> None:
        """Stop folding, let queries end, and close the file."""
        self.stop()
        with self._rebuilding, self._folding:
            self._readers.close()
            self._database.close()

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

    def _take_over(self, database: Database, engine: Engine, events: int, started: float) -> RebuildReport:
        target = self._log.vector()
        events += engine.catch_up(target)
        if engine.vector() != target:
            raise RebuildAbandoned
        folded = time.perf_counter()
        before = self._digests_at(target)
        after = digests_at_one_moment(database.con, self._names)
        compared = time.perf_counter()
        database.close()
        self._readers.exchange(self._exchanged)
        seconds = time.perf_counter() - started - (compared - folded)
        report = RebuildReport(events, seconds, before, after)
        if before and report.changed:
            logger.warning("the rebuild corrected %s", ", ".join(report.changed))
        return report

    def _digests_at(self, target: Vector) -> dict[str, str]:
        """Of the old tables, for comparison; none if they are past telling."""
        try:
            self._engine.catch_up(target)
            return self.digests()
        except (ProjectionError, duckdb.Error) as error:
            logger.warning("the old read models can't be compared with the rebuilt ones: %s", error)
            return {}

    def _exchanged(self) -> Database:
        self._drop()
        self._rebuilt.replace(self.path)
        self._database, self._engine = self._open()
        return self._database

    def _made_anew(self, error: BaseException) -> Database:
        self._suspicion = None
        self._drop()
        self._put_aside(error)
        self._database, self._engine = self._open()
        return self._database

    def _drop(self) -> None:
        """Close the present file for good: what is in its write-ahead log must not meet another file."""
        self._engines.discard(self._engine)
        self._database.abandon()
        write_ahead_log(self.path).unlink(missing_ok=True)

    def _open(self) -> tuple[Database, Engine]:
        try:
            return self._connect(self.path)
        except OutdatedTables:
            logger.info("%s was made by other projections or event schemas; making it anew", self.path)
            remove(self.path)
        except (DamagedDatabase, duckdb.Error) as error:
            if not is_damage(error, self.path):
                raise
            self._put_aside(error)
        return self._connect(self.path)

    def _put_aside(self, error: BaseException) -> None:
        kept = move_aside(self.path)
        logger.warning("the read models were damaged (%s); kept as %s and made anew from the log", error, kept)

    def _connect(self, path: Path, *, disposable: bool = False) -> tuple[Database, Engine]:
        self._scratch.mkdir(exist_ok=True)
        database = Database.open(
            path,
            scratch=self._scratch,
            readable=[self._log.folder],
            resources=self._resources,
            disposable=disposable,
        )
        engine = Engine((database.con, database.cursor()), self._catalogue, self._log, self._scratch)
        try:
            engine.open()
        except BaseException:
            database.close()
            raise
        self._engines.add(engine)
        self._edition = uuid4()
        return database, engine
