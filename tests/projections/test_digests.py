"""A digest tells any two tables apart that don't have the same rows, and none that have."""

from __future__ import annotations

import duckdb
from rookery.projections.digests import digests

DIFFERENT = [
    "select 2 as a, null::int as b",
    "select null::int as a, 2 as b",
    "select 1 as a, 1 as b from range(2)",
    "select 1 as a, 1 as b",
    "select 1 as a, 1 as b where false",
    "select 1 as a, []::varchar[] as b",
    "select 1 as a, null::varchar[] as b",
    "select 1 as a, [null]::varchar[] as b",
    "select 1 as a, ['x', 'y'] as b",
    "select 1 as a, ['xy'] as b",
    "select 1 as a, '' as b",
    "select 1.5::decimal(38, 12) as a, 'b' as b",
    "select 1.500000000001::decimal(38, 12) as a, 'b' as b",
]


def digest(rows: str) -> str:
    with duckdb.connect() as con:
        con.execute(f"create table model as {rows}")
        return digests(con, ["model"])["model"]


def test_tables_that_differ_have_other_digests() -> None:
    assert len({digest(rows) for rows in DIFFERENT}) == len(DIFFERENT)


def test_the_order_of_the_rows_does_not_count_and_how_often_each_is_there_does() -> None:
    assert digest("from (values (1, 'a'), (2, 'b'))") == digest("from (values (2, 'b'), (1, 'a'))")
    assert digest("from (values (1, 'a'), (2, 'b'))") != digest("from (values (1, 'a'), (1, 'a'), (2, 'b'))")
