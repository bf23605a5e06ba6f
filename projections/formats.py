"""Answers in the formats that programs read: NDJSON and CSV from rows, Arrow and Parquet straight from DuckDB.

Decimals are exact in each of them: plain digits in text, `decimal128` in Arrow and Parquet. In these two, integers
that are wider than 64 bits are decimals as well, and intervals are seconds.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeGuard
from uuid import uuid4

import duckdb
import msgspec

from .answers import ANSWER_BYTES_MAX, Answer, columns_of
from .errors import AnswerTooLarge
from .relations import literal, quoted

_WIDE = re.compile(r"\bU?HUGEINT\b")
_AS_TEXT = re.compile(r"ENUM\(.*\)|JSON|UUID|BIT|BIGNUM|VARIANT|UNION\(.*\)|TIME WITH TIME ZONE|\"NULL\"")


BinaryFormat = Literal["arrow", "parquet"]


class Encoded(NamedTuple):
    """An answer's bytes. `truncated` and `next` are as in `Answer`."""

    content: bytes
    truncated: bool = False
    next: str | None = None


class Selection(NamedTuple):
    """A query as part of ours: in parentheses, with its parameters."""

    subquery: str
    parameters: Any
    limit: int


def is_binary(name: str) -> TypeGuard[BinaryFormat]:
    """Whether DuckDB itself writes that format."""
    return name in ("arrow", "parquet")


def ndjson(answer: Answer) -> bytes:
    """One JSON object a line."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in answer.records())


def csv_text(answer: Answer) -> bytes:
    """CSV by RFC 4180, with a header. Null is nothing, and what has parts is JSON."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([column.name for column in answer.columns])
    writer.writerows([_cell(value) for value in row] for row in answer.rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def arrow(cursor: duckdb.DuckDBPyConnection, selection: Selection) -> Encoded:
    """An Arrow IPC stream. Raises `AnswerTooLarge`."""
    # Loaded where Arrow is asked for, and not before.
    import nanoarrow.ipc  # type: ignore[import-untyped]
    from nanoarrow.c_array_stream import CArrayStream  # type: ignore[import-untyped]

    stream = nanoarrow.c_array_stream(cursor.sql(_typed(cursor, selection), params=selection.parameters or None))
    written = io.BytesIO()
    rows = 0
    with nanoarrow.ipc.StreamWriter.from_writable(written) as writer:
        # The schema by itself, because there may be no rows.
        writer.write_stream(CArrayStream.from_c_arrays([], stream.get_schema()))
        for batch in stream:
            rows += len(batch)
            writer.write_array(batch)
            if written.tell() > ANSWER_BYTES_MAX:
                raise AnswerTooLarge(ANSWER_BYTES_MAX)
    return Encoded(written.getvalue(), _is_truncated(cursor, selection, rows))


def parquet(cursor: duckdb.DuckDBPyConnection, selection: Selection, *, folder: Path) -> Encoded:
    """A Parquet file, by way of `folder`, where DuckDB may write. Raises `AnswerTooLarge`."""
    path = folder / f"answer-{uuid4()}.parquet"
    copy = f"copy ({_typed(cursor, selection)}) to {literal(str(path))} (format parquet, compression zstd)"
    try:
        ((rows,),) = cursor.execute(copy, selection.parameters or None).fetchall()
        if path.stat().st_size > ANSWER_BYTES_MAX:
            raise AnswerTooLarge(ANSWER_BYTES_MAX)
        content = path.read_bytes()
    finally:
        path.unlink(missing_ok=True)
    return Encoded(content, _is_truncated(cursor, selection, rows))


def _typed(cursor: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """The query, its columns told apart and of types that both formats carry without loss."""
    subquery, parameters, limit = selection
    described = cursor.execute(f"from {subquery} limit 0", parameters or None).description
    names = [f"c{index}" for index, _ in enumerate(described)]
    columns = zip(names, columns_of(described), strict=True)
    selected = ", ".join(f"{_carried(name, column.type)} as {quoted(column.name)}" for name, column in columns)
    return f"select {selected} from {subquery} as answer({', '.join(names)}) limit {limit}"  # noqa: S608


def _carried(name: str, sql_type: str) -> str:
    if sql_type == "INTERVAL":
        return f"epoch({name})"
    if _AS_TEXT.fullmatch(sql_type):
        return f"{name}::varchar"
    wide = _WIDE.sub("DECIMAL(38,0)", sql_type)
    return name if wide == sql_type else f"{name}::{wide}"


def _is_truncated(cursor: duckdb.DuckDBPyConnection, selection: Selection, rows: int) -> bool:
    """Whether there was more than the limit let through: both formats have no room for one row more."""
    subquery, parameters, limit = selection
    if rows < limit:
        return False
    more = f"select count(*) from (from {subquery} limit {limit + 1})"  # noqa: S608
    ((found,),) = cursor.execute(more, parameters or None).fetchall()
    return bool(found > limit)


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    return msgspec.json.encode(value).decode()
