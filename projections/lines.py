"""Brings a batch of the log's lines into a table in DuckDB: every event typed, and in the newest version of its shape.

Sealed segments whose every line is valid today are read by DuckDB itself, several files at once. Everything else takes
the way through Python: checked, upcast, dead letters left out, written out in canonical form, and then read by the
same statement.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from ..eventstore import Log, Record
from ..schemas import InvalidEvent, check, type_of
from .errors import LoadFailed
from .relations import literal, quoted, relations
from .selection import Selection

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
    """The events first to last of one origin.

    `paths`: the sealed segments that hold them, where DuckDB may read those; or else, of a batch that is `columnar`,
    those segments' side-cars. `whole`: there is nothing in these besides. `types`: those on the wire, where they are
    known, and maybe others.
    """

    origin: str
    first: int
    last: int
    paths: tuple[Path, ...] = ()
    columnar: bool = False
    whole: bool = False
    types: frozenset[str] = frozenset()

    @property
    def events(self) -> int:
        """How many places in the log the batch covers."""
        return self.last - self.first + 1


NOTHING = Batch("", 1, 0)


class Lines:
    """Makes tables of lines; `selection` says of which columns."""

    def __init__(self, log: Log, selection: Selection, scratch: Path) -> None:
        self._log = log
        self._selection = selection
        self._scratch = scratch

    def load(self, con: duckdb.DuckDBPyConnection, batch: Batch, table: str = "events") -> frozenset[str]:
        """Make the temporary table of `batch`; returns the types of the events in it. Raises `LoadFailed`."""
        if batch == NOTHING:
            self._create(con, table, batch, (), ())
            return frozenset()
        return self._load_segments(con, batch, table) or self._load_through_python(con, batch, table)

    def _load_segments(self, con: duckdb.DuckDBPyConnection, batch: Batch, table: str) -> frozenset[str] | None:
        """The types of what DuckDB could read by itself. Where it finds a line odd, None: Python has the last word."""
        if not batch.paths:
            return None
        try:
            arrived = self._create_segments(con, table, batch)
            types = frozenset(name for (name,) in con.execute(f"select distinct type from {table}").fetchall())  # noqa: S608
        except duckdb.Error:
            return None
        is_as_told = not batch.types or types <= _unversioned(batch.types)
        return types if arrived == batch.events and is_as_told else None

    def _create_segments(self, con: duckdb.DuckDBPyConnection, table: str, batch: Batch) -> int:
        """The same as `_create`. Columns that no type of the batch has are nowhere but in a view: they cost a third."""
        if not batch.types:
            return self._create(con, table, batch, batch.paths, self._selection.data.keys())
        fields = self._selection.fields_of(batch.types)
        columns, stored = self._selection.columns_to_keep(fields), stored_as(table)
        arrived = self._create(con, stored, batch, batch.paths, fields, columns)
        kept = ", ".join(f"{sql} as {quoted(name)}" for name, sql in self._selection.kept_columns(fields).items())
        make_view(con, table, f"select {kept} from {stored}")  # noqa: S608
        return arrived

    def _load_through_python(self, con: duckdb.DuckDBPyConnection, batch: Batch, table: str) -> frozenset[str]:
        records = self._log.read(batch.origin, after=batch.first - 1, limit=batch.events)
        with tempfile.NamedTemporaryFile(dir=self._scratch, suffix=".ndjson") as file:
            written: Counter[str] = Counter()
            for wire_type, line in _canonical(records):
                file.write(line)
                written[wire_type] += 1
            file.flush()
            try:
                arrived = self._create(con, table, batch, [Path(file.name)], self._selection.fields_of(written))
            except duckdb.Error as error:
                raise LoadFailed(batch.origin, batch.first, batch.last, str(error)) from error
        if arrived != written.total():
            reason = f"{written.total()} events went in, {arrived} arrived"
            raise LoadFailed(batch.origin, batch.first, batch.last, reason)
        return _unversioned(written)

    def _create(
        self,
        con: duckdb.DuckDBPyConnection,
        table: str,
        batch: Batch,
        paths: Sequence[Path],
        fields: Collection[str],
        columns: Mapping[str, str] | None = None,
    ) -> int:
        """Make the table of what these files hold of the batch; returns how many events those are.

        `fields` are those that the events may have: for few events, to read any others takes more time than the rest.
        `columns` are the table's, if not all that there are.
        """
        made = self._selection.columns(fields) if columns is None else columns
        selected = ", ".join(f"{expression} as {quoted(name)}" for name, expression in made.items())
        with suppress(duckdb.CatalogException):  # it is a table already, or nothing
            con.execute(f"drop view temp.{table}")
        ((arrived,),) = con.execute(
            f"create or replace temp table {table} as select {selected} from ("  # noqa: S608
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


def make_view(con: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """Make a temporary view, where a table may have been."""
    with suppress(duckdb.CatalogException):  # it is a view already, or nothing
        con.execute(f"drop table temp.{name}")
    con.execute(f"create or replace temp view {name} as {query}")


def stored_as(table: str) -> str:
    """The name of the table over which `table` is a view."""
    return quoted(f"stored {table}")


def _unversioned(wire_types: Collection[str]) -> frozenset[str]:
    return frozenset(relation.type for relation in relations().values() if relation.wire_type in wire_types)


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
