"""The read models as the rest of Rookery sees them: kept level with the log, and asked from any thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar
from uuid import uuid4

import duckdb

from ..eventstore import Log
from .answers import Answer, Column, read_answer
from .database import DamagedDatabase, Database, Resources, empty, is_damage, move_aside, remove, write_ahead_log
from .definitions import Catalogue
from .digests import digests
from .engine import Engine, OutdatedTables, Progress, Vector
from .errors import ProjectionError, QueryFailed, RebuildAbandoned, UnknownReadModel
from .filters import Prepared, Question, prepare
from .formats import BinaryFormat, Encoded, Selection, arrow, parquet
from .leash import QUERY_SECONDS_MAX, Leash
from .queries import Parameters, Read, ask, ask_in_sql
from .readers import Readers
from .relations import quoted
from .sandbox import as_subquery, in_sight
from .snapshots import Snapshot, write_snapshot

ROWS_MAX = 1_000_000
EVERYTHING = Question()

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Folded(NamedTuple):
    """What `catch_up` did."""

    events: int
    seconds: float


class ReadModel(NamedTuple):
    """A table or view that can be asked by its name. `key`: the columns that tell its rows apart."""

    name: str
    version: int
    description: str
    key: tuple[str, ...]
    columns: list[Column]


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


class Projections:
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
        self._columns: dict[str, list[Column]] = {}  # the catalogue's: the same in every database that is opened
        self._database, self._engine = self._open()
        self._readers = Readers(self._database)
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

    def models(self) -> list[ReadModel]:
        """Every read model, by name."""
        with self._readers.cursor() as cursor:
            return [self._model(cursor, name) for name in self._names]

    def rows(
        self, name: str, question: Question = EVERYTHING, *, limit: int = 1_000, leash: Leash | None = None
    ) -> Answer:
        """Rows of one read model, a page of them; the answer's `next` is the cursor for the one behind.

        Raises `UnknownReadModel`, `InvalidQuestion`, `QueryNotAdmitted` or `QueryFailed`.
        """
        prepared = self._prepared(name, question)

        def read(cursor: duckdb.DuckDBPyConnection) -> Answer:
            found = cursor.execute(prepared.query, prepared.parameters)
            return prepared.page(read_answer(found, _bounded(limit) + 1), _bounded(limit))

        return self._ask(partial(ask, read=read, leash=leash or Leash()))

    def rows_in(
        self,
        format: BinaryFormat,
        name: str,
        question: Question = EVERYTHING,
        *,
        limit: int = 1_000,
        leash: Leash | None = None,
    ) -> Encoded:
        """The same rows as `rows` answers, in a format that DuckDB writes. Raises as it does."""
        prepared = self._prepared(name, question)
        selection = Selection(f"({prepared.bare})", prepared.parameters, _bounded(limit))

        def read(cursor: duckdb.DuckDBPyConnection) -> Encoded:
            encoded = self._encode(format, cursor, selection)
            if not encoded.truncated:
                return encoded
            places = cursor.execute(f"{prepared.places} limit {selection.limit + 1}", prepared.parameters).fetchall()
            return encoded._replace(next=prepared.next([place for (place,) in places], selection.limit))

        return self._ask(partial(ask, read=read, leash=leash or Leash()))

    def sql(
        self,
        text: str,
        parameters: Parameters | None = None,
        *,
        limit: int = 10_000,
        timeout_seconds: float = QUERY_SECONDS_MAX,
        leash: Leash | None = None,
    ) -> Answer:
        """Answer one reading statement. It sees every read model, and the log as `events`.

        Raises `QueryRefused` if it is anything but one query, `QueryNotAdmitted` if it was not begun, and
        `QueryFailed` if it fails or takes too long.
        """

        def reading(query: str) -> Read[Answer]:
            return lambda cursor: read_answer(cursor.execute(query, parameters or None), _bounded(limit))

        return self._ask_in_sql(text, reading, leash or Leash(timeout_seconds))

    def sql_in(
        self,
        format: BinaryFormat,
        text: str,
        parameters: Parameters | None = None,
        *,
        limit: int = 10_000,
        leash: Leash | None = None,
    ) -> Encoded:
        """The answer that `sql` gives, in a format that DuckDB writes. Raises as it does."""

        def reading(query: str) -> Read[Encoded]:
            selection = Selection(as_subquery(query), parameters, _bounded(limit))
            return lambda cursor: self._encode(format, cursor, selection)

        return self._ask_in_sql(text, reading, leash or Leash())

    def stamp(self) -> str:
        """What tells whether an answer may have changed: the tables' edition, and how far they are."""
        return f"{self._edition} {sorted(self.vector().items())}"

    def digests(self) -> dict[str, str]:
        """A digest of every read model's rows, all of the same moment."""
        with self._readers.cursor() as cursor:
            return self._digests(cursor)

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

    def _ask(self, asking: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        with self._readers.cursor() as cursor:
            try:
                return asking(cursor)
            except QueryFailed as error:
                # Some queries make DuckDB stumble over itself; that alone says nothing of the file.
                if is_damage(error, self.path) and not isinstance(error.__cause__, duckdb.InternalException):
                    self._suspicion = error  # the next `catch_up` makes the database anew
                raise

    def _ask_in_sql(self, text: str, read: Callable[[str], Read[Result]], leash: Leash) -> Result:
        seen = in_sight(text, sorted([*self._names, "events"]))
        return self._ask(partial(ask_in_sql, log=self._log, text=seen, read=read, leash=leash))

    def _encode(self, format: BinaryFormat, cursor: duckdb.DuckDBPyConnection, selection: Selection) -> Encoded:
        return arrow(cursor, selection) if format == "arrow" else parquet(cursor, selection, folder=self._scratch)

    def _prepared(self, name: str, question: Question) -> Prepared:
        if name not in self._catalogue.by_name:
            raise UnknownReadModel(name, self._names)
        if name not in self._columns:
            with self._readers.cursor() as cursor:
                self._columns[name] = self._model(cursor, name).columns
        return prepare(name, self._columns[name], self._catalogue.by_name[name].key, question)

    @property
    def _names(self) -> list[str]:
        return sorted(self._catalogue.by_name)

    def _model(self, cursor: duckdb.DuckDBPyConnection, name: str) -> ReadModel:
        projection = self._catalogue.by_name[name]
        notes = self._catalogue.notes(name)
        described = cursor.execute(f"describe {quoted(name)}").fetchall()
        columns = [Column(column, sql_type, notes.get(column, "")) for column, sql_type, *_ in described]
        return ReadModel(name, projection.version, projection.description, projection.key, columns)

    def _digests(self, con: duckdb.DuckDBPyConnection) -> dict[str, str]:
        try:
            con.execute("begin transaction read only")
            found = digests(con, self._names)
            con.execute("rollback")
        except duckdb.Error as error:
            raise QueryFailed(str(error)) from error
        return found

    def _take_over(self, database: Database, engine: Engine, events: int, started: float) -> RebuildReport:
        target = self._log.vector()
        events += engine.catch_up(target)
        if engine.vector() != target:
            raise RebuildAbandoned
        folded = time.perf_counter()
        before = self._digests_at(target)
        after = self._digests(database.con)
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
            with self._readers.cursor() as cursor:
                return self._digests(cursor)
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


def _bounded(limit: int) -> int:
    return min(limit, ROWS_MAX)
