"""Folds batches of events into the tables, each batch and its checkpoint in one transaction: exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import duckdb

from ..eventstore import Log
from ..schemas import reading_fingerprint
from .database import STORAGE_VERSION
from .definitions import Catalogue
from .errors import CheckpointConflict, FoldFailed, TablesOutdated
from .loader import Batch, Loader, batches
from .relations import relations
from .sidecars import SideCars

Progress = Callable[[int, int], None]
Vector = dict[str, int]
Connections = tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyConnection]

# The memory of fewer events isn't worth the time that it takes to give it back.
EVENTS_WORTH_UNLOADING = 1_024

# `made_from` remembers what the tables were made from: tables that today's code would make otherwise are out of date.
_BOOKKEEPING = """
    create schema rookery;
    create table rookery.checkpoints (origin varchar, n ubigint);
    create table rookery.made_from (what varchar, version integer, fingerprint varchar);
"""


class _Loaded(NamedTuple):
    """A batch, the connection that holds it, and all that is foldable in it."""

    con: duckdb.DuckDBPyConnection
    batch: Batch
    occurring: frozenset[str]


class Engine:
    """One writer of one database. Not for two threads at once.

    It has two connections to the database: while a batch is folded on one, the next is loaded on the other.
    """

    def __init__(
        self,
        connections: Connections,
        catalogue: Catalogue,
        log: Log,
        scratch: Path,
        side_cars: SideCars | None = None,
    ) -> None:
        self._connections = connections
        self._con = connections[0]
        self._catalogue = catalogue
        self._log = log
        self._side_cars = side_cars
        # Parsed once: they run many times a second.
        self._parsed = {text: duckdb.extract_statements(text)[0] for text in catalogue.statements}
        self._loader = Loader(log, catalogue.selection, scratch, side_cars)
        self._prepared: list[duckdb.DuckDBPyConnection] = []
        self._vector: Vector = {}
        self._stopped = False

    def open(self) -> None:
        """Create what is missing. Raises `TablesOutdated` where the tables aren't what today's code would make."""
        if not self._con.execute("select 1 from duckdb_schemas() where schema_name = 'rookery'").fetchall():
            self._create()
        made_from = self._con.execute("select what, version, fingerprint from rookery.made_from").fetchall()
        if differing := {what for what, *_ in set(made_from) ^ set(ingredients(self._catalogue))}:
            raise TablesOutdated(sorted(differing))
        self._vector = dict(self._con.execute("select origin, n from rookery.checkpoints").fetchall())
        self._prepare(self._con)

    def vector(self) -> Vector:
        """How far the tables are, per origin."""
        return dict(self._vector)

    def catch_up(self, until: Vector | None = None, progress: Progress | None = None) -> int:
        """Fold what the log has beyond the tables, up to `until` or its end; returns the number of events.

        Raises `LoadFailed`, `FoldFailed` or `CheckpointConflict`; the batches before the failed one stay folded.
        """
        target = self._log.vector() if until is None else until
        total = sum(max(last - self._vector.get(origin, 0), 0) for origin, last in target.items())
        done = 0
        for batch in self.fold(batches(self._log, self.vector(), target, self._side_cars)):
            done += batch.events
            if progress:
                progress(done, total)
        if done >= EVENTS_WORTH_UNLOADING:
            for con in self._prepared:
                self._loader.unload(con)
        return done

    def fold(self, following: Iterable[Batch]) -> Iterator[Batch]:
        """Fold these batches in their order; yields each when it is folded, until `stop`. Raises like `catch_up`."""
        for loaded in self._load_ahead(following):
            if self._stopped:
                return
            self._fold(loaded)
            yield loaded.batch

    def _load_ahead(self, following: Iterable[Batch]) -> Iterator[_Loaded]:
        """Every batch when it is loaded, with the one after it being loaded meanwhile."""
        connections = cycle(self._connections)
        loaded: _Loaded | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="loader") as loader:
            for batch in following:
                if not loaded:  # a live batch is alone: no thread is begun for it
                    loaded = self._load(next(connections), batch)
                    continue
                ahead = loader.submit(self._load, next(connections), batch)
                yield loaded
                loaded = ahead.result()
            if loaded:
                yield loaded

    def _prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Create the relations over batches. A connection that is never needed is spared the time."""
        self._loader.prepare(con)
        for derived in self._catalogue.derived.values():
            con.execute(derived.statement)
        self._prepared.append(con)

    def _load(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> _Loaded:
        if con not in self._prepared:
            self._prepare(con)
        return _Loaded(con, batch, self._catalogue.occurring(self._loader.load(con, batch)))

    def stop(self) -> None:
        """Let a `catch_up` that is under way end after its present batch."""
        self._stopped = True

    def _fold(self, loaded: _Loaded) -> None:
        """Fold one batch: all of it and its checkpoint, or nothing."""
        con, batch, occurring = loaded
        con.execute("begin transaction")
        try:
            for projection in self._catalogue.projections:
                for statement in projection.statements(occurring):
                    self._run(con, statement, projection.name, batch)
            _advance(con, batch)
            con.execute("commit")
        except BaseException:
            _roll_back(con)
            raise
        self._vector[batch.origin] = batch.last

    def _run(self, con: duckdb.DuckDBPyConnection, statement: str, projection: str, batch: Batch) -> None:
        try:
            con.execute(self._parsed[statement])
        except duckdb.Error as error:
            raise FoldFailed(projection, statement, *batch[:3], str(error)) from error

    def _create(self) -> None:
        self._con.execute("begin transaction")
        self._con.execute(_BOOKKEEPING)
        for projection in self._catalogue.projections:
            for statement in projection.creates:
                self._con.execute(statement)
        for ingredient in ingredients(self._catalogue):
            self._con.execute("insert into rookery.made_from values (?, ?, ?)", list(ingredient))
        self._con.execute("commit")


def ingredients(catalogue: Catalogue) -> list[tuple[str, int, str]]:
    """What tables of these projections are made from today: name, version and fingerprint of each part."""
    schemas = "\n".join([reading_fingerprint(), *map(str, relations().values())])
    made_from = [(name, *recipe) for name, recipe in catalogue.fingerprints.items()]
    fingerprint = hashlib.sha256(schemas.encode()).hexdigest()
    return sorted([*made_from, ("event schemas", 0, fingerprint), ("storage", 0, STORAGE_VERSION)])


def _advance(con: duckdb.DuckDBPyConnection, batch: Batch) -> None:
    before = batch.first - 1
    moving = "update rookery.checkpoints set n = ? where origin = ? and n = ?"
    ((moved,),) = con.execute(moving, [batch.last, batch.origin, before]).fetchall()
    if moved:
        return
    found = con.execute("select n from rookery.checkpoints where origin = ?", [batch.origin]).fetchall()
    if found or before:
        raise CheckpointConflict(batch.origin, batch.first, found[0][0] if found else 0)
    con.execute("insert into rookery.checkpoints values (?, ?)", [batch.origin, batch.last])


def _roll_back(con: duckdb.DuckDBPyConnection) -> None:
    try:
        con.execute("rollback")
    except duckdb.Error:
        # A database that a fatal error closed has rolled back already; the first error is the one to tell.
        return
