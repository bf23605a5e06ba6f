"""Answering SQL that anybody may send: one reading statement, for a limited time, in sight of nothing but the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from .leash import Leash
from .relations import literal
from .sandbox import refuse_all_but_reading

Result = TypeVar("Result")
Parameters = Sequence[Any] | Mapping[str, Any]
# What reads an answer from a cursor, all of it before it returns.
Read = Callable[[duckdb.DuckDBPyConnection], Result]

_NAMES_EVENTS = re.compile(r"\bevents\b", re.IGNORECASE)
_EVENT_COLUMNS = {
    "n": "UBIGINT",
    "id": "VARCHAR",
    "type": "VARCHAR",
    "source": "VARCHAR",
    "subject": "VARCHAR",
    "time": "TIMESTAMP",
    "recordedtime": "TIMESTAMP",
    "correlationid": "VARCHAR",
    "data": "JSON",
}


def ask(cursor: duckdb.DuckDBPyConnection, read: Read[Result], leash: Leash) -> Result:
    """What `read` makes of the tables as they are at one moment, on a cursor that is used for nothing else.

    Raises `QueryRefused` or `QueryFailed`.
    """
    with leash.holding(cursor):
        return _at_one_moment(cursor, read)


def ask_in_sql(
    cursor: duckdb.DuckDBPyConnection,
    events: Callable[[], str],
    text: str,
    read: Callable[[str], Read[Result]],
    leash: Leash,
) -> Result:
    """What `read` makes of a statement that anybody may have sent, where it is found to be one query.

    It sees the log too, as `events`, which the statement that `events` returns creates. Raises `QueryRefused` or
    `QueryFailed`.
    """
    with leash.holding(cursor):
        query = refuse_all_but_reading(cursor, text)
        if not _NAMES_EVENTS.search(query):
            return _at_one_moment(cursor, read(query))
        try:
            return _beside_events(cursor, events(), read(query))
        except duckdb.IOException:
            # A segment was sealed, and its file replaced, between our listing the files and reading them.
            return _beside_events(cursor, events(), read(query))


def _beside_events(cursor: duckdb.DuckDBPyConnection, events: str, read: Read[Result]) -> Result:
    cursor.execute(events)
    return _at_one_moment(cursor, read)


def _at_one_moment(cursor: duckdb.DuckDBPyConnection, read: Read[Result]) -> Result:
    cursor.execute("begin transaction read only")
    try:
        return read(cursor)
    finally:
        with suppress(duckdb.Error):  # an Arrow stream that failed may still be open; the cursor is closed next
            cursor.execute("rollback")


def events_view(files: Sequence[Path], *, until: Mapping[str, int] | None = None) -> str:
    """The statement that makes the log's files one relation, as far as `until`.

    Lines that are no events have nothing but their address. The last line of the open file may be half written; it is
    left out until it is whole.
    """
    within = ""
    if until is not None:
        within = f" and ({_within(until)})"
        files = [path for path in files if _first(path) <= until.get(path.parent.name, 0)]
    return (
        "create or replace temp view events as select origin, n, id, type, source, subject, time, data, "  # noqa: S608
        f"recordedtime as recorded_time, correlationid from ({_lines(files)}) where n is not null{within}"
    )


def _first(path: Path) -> int:
    """The n that a file of the log begins with, by its name."""
    return int(path.name.partition(".")[0])


def _within(until: Mapping[str, int]) -> str:
    return " or ".join(f"(origin = {literal(origin)} and n <= {n})" for origin, n in until.items()) or "false"


def _lines(files: Sequence[Path]) -> str:
    if not files:
        return (
            f"select null as origin, {', '.join(f'null::{sql_type} as {n}' for n, sql_type in _EVENT_COLUMNS.items())}"
        )
    columns = ", ".join(f"{name}: {literal(sql_type)}" for name, sql_type in _EVENT_COLUMNS.items())
    paths = ", ".join(literal(str(path)) for path in files)
    return (
        f"select *, split_part(filename, '/', -2) as origin from read_ndjson([{paths}], columns = {{{columns}}}, "  # noqa: S608
        "filename = true, ignore_errors = true, auto_detect = false)"
    )
