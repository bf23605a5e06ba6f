"""What SQL that anybody may send can be: one statement that reads tables, and nothing of the machine around them.

DuckDB itself is closed first: no file outside the log and its own scratch folder, no network, extension or setting
(`database.py`), and each query in a transaction that can't write. What this module refuses is what would be left:
functions that read those folders' files, or tell settings and paths, found in the statement as DuckDB parsed it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import msgspec

from .errors import QueryRefused
from .relations import literal

# All others read files, tell what the machine is, run SQL that is hidden in a string, or change how DuckDB works.
TABLE_FUNCTIONS = frozenset(
    {
        *("range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "summary"),
        *("duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_tables", "duckdb_types", "duckdb_views"),
    }
)
FUNCTIONS_REFUSED = frozenset({"current_setting", "getenv", "write_log", "read_text", "read_blob", "nextval", "setval"})
# A CTE can be an INSERT or a COPY as well, which no transaction keeps from its file.
QUERIES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
SCHEMAS_REFUSED = frozenset({"rookery", "pg_catalog"})
TABLES_REFUSED = frozenset({"pg_settings", "duckdb_databases", "pragma_database_list", "duckdb_logs"})

# Nothing in it can be a comment, a string or a query: what stands behind it is all that is explained.
_EXPLAIN = re.compile(r"explain\s*(?:\banalyze\b\s*)?(?:\(\s*(?:analyze|format)\b[\w\s,]*\)\s*)?", re.IGNORECASE)
_SHOW_TABLES = re.compile(r"\s*show\s+tables\s*;?\s*", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^/\\.*?:]*")


def refuse_all_but_reading(cursor: duckdb.DuckDBPyConnection, text: str) -> str:
    """The one statement in `text`, if all it can do is read. Raises `QueryRefused`."""
    statement = _one_statement(text)
    if statement.type != duckdb.StatementType.EXPLAIN:
        return _looked_into(cursor, statement)
    query = statement.query.strip()
    explain = _EXPLAIN.match(query)
    if explain is None:
        raise QueryRefused("EXPLAIN comes first, with nothing but its options between it and the query")
    return explain[0] + _looked_into(cursor, _one_statement(query[explain.end() :]))


def in_sight(text: str, tables: Sequence[str]) -> str:
    """The statement, or where that is `show tables`, one that shows just these."""
    return f"select unnest([{', '.join(map(literal, tables))}]) as name" if _SHOW_TABLES.fullmatch(text) else text


def as_subquery(text: str) -> str:
    """A statement that was found to be one query, in parentheses. Raises `QueryRefused` where that can't be."""
    wrapped = f"({text}\n)"
    if _one_statement(f"from {wrapped}").type != duckdb.StatementType.SELECT:
        raise QueryRefused("only rows can be had in this format; ask for JSON")
    return wrapped


def _looked_into(cursor: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> str:
    """Its text, if it is a query that reads. Whoever runs anything runs this text, and no other."""
    if statement.type != duckdb.StatementType.SELECT:
        raise QueryRefused(f"only queries are answered, and this is {statement.type.name}; the log is the way to write")
    _refuse_reaching_out(cursor, statement.query)
    return str(statement.query).rstrip().rstrip(";")


def _one_statement(text: str) -> duckdb.Statement:
    try:
        statements = duckdb.extract_statements(text)
    except (duckdb.Error, UnicodeError) as error:
        raise QueryRefused(str(error)) from None
    if not statements:
        raise QueryRefused("here is no statement; give one statement, as in `from runs`")
    if len(statements) > 1:
        raise QueryRefused(f"one statement at a time, please; this is {len(statements)}")
    return statements[0]


def _refuse_reaching_out(cursor: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        ((serialized,),) = cursor.execute("select json_serialize_sql(?::varchar)", [query]).fetchall()
        tree = msgspec.json.decode(serialized)
    except (duckdb.Error, msgspec.DecodeError, RecursionError) as error:
        raise QueryRefused(f"the statement is not one that can be looked into: {error}") from None
    if tree.get("error"):
        raise QueryRefused(str(tree.get("error_message")))
    for node in _nodes(tree):
        if "cte_map" in node and node.get("type") not in QUERIES:
            raise QueryRefused("only queries are answered, in a WITH as well; the log is the way to write")
        if node.get("type") == "TABLE_FUNCTION":
            _refuse_table_function(str(node["function"].get("function_name", "")).lower())
        elif node.get("type") == "BASE_TABLE":
            _refuse_table(str(node.get("schema_name", "")).lower(), str(node.get("table_name", "")).lower())
        elif node.get("show_type") == "SHOW_SPECIAL":
            raise QueryRefused("SHOW TABLES, by itself, and DESCRIBE are answered; other things are not shown")
        elif str(node.get("function_name", "")).lower() in FUNCTIONS_REFUSED:
            raise QueryRefused(f"{node['function_name']}() is not for queries: they see read models and the log only")


def _refuse_table_function(name: str) -> None:
    if name not in TABLE_FUNCTIONS:
        raise QueryRefused(
            f"{name}() can't be selected from; besides read models and `events` there are "
            f"{', '.join(f'{one}()' for one in sorted(TABLE_FUNCTIONS))}"
        )


def _refuse_table(schema: str, name: str) -> None:
    if schema in SCHEMAS_REFUSED or name in TABLES_REFUSED:
        raise QueryRefused(f"{schema or name} is the node's own; GET /query lists the read models")
    if not _PLAIN_NAME.fullmatch(name):
        raise QueryRefused(f"{name!r} is no table; files are out of reach, and GET /query lists the read models")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object within a document."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
