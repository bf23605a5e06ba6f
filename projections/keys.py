"""Rows by their key: its parts as people write them, made into a question, and the nearest keys that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import duckdb

from .answers import Column
from .errors import InvalidKey
from .filters import Condition, Question
from .relations import quoted

NEAREST_MAX = 3
NEAREST_SIMILARITY_MIN = 0.7
# Nobody waits long to hear of a slip of the pen: among more rows than these, one that is nearer may be missed.
NEAREST_AMONG_ROWS_MAX = 20_000
LIKENED_CHARACTERS_MAX = 256


class KeyPart(NamedTuple):
    """One column of a row's key. `value`: as an answer has it, or of the column's type."""

    column: str
    sql_type: str
    value: Any


def question_for(name: str, key: Sequence[str], parts: Sequence[str]) -> Question:
    """What asks for the one row whose key has these parts; an empty one is NULL. Raises `InvalidKey`."""
    if not key or len(parts) != len(key):
        raise InvalidKey(name, key, parts)
    return Question(tuple(_condition(column, part) for column, part in zip(key, parts, strict=True)))


def nearest(cursor: duckdb.DuckDBPyConnection, name: str, key: Sequence[str], parts: Sequence[str]) -> list[list[str]]:
    """The keys most like one that no row has, the nearest first."""
    asked = ",".join(parts)
    if len(asked) > LIKENED_CHARACTERS_MAX:
        return []
    texts = ", ".join(f"coalesce({quoted(column)}::varchar, '')" for column in key)
    found = cursor.execute(
        f"from (select distinct [{texts}] as parts from {quoted(name)} limit {NEAREST_AMONG_ROWS_MAX}) "  # noqa: S608
        "select parts, jaro_winkler_similarity(array_to_string(parts, ','), ?) as similarity "
        f"where similarity >= {NEAREST_SIMILARITY_MIN} order by similarity desc, parts limit {NEAREST_MAX}",
        [asked],
    )
    return [parts for (parts, *_) in found.fetchall()]


def rows_with(
    name: str, columns: Sequence[Column], key: Sequence[str], keys: Sequence[Mapping[str, Any]]
) -> tuple[str, list[Any]]:
    """The query for the rows that have one of these keys, and its parameters."""
    if not key:
        return f"from {quoted(name)}", []
    types = {column.name: column.type for column in columns}
    wanted = ", ".join(f"{quoted(column)} {types[column]}" for column in key)
    same = " and ".join(f"rows.{quoted(column)} is not distinct from wanted.{quoted(column)}" for column in key)
    return (
        f"select rows.* from {quoted(name)} as rows join "  # noqa: S608
        f"(select unnest(?::struct({wanted})[], recursive := true)) as wanted on {same}",
        [list(map(dict, keys))],
    )


def _condition(column: str, part: str) -> Condition:
    return Condition(column, "eq", part) if part else Condition(column, "null", "true")
