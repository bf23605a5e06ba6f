"""Rebuilding: tables that are made beside the live ones, level with the log, and fit to take their place."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import duckdb

from .database import DamagedDatabase
from .digests import digests
from .engine import Progress, Vector
from .errors import DatabaseUnusable, RebuildAbandoned, RebuildFailed
from .tables import Tables

logger = logging.getLogger(__name__)


class RebuildReport(NamedTuple):
    """What a rebuild did, and how long it took, not counting the comparison with the live tables.

    The digests are of the same events; they differ only if the live tables were wrong. There are none of live tables
    that could not be compared: outdated ones, and those that were rolled back.
    """

    events: int
    seconds: float
    digests_before: dict[str, str]
    digests_after: dict[str, str]

    @property
    def changed(self) -> list[str]:
        """The read models that came out otherwise than they were."""
        return sorted(name for name, after in self.digests_after.items() if self.digests_before.get(name) != after)


class Successor:
    """Tables that may become the live ones. `events`: how many were folded into them."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.events = 0
        self._is_stopped = False

    def reach(self, target: Vector, progress: Progress | None = None) -> None:
        """Fold everything up to `target`. Raises `RebuildAbandoned` if stopped before, `LoadFailed` or `FoldFailed`."""
        self.events += self.tables.engine.catch_up(target, progress)
        vector = self.tables.vector()
        if self._is_stopped or any(vector.get(origin, 0) < n for origin, n in target.items()):
            raise RebuildAbandoned

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """The digests of its tables. Raises `RebuildAbandoned` if stopped meanwhile."""
        return digests(self.tables.database.con, self._unless_stopped(names))

    def digests_of(self, live: duckdb.DuckDBPyConnection, names: Iterable[str]) -> dict[str, str]:
        """Those of the live tables, to compare with; none if they are past telling. Raises `RebuildAbandoned`, too."""
        try:
            return digests(live, self._unless_stopped(names))
        except duckdb.Error as error:
            logger.warning("the live read models can't be compared with the rebuilt ones: %s", error)
            return {}

    def write(self) -> None:
        """Write everything into the file. Once that is done, doing it again takes little time."""
        self.tables.database.con.execute("checkpoint")

    def stop(self) -> None:
        """Let it come to nothing, soon."""
        self._is_stopped = True
        self.tables.engine.stop()

    def _unless_stopped(self, names: Iterable[str]) -> Iterator[str]:
        for name in names:
            if self._is_stopped:
                raise RebuildAbandoned
            yield name


@contextmanager
def told() -> Iterator[None]:
    """Make what DuckDB and the disk raise a `RebuildFailed`: that the live tables are sound is worth saying."""
    try:
        yield
    except (duckdb.Error, DamagedDatabase, DatabaseUnusable, OSError) as error:
        raise RebuildFailed(str(error)) from error
