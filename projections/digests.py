"""Digests of read models: two nodes, or two ways of folding, have the same rows if these are the same."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from .errors import QueryFailed
from .relations import quoted

# To DuckDB's hash, an empty list is as good as none at all.
_LISTS = "select table_name, column_name from information_schema.columns where data_type like '%[]'"


def digests(con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> dict[str, str]:
    """The digest of each of these tables and views: the number of rows, and the sum of the hashes of the rows.

    It doesn't depend on the order of the rows, and does on how often each is there. The hash is DuckDB's own, which is
    ten times faster than one of the row as text would be, for millions of rows to be compared after a rebuild. It is
    against accidents, not against forgery, and of one version of DuckDB.
    """
    lists: dict[str, list[str]] = {}
    for name, column in con.execute(_LISTS).fetchall():
        lists.setdefault(name, []).append(f"{quoted(column)}::varchar")
    return {name: _digest(con, name, lists.get(name, [])) for name in names}


def digests_at_one_moment(con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> dict[str, str]:
    """The same, of tables that may be folded into meanwhile. Raises `QueryFailed`."""
    try:
        con.execute("begin transaction read only")
        found = digests(con, names)
        con.execute("rollback")
    except duckdb.Error as error:
        raise QueryFailed(str(error)) from error
    return found


def _digest(con: duckdb.DuckDBPyConnection, name: str, also: list[str]) -> str:
    hashed = ", ".join(["model", *also])
    query = f"select count(*), coalesce(sum(hash({hashed})::hugeint), 0) from {quoted(name)} as model"  # noqa: S608
    ((rows, total),) = con.execute(query).fetchall()
    return f"{rows}-{total % 2**64:016x}"
