"""Answering SQL that anybody may send: one reading statement, for a limited time, in sight of nothing but the data."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from ..eventstore import Log
from .answers import Answer, read_answer
from .errors import QueryFailed, QueryRefused
from .relations import literal

Parameters = Sequence[Any] | Mapping[str, Any]

_EXPLAIN = re.compile(r"\s*explain\s+(?:analyze\s+)?(?:\([^)]*\)\s*)?", re.IGNORECASE)
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


def refuse_all_but_reading(text: str) -> str:
    """The one statement in `text`, if all it can do is read. Raises `QueryRefused`."""
    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise QueryRefused(str(error)) from None
    if len(statements) != 1:
        raise QueryRefused(f"one statement at a time, please; this is {len(statements)}")
    (statement,) = statements
    if statement.type == duckdb.StatementType.EXPLAIN:
        refuse_all_but_reading(_EXPLAIN.sub("", text, count=1))
    elif statement.type != duckdb.StatementType.SELECT:
        raise QueryRefused(f"only queries are answered, and this is {statement.type.name}; the log is the way to write")
    return str(statement.query)


def ask(
    cursor: duckdb.DuckDBPyConnection,
    log: Log,
    text: str,
    parameters: Parameters | None,
    *,
    limit: int,
    timeout_seconds: float,
) -> Answer:
    """The answer to one query, on a cursor that is used for nothing else. Raises `QueryRefused` or `QueryFailed`."""
    query = refuse_all_but_reading(text)
    with _interrupted_after(cursor, timeout_seconds):
        if not _NAMES_EVENTS.search(query):
            return _answer(cursor, query, parameters, limit)
        try:
            return _answer_about_events(cursor, log, query, parameters, limit)
        except duckdb.IOException:
            # A segment was sealed, and its file replaced, between our listing the files and reading them.
            return _answer_about_events(cursor, log, query, parameters, limit)


def _answer_about_events(
    cursor: duckdb.DuckDBPyConnection, log: Log, query: str, parameters: Parameters | None, limit: int
) -> Answer:
    cursor.execute(events_view(log.files()))
    return _answer(cursor, query, parameters, limit)


def _answer(cursor: duckdb.DuckDBPyConnection, query: str, parameters: Parameters | None, limit: int) -> Answer:
    cursor.execute("begin transaction read only")
    try:
        return read_answer(cursor.execute(query, parameters or None), limit)
    finally:
        cursor.execute("rollback")


def events_view(files: Sequence[Path]) -> str:
    """The statement that makes the log's files one relation. Lines that are no events have nothing but their address.

    The last line of the open file may be half written; it is left out until it is whole.
    """
    return (
        "create or replace temp view events as select origin, n, id, type, source, subject, time, data, "  # noqa: S608
        f"recordedtime as recorded_time, correlationid from ({_lines(files)}) where n is not null"
    )


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


@contextmanager
def _interrupted_after(cursor: duckdb.DuckDBPyConnection, timeout_seconds: float) -> Iterator[None]:
    timed_out = threading.Event()

    def interrupt() -> None:
        timed_out.set()
        cursor.interrupt()

    timer = threading.Timer(timeout_seconds, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.Error as error:
        if timed_out.is_set():
            raise QueryFailed(
                f"not done after {timeout_seconds:g} seconds; ask for less, or allow more time"
            ) from error
        raise QueryFailed(_reason(error)) from error
    finally:
        timer.cancel()


def _reason(error: duckdb.Error) -> str:
    if "pytz" in str(error):
        return "a TIMESTAMP WITH TIME ZONE can't be answered; cast it, as in `now()::timestamp`"
    return str(error)
