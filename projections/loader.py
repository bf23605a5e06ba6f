"""Brings a batch of events from the log into DuckDB, where folds select from it.

Sealed segments whose every line is valid today are read by DuckDB itself, several files at once. Everything else takes
the way through Python: checked, upcast, dead letters left out, written out in canonical form, and then read by the
same statement. Live folding, catching up and rebuilding all come through here.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from ..eventstore import Log, Record, Segment
from ..schemas import InvalidEvent, check, type_of
from .errors import LoadFailed
from .relations import literal, quoted, relations
from .selection import Selection

SEGMENTS_PER_BATCH_MAX = 8
EVENTS_THROUGH_PYTHON_MAX = 65_536
# Opening a segment costs as much as sending this many of its events through Python.
EVENTS_WORTH_A_SEGMENT = 4_096

# Of digits beyond the microsecond, Python rounds and DuckDB cuts off.
_TIME_CHARS_MAX = len("2026-11-20T13:53:04.530453Z")
_LINE = {
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


class Loader:
    """Loads batches of a log into connections, one batch into each at a time; `selection` says which columns."""

    def __init__(self, log: Log, selection: Selection, scratch: Path) -> None:
        self._log = log
        self._selection = selection
        self._scratch = scratch

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Create the relations over a batch: once per connection."""
        self.unload(con)
        for view in self._selection.views():
            con.execute(view)

    def load(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str]:
        """Load `batch` in place of the one before it; returns the relations that have events in it.

        Raises `LoadFailed`.
        """
        types = self._load_segments(con, batch) or self._load_through_python(con, batch)
        return frozenset(relation.name for relation in relations().values() if relation.type in types)

    def unload(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let go of the batch's memory."""
        self._create_events(con, Batch("", 1, 0), (), ())

    def _load_segments(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str] | None:
        """The types of what DuckDB could read by itself. Where it finds a line odd, None: Python has the last word."""
        if not batch.paths:
            return None
        try:
            arrived = self._create_events(con, batch, batch.paths, self._selection.data.keys())
            types = con.execute("select distinct type from events").fetchall()
        except duckdb.Error:
            return None
        return frozenset(name for (name,) in types) if arrived == batch.events else None

    def _load_through_python(self, con: duckdb.DuckDBPyConnection, batch: Batch) -> frozenset[str]:
        records = self._log.read(batch.origin, after=batch.first - 1, limit=batch.events)
        with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".ndjson") as file:
            written: Counter[str] = Counter()
            for wire_type, line in _canonical(records):
                file.write(line)
                written[wire_type] += 1
            file.flush()
            try:
                arrived = self._create_events(con, batch, [Path(file.name)], self._selection.fields_of(written))
            except duckdb.Error as error:
                raise LoadFailed(batch.origin, batch.first, batch.last, str(error)) from error
        if arrived != written.total():
            reason = f"{written.total()} events went in, {arrived} arrived"
            raise LoadFailed(batch.origin, batch.first, batch.last, reason)
        return frozenset(relation.type for relation in relations().values() if relation.wire_type in written)

    def _create_events(
        self, con: duckdb.DuckDBPyConnection, batch: Batch, paths: Sequence[Path], fields: Collection[str]
    ) -> int:
        """Make the table `events` of what these files hold of the batch; returns how many events those are.

        `fields` are those that the events may have: for few events, to read any others takes more time than the rest.
        """
        columns = self._selection.columns(fields)
        selected = ", ".join(f"{expression} as {quoted(name)}" for name, expression in columns.items())
        ((arrived,),) = con.execute(
            f"create or replace temp table events as select {selected} from ("  # noqa: S608
            f'select * replace ("time"::timestamp as "time"), {literal(batch.origin)} as origin '
            f"from {self._lines(paths, fields)} "
            f"where n between {batch.first} and {batch.last} and length(time) <= {_TIME_CHARS_MAX})"
        ).fetchall()
        return int(arrived)

    def _lines(self, paths: Sequence[Path], fields: Collection[str]) -> str:
        columns = {name: _LINE[name] for name in {"n", "time", *self._selection.drawn_on(_LINE)}}
        if fields:
            data = (f"{quoted(name)} {sql_type}" for name, sql_type in self._selection.data.items() if name in fields)
            columns["data"] = f"struct({', '.join(data)})"
        if not paths:
            nulls = (f"null::{sql_type} as {quoted(name)}" for name, sql_type in columns.items())
            return f"(select {', '.join(nulls)})"
        files = ", ".join(literal(str(path)) for path in paths)
        typed = ", ".join(f"{quoted(name)}: {literal(sql_type)}" for name, sql_type in columns.items())
        return f"read_ndjson([{files}], columns = {{{typed}}}, auto_detect = false)"


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


def _canonical(records: Iterable[Record]) -> Iterator[tuple[str, bytes]]:
    """The events in the newest version of their shape, with its name; those that are none are left out."""
    encode = msgspec.json.Encoder().encode
    for record in records:
        if record.letter is not None:
            continue
        try:
            event, data = check(record.payload)
        except InvalidEvent:
            continue
        wire_type = type_of(data)
        line = {
            "n": record.n,
            "recordedtime": record.recorded_time,
            "id": event.id,
            "source": event.source,
            "type": wire_type,
            "subject": event.subject,
            "time": event.time,
            "correlationid": event.correlationid,
            "data": data,
        }
        yield wire_type, encode(line) + b"\n"
