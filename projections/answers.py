"""What a query answers: columns, and rows of values that JSON can carry without losing any of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import msgspec

from .errors import AnswerTooLarge

ANSWER_BYTES_MAX = 256 * 1024 * 1024
# So many at a time, so that an answer's size is known before all of it is here; of values that have parts, each alone.
FETCHED_ROWS = 256
VALUE_BYTES = 8  # what a value counts that is no text

_HAS_PARTS = re.compile(r"\[\d*\]$|^(?:STRUCT|MAP|UNION|VARIANT)\b")


class Column(NamedTuple):
    """A column of an answer or a read model, with its SQL type."""

    name: str
    type: str
    description: str = ""


class Answer(NamedTuple):
    """Rows as lists, in the order of `columns`. `truncated`: there were more rows than the limit allowed.

    `next` is the cursor of the page behind this one, where there is one and cursors are.

    Decimals are strings of plain digits without trailing zeros ("0.0034375"), timestamps RFC 3339 in UTC, dates ISO
    8601, JSON the object that it says, intervals seconds, and bytes base64. NaN and infinity are null.
    """

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool = False
    next: str | None = None

    def records(self) -> list[dict[str, Any]]:
        """The rows as objects."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.rows]


def read_answer(result: duckdb.DuckDBPyConnection, limit: int) -> Answer:
    """At most `limit` rows of a result. Raises `AnswerTooLarge`."""
    columns = columns_of(result.description)
    is_json = [column.type == "JSON" for column in columns]
    at_once = 1 if any(_HAS_PARTS.search(column.type) for column in columns) else FETCHED_ROWS
    rows: list[list[Any]] = []
    size_bytes = 0
    while len(rows) <= limit and (fetched := result.fetchmany(min(limit + 1 - len(rows), at_once))):
        size_bytes += sum(_size(value) for row in fetched for value in row)
        if size_bytes > ANSWER_BYTES_MAX:
            raise AnswerTooLarge(ANSWER_BYTES_MAX)
        rows += [[_parsed(v) if json else plain(v) for v, json in zip(row, is_json, strict=True)] for row in fetched]
    return Answer(columns, rows[:limit], truncated=len(rows) > limit)


def plain(value: Any) -> Any:
    """A value of DuckDB's as JSON can carry it."""
    if value is None or isinstance(value, str | int):
        return value
    convert = _CONVERSIONS.get(type(value))
    return convert(value) if convert else str(value)


def digits(amount: Decimal) -> str:
    """A decimal in plain digits, without trailing zeros: never rounded, never `1E+2`."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def columns_of(description: Sequence[Sequence[Any]]) -> list[Column]:
    """A result's columns; those of the same name are told apart."""
    taken = {name for name, *_ in description}
    told: set[str] = set()
    columns = []
    for name, sql_type, *_ in description:
        unique, number = name, 0
        while unique in told or (number and unique in taken):
            number += 1
            unique = f"{name}_{number}"
        told.add(unique)
        columns.append(Column(unique, str(sql_type)))
    return columns


def _size(value: Any) -> int:
    """About how many bytes a value takes, with all its parts."""
    if isinstance(value, str | bytes):
        return max(len(value), VALUE_BYTES)
    if isinstance(value, list | tuple):
        return VALUE_BYTES + sum(map(_size, value))
    if isinstance(value, dict):
        return VALUE_BYTES + sum(map(_size, value.keys())) + sum(map(_size, value.values()))
    return VALUE_BYTES


def _parsed(text: str | None) -> Any:
    try:
        return None if text is None else msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


_CONVERSIONS: dict[type, Any] = {
    float: lambda value: value if math.isfinite(value) else None,
    Decimal: digits,
    datetime: lambda value: _utc(value).isoformat(timespec="microseconds") + "Z",
    date: date.isoformat,
    time: time.isoformat,
    timedelta: timedelta.total_seconds,
    bytes: lambda value: msgspec.to_builtins(value),
    list: lambda value: [plain(item) for item in value],
    tuple: lambda value: [plain(item) for item in value],
    dict: lambda value: {str(key): plain(item) for key, item in value.items()},
}
