"""Typed filters, orders and cursors do to a table what plain Python does to its rows."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from decimal import Decimal
from functools import cmp_to_key
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.projections import Column, InvalidCursor, InvalidQuestion, question_of
from rookery.projections.answers import read_answer
from rookery.projections.filters import RESERVED, SORTED_CHARACTERS_MAX, Question, prepare
from rookery.projections.relations import quoted

TYPES = {
    "name": "VARCHAR",
    "steps": "HUGEINT",
    "cost_usd": "DECIMAL(18,6)",
    "score": "DOUBLE",
    "at": "TIMESTAMP",
    "done": "BOOLEAN",
    "limit": "INTEGER",
    "tags": "VARCHAR[]",
    "note": "VARCHAR",
}
COLUMNS = [*(Column(name, sql_type) for name, sql_type in TYPES.items()), Column("id", "INTEGER")]
KEY = ("name", "id")
FEW = {
    "name": st.sampled_from(["", "a", "B", "ab", "a,b", "é", "x" * 300, "x" * 299 + "y", "'\"%_\\"]),
    "steps": st.sampled_from([0, 1, -1, 2**100]),
    "cost_usd": st.sampled_from([Decimal("0"), Decimal("0.000001"), Decimal("-3.5"), Decimal("10")]),
    "score": st.sampled_from([0.1, -2.5, 1e300, 0.30000000000000004]),
    "at": st.sampled_from([datetime(2026, 1, 1), datetime(2026, 1, 1, 0, 0, 0, 1), datetime(1969, 12, 31)]),  # noqa: DTZ001
    "done": st.booleans(),
    "limit": st.sampled_from([1, 2]),
    "note": st.sampled_from(["a", "x" * 300, "x" * 299 + "y"]),
}
TAGS = st.just(["t"])
ROWS = st.lists(st.tuples(*(st.none() | FEW.get(name, TAGS) for name in TYPES)), min_size=0, max_size=12)
COMPARED = {
    "eq": lambda left, right: left == right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
}


def table(rows: list[tuple[Any, ...]]) -> duckdb.DuckDBPyConnection:
    """The rows, numbered; those that are short have NULL in what they lack."""
    con = duckdb.connect()
    con.execute(f"create table t ({', '.join(f'{quoted(name)} {sql_type}' for name, sql_type, _ in COLUMNS)})")
    for number, row in enumerate(rows):
        con.execute(
            f"insert into t values ({', '.join('?' * len(COLUMNS))})", [*row, *[None] * (len(TYPES) - len(row)), number]
        )
    return con


def answered(con: duckdb.DuckDBPyConnection, question: Question, limit: int = 100) -> Any:
    prepared = prepare("t", COLUMNS, KEY, question)
    return prepared.page(read_answer(con.execute(prepared.query, prepared.parameters), limit + 1), limit)


def written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def exact(con: duckdb.DuckDBPyConnection, question: Question) -> list[tuple[Any, ...]]:
    """All rows in order, without their ids."""
    prepared = prepare("t", COLUMNS, KEY, question)
    return [(*row[:-2],) for row in con.execute(prepared.query, prepared.parameters).fetchall()]


@st.composite
def conditions(draw: st.DrawFn) -> tuple[str, str, Any, str]:
    """Column, operator, value and how a URL writes it."""
    column = draw(st.sampled_from(list(FEW)))
    operator = draw(st.sampled_from([*COMPARED, "ne", "in", "null"]))
    if operator == "null":
        value = draw(st.booleans())
        return column, operator, value, written(value)
    if operator == "in":
        values = draw(st.lists(FEW[column], min_size=1, max_size=3))
        return column, operator, values, ",".join('"' + written(one).replace('"', '""') + '"' for one in values)
    value = draw(FEW[column])
    return column, operator, value, written(value)


def holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator == "null":
        return (value is None) is wanted
    if operator == "ne":
        return bool(value != wanted)
    if value is None:
        return False
    return value in wanted if operator == "in" else bool(COMPARED[operator](value, wanted))


@given(ROWS, st.lists(conditions(), max_size=3))
@settings(max_examples=120, deadline=None)
def test_a_filter_lets_through_what_python_would(
    rows: list[tuple[Any, ...]], wanted: list[tuple[str, str, Any, str]]
) -> None:
    question = question_of((f"{column}.{operator}", text) for column, operator, _, text in wanted)
    expected = [
        row
        for row in rows
        if all(holds(row[list(TYPES).index(column)], operator, value) for column, operator, value, _ in wanted)
    ]
    with table(rows) as con:
        assert sorted(exact(con, question), key=repr) == sorted(expected, key=repr)


def sorted_by(row: tuple[Any, ...], name: str) -> Any:
    """What decides where a row stands: a long text's beginning, but all of one that belongs to the key."""
    value = row[list(TYPES).index(name)]
    return value[:SORTED_CHARACTERS_MAX] if isinstance(value, str) and name not in KEY else value


def ordered(rows: list[tuple[Any, ...]], sort: list[str]) -> list[tuple[Any, ...]]:
    def compare(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
        for term in sort:
            one, other = (sorted_by(row, term.removeprefix("-")) for row in (left, right))
            if one == other:
                continue
            if one is None or other is None:
                return 1 if one is None else -1
            return (1 if one > other else -1) * (-1 if term.startswith("-") else 1)
        return 0

    return sorted(rows, key=cmp_to_key(compare))


@pytest.mark.parametrize(("column", "is_first"), [("name", "x" * 300), ("note", "x" * 299 + "y")])
def test_a_text_of_the_key_is_sorted_by_all_of_it_and_any_other_by_its_beginning(column: str, is_first: str) -> None:
    unlike_behind = [{column: "x" * 300, "steps": 2}, {column: "x" * 299 + "y", "steps": 1}]
    with table([tuple(row.get(name) for name in TYPES) for row in unlike_behind]) as con:
        assert answered(con, Question(sort=(column, "steps"))).records()[0][column] == is_first


@given(
    ROWS,
    st.lists(st.sampled_from(list(FEW)), unique=True, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_pages_put_together_are_every_row_once_in_the_order_asked_for(
    rows: list[tuple[Any, ...]], names: list[str], descending: list[bool], limit: int
) -> None:
    sort = [f"-{name}" if down else name for name, down in zip(names, descending, strict=False)]
    question = Question(sort=tuple(sort))
    with table(rows) as con:
        whole = answered(con, question).rows
        paged: list[list[Any]] = []
        page = answered(con, question, limit)
        paged += page.rows
        while page.next:
            page = answered(con, question._replace(cursor=page.next), limit)
            paged += page.rows
            assert page.rows
        assert paged == whole
        found = exact(con, question)

    def keys(of: list[tuple[Any, ...]]) -> list[list[Any]]:
        return [[sorted_by(row, name) for name in names] for row in of]

    assert keys(found) == keys(ordered(rows, sort))


def test_rows_that_come_and_go_move_nothing() -> None:
    rows = [(f"r{number:02}", *[None] * 7) for number in range(0, 20, 2)]
    with table(rows) as con:
        question = Question(select=("name",))
        first = answered(con, question, 4)
        con.execute("insert into t (name) values ('r01'), ('r07'), ('r99')")
        con.execute("delete from t where name in ('r00', 'r06', 'r08')")
        rest = answered(con, question._replace(cursor=first.next)).rows
    assert [name for (name,) in first.rows + rest] == [
        *("r00", "r02", "r04", "r06", "r07", "r10", "r12", "r14", "r16", "r18", "r99")
    ]


def test_keys_are_told_apart_to_their_ends() -> None:
    rows = [("x" * 250 + letter, *[None] * 7) for letter in "ba"]
    with table(rows) as con:
        prepared = prepare("t", COLUMNS, ("name",), Question(select=("name",)))
        places = [row[-1] for row in con.execute(prepared.query).fetchall()]
        cursor = prepared.next(places, 1)
        behind = prepare("t", COLUMNS, ("name",), Question(select=("name",), cursor=cursor))
        assert [name[-1] for name, _ in con.execute(behind.query, behind.parameters).fetchall()] == ["b"]


def test_without_a_key_or_an_order_there_is_no_next_page() -> None:
    prepared = prepare("t", COLUMNS, (), Question())
    with table([("a", *[None] * 7), ("b", *[None] * 7)]) as con:
        page = prepared.page(read_answer(con.execute(prepared.query), 2), 1)
    assert (page.truncated, page.next) == (True, None)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("nmae", "a", ["nmae", "did you mean 'name'?"]),
        ("limti", "1", ["did you mean 'limit'?"]),
        ("zzz", "1", ["there are name, steps"]),
        ("name.matches", "a", ["name.matches", "'matches'", "like"]),
        ("name.lke", "a", ["did you mean 'like'?"]),
        ("steps", "1.5", ["steps", "HUGEINT", "'1.5'", "whole number"]),
        ("steps", "1_000", ["whole number"]),
        ("steps", "\u0664", ["whole number"]),
        ("limit.eq", "3000000000", ["limit", "2147483647"]),
        ("limit.eq", "9" * 5000, ["…"]),
        ("cost_usd.gt", "cheap", ["cost_usd", "DECIMAL(18,6)", "'cheap'"]),
        ("cost_usd", "0.0000001", ["6 behind"]),
        ("cost_usd", "1000000000000", ["12 digits before"]),
        ("cost_usd", "1e999", ["DECIMAL"]),
        ("cost_usd", "nan", ["DECIMAL"]),
        ("score", "nan", ["a number"]),
        ("score", "1e999", ["a number"]),
        ("at.ge", "yesterday", ["TIMESTAMP", "2026-11-20T12:00:00Z"]),
        ("at.ge", "2026-01-01T00:00:00 01:00", ["%2B"]),
        ("at.ge", "2026-01-01T00:00:00+99:00", ["TIMESTAMP"]),
        ("at.ge", "0001-01-01T00:00:00+14:00", ["TIMESTAMP"]),
        ("done", "yes", ["true or false"]),
        ("done.null", "perhaps", ["neither true nor false"]),
        ("steps.like", "1%", ["like", "text"]),
        ("tags", "t", ["VARCHAR[]", "tags.null", "/sql"]),
        ("name.in", '"a', ["name.in"]),
        ("name.in", "a," * 2000, ["1000"]),
        ("select", "name,nmae", ["select", "'nmae'"]),
        ("sort", "-", ["sort"]),
        ("sort", "tags", ["no order"]),
        ("sort", "name,-name", ["twice"]),
        ("'; drop table t; --", "1", ["no column"]),
    ],
)
def test_a_question_that_makes_no_sense_is_told_what_would(name: str, text: str, words: list[str]) -> None:
    with pytest.raises(InvalidQuestion) as refused:
        prepare("t", COLUMNS, KEY, question_of([(name, text)]))
    assert all(word in str(refused.value) for word in words), str(refused.value)


def test_a_column_named_like_an_option_is_asked_for_with_an_operator() -> None:
    assert "limit" in RESERVED
    question = question_of([("limit", "1"), ("limit.eq", "2")])
    with table([("a", *[None] * 5, 2, None), ("b", *[None] * 5, 1, None)]) as con:
        assert [row[0] for row in answered(con, question).rows] == ["a"]


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def test_a_cursor_that_does_not_fit_is_refused() -> None:
    with table([(f"r{number}", *[None] * 7) for number in range(5)]) as con:
        cursor = answered(con, Question(), 2).next
        assert answered(con, Question(cursor=cursor, select=("steps",))).rows == [[None]] * 3
        for other in (Question(sort=("steps",), cursor=cursor), question_of([("name", "a"), ("cursor", str(cursor))])):
            with pytest.raises(InvalidCursor, match="another question"):
                answered(con, other)
    fingerprint = json.loads(base64.urlsafe_b64decode(f"{cursor}==="))[0]
    odd = ["x", "é", "a" * 20_000, cursor_of(), cursor_of(fingerprint, [1] * 5), cursor_of(fingerprint, [], 1)]
    for nonsense in odd:
        with pytest.raises(InvalidCursor, match="as `next`"):
            prepare("t", COLUMNS, KEY, Question(cursor=nonsense))
