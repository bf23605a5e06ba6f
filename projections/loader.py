"""Brings a batch of events from the log into DuckDB, where folds select from it.

Sealed segments whose every line is valid today are read by DuckDB itself, several files at once. Everything else takes
the way through Python: checked, upcast, dead letters left out, written out in canonical form, and then read by the
same statement. Live folding, catching up and rebuilding all come through here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from ..eventstore import Log, Record, Segment
from ..schemas import InvalidEvent, check, type_of
from .errors import LoadFailed
from .relations import data_columns, events_view, literal, quoted, relations

SEGMENTS_PER_BATCH_MAX = 8
EVENTS_THROUGH_PYTHON_MAX = 65_536
# Opening a segment costs as much as sending this many of its events through Python.
EVENTS_WORTH_A_SEGMENT = 4_096

# Of digits beyond the microsecond, Python rounds and DuckDB cuts off.
_TIME_CHARS_MAX = len("2026-11-20T13:53:04.530453Z")
_ENVELOPE = {
    "n": "UBIGINT",
    "recordedtime": "TIMESTAMP",
    "id": "VARCHAR",
    "source": "VARCHAR",
    "type": "VARCHAR",
    "subject": "VARCHAR",
    "time": "VARCHAR",
    "correlationid": "VARCHAR",
}


class Batch(NamedTuple):
    """The events first to last of one origin. `paths`: the sealed segments that hold them, where DuckDB may read."""

    origin: str
    first: int
    last: int
    paths: tuple[Path, ...] = ()

    @property
    def events(self) -> int:
        """How many places in the log the batch covers."""
        return self.last - self.first + 1


def batches(log: Log, vector: dict[str, int], until: dict[str, int]) -> Iterator[Batch]:
    """What `log` holds beyond `vector`, as far as `until`, in batches of a bounded size, each origin in its order."""
    for origin, last in sorted(until.items()):
        after = vector.get(origin, 0)
        while after < last:
            batch = _next_batch(log, origin, after, last)
            yield batch
            after = batch.last


def create_views(con: duckdb.DuckDBPyConnection) -> None:
    """Create the relations over the batch that `load` loads: once per connection."""
    _create_batch(con, [], "", 1, 0)
    for view in (events_view(), *(relation.view for relation in relations().values())):
        con.execute(view)


def load(con: duckdb.DuckDBPyConnection, log: Log, batch: Batch, scratch: Path) -> frozenset[str]:
    """Load `batch` in place of the one before it; returns the relations that have events in it.

    Raises `LoadFailed`.
    """
    if not (batch.paths and _load_segments(con, batch)):
        _load_through_python(con, log, batch, scratch)
    by_type = {relation.type: relation.name for relation in relations().values()}
    return frozenset(by_type[name] for (name,) in con.execute("select distinct type from batch").fetchall())


def unload(con: duckdb.DuckDBPyConnection) -> None:
    """Let go of the batch's memory."""
    _create_batch(con, [], "", 1, 0)


def _next_batch(log: Log, origin: str, after: int, last: int) -> Batch:
    segments = log.segments(origin, after=after)
    paths = _readable(segments, after)
    if paths:
        return Batch(origin, after + 1, min(segments[len(paths) - 1].last, last), paths)
    boundary = segments[0].last if segments else last
    return Batch(origin, after + 1, min(boundary, last, after + EVENTS_THROUGH_PYTHON_MAX))


def _readable(segments: Sequence[Segment], after: int) -> tuple[Path, ...]:
    if not segments or segments[0].last - after < EVENTS_WORTH_A_SEGMENT:
        return ()
    plain = takewhile(lambda segment: segment.plain, segments[:SEGMENTS_PER_BATCH_MAX])
    return tuple(segment.path for segment in plain)


def _load_segments(con: duckdb.DuckDBPyConnection, batch: Batch) -> bool:
    """Whether DuckDB could read the segments by itself: where it finds a line odd, Python has the last word."""
    try:
        return _create_batch(con, batch.paths, batch.origin, batch.first, batch.last) == batch.events
    except duckdb.Error:
        return False


def _load_through_python(con: duckdb.DuckDBPyConnection, log: Log, batch: Batch, scratch: Path) -> None:
    records = log.read(batch.origin, after=batch.first - 1, limit=batch.events)
    with tempfile.NamedTemporaryFile(dir=scratch, suffix=".ndjson") as file:
        expected = 0
        for line in _canonical(records):
            file.write(line)
            expected += 1
        file.flush()
        try:
            loaded = _create_batch(con, [Path(file.name)], batch.origin, batch.first, batch.last)
        except duckdb.Error as error:
            raise LoadFailed(batch.origin, batch.first, batch.last, str(error)) from error
    if loaded != expected:
        reason = f"{expected} events went in, {loaded} arrived"
        raise LoadFailed(batch.origin, batch.first, batch.last, reason)


def _canonical(records: Iterable[Record]) -> Iterator[bytes]:
    """The events in the newest version of their shape, one line each; those that are none are left out."""
    encode = msgspec.json.Encoder().encode
    for record in records:
        if record.letter is not None:
            continue
        try:
            event, data = check(record.payload)
        except InvalidEvent:
            continue
        line = {
            "n": record.n,
            "recordedtime": record.recorded_time,
            "id": event.id,
            "source": event.source,
            "type": type_of(data),
            "subject": event.subject,
            "time": event.time,
            "correlationid": event.correlationid,
            "data": data,
        }
        yield encode(line) + b"\n"


def _create_batch(con: duckdb.DuckDBPyConnection, paths: Sequence[Path], origin: str, first: int, last: int) -> int:
    """Make the table `batch` of what these files hold in the range; returns its number of rows."""
    envelope = ", ".join(map(quoted, _ENVELOPE)).replace('"time"', '"time"::timestamp as "time"')
    data = ", ".join(f"data.{quoted(name)} as {quoted(name)}" for name in data_columns())
    con.execute(
        f"create or replace temp table batch as select {literal(origin)} as origin, {envelope}, {data} "  # noqa: S608
        f"from {_lines(paths)} where n between {first} and {last} and length(time) <= {_TIME_CHARS_MAX}"
    )
    ((rows,),) = con.execute("select count(*) from batch").fetchall()
    return int(rows)


def _lines(paths: Sequence[Path]) -> str:
    struct = ", ".join(f"{quoted(name)} {sql_type}" for name, sql_type in data_columns().items())
    columns = _ENVELOPE | {"data": f"struct({struct})"}
    if not paths:
        return "(select " + ", ".join(f"null::{sql_type} as {quoted(name)}" for name, sql_type in columns.items()) + ")"
    files = ", ".join(literal(str(path)) for path in paths)
    typed = ", ".join(f"{quoted(name)}: {literal(sql_type)}" for name, sql_type in columns.items())
    return f"read_ndjson([{files}], columns = {{{typed}}}, auto_detect = false)"
