"""Brings events from the log to where folds select from them: the relation `events`, and a view of it per event type.

Where sealed segments have side-cars, `events` is a view over those, and every fold reads the columns that it names of
the types that it folds, and nothing else. Other events become a table, and those of sealed segments one of their types'
columns alone, with a view over it. Live folding, catching up, rebuilding and looking into the past all come through
here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import duckdb

from ..eventstore import Log, Segment
from .errors import LoadFailed, QueryFailed
from .leash import Leash
from .lines import NOTHING, Batch, Lines, make_view, stored_as
from .relations import literal, quoted, relations
from .selection import Selection
from .sidecars import SideCars

SEGMENTS_PER_BATCH_MAX = 8
SIDE_CARS_PER_BATCH_MAX = 48  # planning is a tenth of folding 16
EVENTS_THROUGH_PYTHON_MAX = 65_536
# Opening a segment costs as much as sending this many of its events through Python.
EVENTS_WORTH_A_SEGMENT = 4_096

__all__ = ["Batch", "Loader", "batches"]


def batches(
    log: Log, vector: dict[str, int], until: dict[str, int], side_cars: SideCars | None = None
) -> Iterator[Batch]:
    """What `log` holds beyond `vector`, as far as `until`, in batches of a bounded size, each origin in its order."""
    for origin, last in sorted(until.items()):
        after = vector.get(origin, 0)
        while after < last:
            batch = _next_batch(log, origin, after, last, side_cars)
            yield batch
            after = batch.last


class Loader:
    """Loads batches of a log into connections, one batch into each at a time; `selection` says which columns."""

    def __init__(self, log: Log, selection: Selection, scratch: Path, side_cars: SideCars | None = None) -> None:
        self._log = log
        self._selection = selection
        self._side_cars = side_cars
        self._lines = Lines(log, selection, scratch)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Create the relations over a batch: once per connection."""
        self.unload(con)
        for view in self._selection.views():
            con.execute(view)

    def load(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str]:
        """Load `batch` in place of the one before it; returns the relations that have events in it.

        Raises `LoadFailed`.
        """
        load = self._load_side_cars if batch.columnar else self._lines.load
        return _relations_of(load(con, batch))

    def spread(
        self, con: duckdb.DuckDBPyConnection, after: dict[str, int], until: dict[str, int], leash: Leash | None = None
    ) -> None:
        """Make everything between two vectors one relation, in place of a batch.

        Side-cars that are missing are made first, as far as `leash` reaches: who asks again finds them. What is not
        sealed yet, at most a few segments, becomes a table. Raises `SideCarFailed`, `LoadFailed` or `QueryFailed`.
        """
        spans = ((origin, after.get(origin, 0), last) for origin, last in sorted(until.items()))
        parts = [part for span in spans for part in self._parts(con, *span, leash or Leash())]
        if parts:
            make_view(con, "events", " union all ".join(parts))
        else:
            self.unload(con)

    def unload(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let go of the batch's memory."""
        self._lines.load(con, NOTHING)
        con.execute(f"drop table if exists temp.{stored_as('events')}")

    def _load_side_cars(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str]:
        try:
            make_view(con, "events", self._kept(batch))
            return _types(con)
        except duckdb.Error as error:
            raise LoadFailed(batch.origin, batch.first, batch.last, str(error)) from error

    def _parts(self, con: duckdb.DuckDBPyConnection, origin: str, after: int, last: int, leash: Leash) -> Iterator[str]:
        """The selections that together are an origin's events after `after`, up to `last`."""
        sealed = [segment for segment in self._log.segments(origin, after=after) if segment.first <= last]
        if sealed and self._side_cars:
            batch = _batch_of(sealed, list(_made(self._side_cars, sealed, leash)), after, last)
            yield self._kept(batch)
            after = batch.last
        if after < last:
            table = quoted(f"unsealed {origin}")
            batch = Batch(origin, after + 1, last, _unsealed(self._log, origin, after, last))
            self._lines.load(con, batch, table)
            yield f"from {table}"

    def _kept(self, batch: Batch) -> str:
        """The selection of a batch's events from its side-cars. To look at every n costs a tenth of a fold."""
        columns = ", ".join(f"{sql} as {quoted(name)}" for name, sql in self._selection.kept_columns().items())
        files = ", ".join(literal(str(path)) for path in batch.paths)
        within = "" if batch.whole else f" where n between {batch.first} and {batch.last}"
        return f"select {columns} from read_parquet([{files}]){within}"  # noqa: S608


def _made(side_cars: SideCars, segments: Iterable[Segment], leash: Leash) -> Iterator[Path]:
    for segment in segments:
        if leash.reason:
            raise QueryFailed(leash.reason)
        yield side_cars.make(segment)


def _next_batch(log: Log, origin: str, after: int, last: int, side_cars: SideCars | None) -> Batch:
    segments = log.segments(origin, after=after, limit=max(SIDE_CARS_PER_BATCH_MAX, SEGMENTS_PER_BATCH_MAX))
    if not segments:
        last = min(last, after + EVENTS_THROUGH_PYTHON_MAX)
        return Batch(origin, after + 1, last, _unsealed(log, origin, after, last))
    if segments[0].last - after < EVENTS_WORTH_A_SEGMENT:
        return Batch(origin, after + 1, min(segments[0].last, last))
    if side_cars and (paths := _leading(side_cars.current, segments[:SIDE_CARS_PER_BATCH_MAX], last)):
        return _batch_of(segments, paths, after, last)
    if paths := _leading(_plain, segments[:SEGMENTS_PER_BATCH_MAX], last):
        read = segments[: len(paths)]
        types = frozenset(name for segment in read for name in segment.summary().types)
        return Batch(origin, after + 1, min(read[-1].last, last), tuple(paths), types=types)
    return Batch(origin, after + 1, min(segments[0].last, last, after + EVENTS_THROUGH_PYTHON_MAX))


def _unsealed(log: Log, origin: str, after: int, last: int) -> tuple[Path, ...]:
    """The files that hold these events and are not sealed yet, where it is worth letting DuckDB read them."""
    return tuple(log.unsealed(origin, after=after)) if last - after >= EVENTS_WORTH_A_SEGMENT else ()


def _batch_of(segments: Sequence[Segment], side_cars: Sequence[Path], after: int, last: int) -> Batch:
    """What the first of these segments hold beyond `after`, up to `last`, when these are their side-cars."""
    first, end = segments[0], segments[len(side_cars) - 1].last
    whole = first.first == after + 1 and end <= last
    return Batch(first.origin, after + 1, min(end, last), tuple(side_cars), columnar=True, whole=whole)


def _leading(file_of: Callable[[Segment], Path | None], segments: Sequence[Segment], last: int) -> list[Path]:
    """The files of the first segments that begin by `last`, as far as they all have one."""
    found = map(file_of, takewhile(lambda segment: segment.first <= last, segments))
    return [path for path in takewhile(lambda path: path is not None, found) if path is not None]


def _plain(segment: Segment) -> Path | None:
    return segment.path if segment.plain else None


def _types(con: duckdb.DuckDBPyConnection) -> frozenset[str]:
    return frozenset(name for (name,) in con.execute("select distinct type from events").fetchall())


def _relations_of(types: frozenset[str]) -> frozenset[str]:
    return frozenset(relation.name for relation in relations().values() if relation.type in types)
