"""One version of the read models: an open database, and what folds events into it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import duckdb

from ..eventstore import Log
from .database import DamagedDatabase, Database, Resources
from .definitions import Catalogue
from .engine import Engine, Vector
from .errors import TablesOutdated
from .sidecars import SideCars


class Making(NamedTuple):
    """What tables are made from, and with."""

    log: Log
    catalogue: Catalogue
    resources: Resources
    scratch: Path
    side_cars: SideCars | None = None

    @property
    def readable(self) -> list[Path]:
        """Where DuckDB may read."""
        return [self.log.folder, *([self.side_cars.folder] if self.side_cars else [])]


class Tables:
    """Read models in a file that is open. `outdated`: why nothing can be folded into them any more, where that is so.

    `names` are the read models that can be asked: today's, as far as the tables have them, by the same key. `edition`
    tells these tables from any others.
    """

    def __init__(self, database: Database, making: Making) -> None:
        self.database = database
        connections = (database.con, database.cursor())
        self.engine = Engine(connections, making.catalogue, making.log, making.scratch, making.side_cars)
        self.edition = uuid4().hex
        self.outdated: TablesOutdated | None = None
        self._keys = {name: projection.key for name, projection in making.catalogue.by_name.items()}
        self.names = sorted(self._keys)
        self.is_open = True
        self._vector: Vector | None = None

    @classmethod
    def open(cls, path: Path, making: Making, *, disposable: bool = False, also_outdated: bool = False) -> Tables:
        """Open or create the tables in `path`; `disposable` ones are worth nothing until they are closed.

        Raises `TablesOutdated`, unless outdated ones will do, and what `Database.open` raises.
        """
        making.scratch.mkdir(exist_ok=True)
        database = Database.open(
            path,
            scratch=making.scratch,
            readable=making.readable,
            resources=making.resources,
            disposable=disposable,
        )
        try:
            tables = cls(database, making)
            tables._take_up(also_outdated=also_outdated)
        except BaseException:
            database.close()
            raise
        return tables

    def vector(self) -> Vector:
        """How far the tables are: the last folded n of each origin."""
        return self.engine.vector() if self._vector is None else dict(self._vector)

    def close(self) -> None:
        """Write everything into the one file, and close it."""
        self.engine.stop()
        self.is_open = False
        self.database.close()

    def abandon(self) -> None:
        """Close the file as it is, because another one takes its place."""
        self.engine.stop()
        self.is_open = False
        self.database.abandon()

    def _take_up(self, *, also_outdated: bool) -> None:
        try:
            self.engine.open()
        except TablesOutdated as outdated:
            if not also_outdated:
                raise
            self.outdated = outdated
            self._look_around()

    def _look_around(self) -> None:
        """See what outdated tables there are, and how far they are."""
        con = self.database.con
        try:
            self._vector = dict(con.execute("select origin, n from rookery.checkpoints").fetchall())
            found = con.execute("select table_name, column_name from information_schema.columns").fetchall()
        except duckdb.Error as error:
            raise DamagedDatabase(str(error)) from error
        there = {(name, "") for name, _ in found} | set(found)
        self.names = [name for name in self.names if {(name, column) for column in ("", *self._keys[name])} <= there]
