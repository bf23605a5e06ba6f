"""Folds batches of events into the tables, each batch and its checkpoint in one transaction: exactly once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import duckdb

from ..eventstore import Log
from .definitions import Catalogue, Projection
from .errors import CheckpointConflict, FoldFailed
from .loader import Batch, batches, create_views, load, unload
from .relations import relations

Progress = Callable[[int, int], None]
Vector = dict[str, int]

# The memory of fewer events isn't worth the time that it takes to give it back.
EVENTS_WORTH_UNLOADING = 1_024

# `made_from` remembers what the tables were made from: tables that today's code would make otherwise are out of date.
_BOOKKEEPING = """
    create schema rookery;
    create table rookery.checkpoints (origin varchar, n ubigint);
    create table rookery.made_from (what varchar, version integer, fingerprint varchar);
"""


class OutdatedTables(Exception):
    """The tables were made from other projections or other event schemas than today's."""


class Engine:
    """One writer of one database. Not for two threads at once."""

    def __init__(self, con: duckdb.DuckDBPyConnection, catalogue: Catalogue, log: Log, scratch: Path) -> None:
        self._con = con
        self._catalogue = catalogue
        self._log = log
        self._scratch = scratch
        self._vector: Vector = {}
        self._stopped = False

    def open(self) -> None:
        """Create what is missing. Raises `OutdatedTables` where the tables aren't what today's code would make."""
        if not self._con.execute("select 1 from duckdb_schemas() where schema_name = 'rookery'").fetchall():
            self._create()
        made_from = self._con.execute("select what, version, fingerprint from rookery.made_from").fetchall()
        if sorted(made_from) != self._ingredients():
            raise OutdatedTables
        self._vector = dict(self._con.execute("select origin, n from rookery.checkpoints").fetchall())
        create_views(self._con)
        for derived in self._catalogue.derived.values():
            self._con.execute(derived.statement)

    def vector(self) -> Vector:
        """How far the tables are, per origin."""
        return dict(self._vector)

    def catch_up(self, until: Vector | None = None, progress: Progress | None = None) -> int:
        """Fold what the log has beyond the tables, up to `until` or its end; returns the number of events.

        Raises `LoadFailed`, `FoldFailed` or `CheckpointConflict`; the batches before the failed one stay folded.
        """
        target = until or self._log.vector()
        total = sum(max(last - self._vector.get(origin, 0), 0) for origin, last in target.items())
        done = 0
        for batch in batches(self._log, self.vector(), target):
            if self._stopped:
                break
            self.fold(batch)
            done += batch.events
            if progress:
                progress(done, total)
        if done >= EVENTS_WORTH_UNLOADING:
            unload(self._con)
        return done

    def stop(self) -> None:
        """Let a `catch_up` that is under way end after its present batch."""
        self._stopped = True

    def fold(self, batch: Batch) -> None:
        """Fold one batch: all of it and its checkpoint, or nothing."""
        occurring = self._catalogue.occurring(load(self._con, self._log, batch, self._scratch))
        self._con.execute("begin transaction")
        try:
            for projection in self._catalogue.projections:
                self._run(projection, occurring, batch)
            self._advance(batch)
            self._con.execute("commit")
        except BaseException:
            self._roll_back()
            raise
        self._vector[batch.origin] = batch.last

    def _run(self, projection: Projection, occurring: frozenset[str], batch: Batch) -> None:
        for fold in projection.folds:
            if not fold.relations.isdisjoint(occurring):
                for statement in fold.statements:
                    self._execute(statement, projection.name, batch)

    def _execute(self, statement: str, projection: str, batch: Batch) -> None:
        try:
            self._con.execute(statement)
        except duckdb.Error as error:
            raise FoldFailed(projection, statement, *batch[:3], str(error)) from error

    def _advance(self, batch: Batch) -> None:
        where = "from rookery.checkpoints where origin = ?"
        found = self._con.execute(f"select n {where}", [batch.origin]).fetchall()
        checkpoint = found[0][0] if found else 0
        if checkpoint != batch.first - 1:
            raise CheckpointConflict(batch.origin, batch.first, checkpoint)
        if found:
            self._con.execute("update rookery.checkpoints set n = ? where origin = ?", [batch.last, batch.origin])
        else:
            self._con.execute("insert into rookery.checkpoints values (?, ?)", [batch.origin, batch.last])

    def _roll_back(self) -> None:
        try:
            self._con.execute("rollback")
        except duckdb.Error:
            # A database that a fatal error closed has rolled back already; the first error is the one to tell.
            return

    def _create(self) -> None:
        self._con.execute("begin transaction")
        self._con.execute(_BOOKKEEPING)
        for projection in self._catalogue.projections:
            for statement in projection.creates:
                self._con.execute(statement)
        for ingredient in self._ingredients():
            self._con.execute("insert into rookery.made_from values (?, ?, ?)", list(ingredient))
        self._con.execute("commit")

    def _ingredients(self) -> list[tuple[str, int, str]]:
        schemas = "\n".join(relation.view for relation in relations().values())
        made_from = [(name, *recipe) for name, recipe in self._catalogue.fingerprints.items()]
        return sorted([*made_from, ("event schemas", 0, hashlib.sha256(schemas.encode()).hexdigest())])
