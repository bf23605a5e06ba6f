"""`rookery query` and `rookery sql`: asking the read models."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from ..client import Client
from .options import json_option, node_option
from .output import show_json, show_rows


@click.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@json_option
@node_option
def query(client: Client, name: str | None, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """Print a read model's rows, or list the read models when no NAME is given.

    \b
    rookery query                        what there is to ask
    rookery query cost_by_model
    rookery query runs --limit 10 --json
    """
    if name is None:
        _show_models(client.get("/query"), as_json=as_json)
    else:
        _show_answer(client.get(f"/query/{name}", limit=limit), as_json=as_json, as_csv=as_csv)


@click.command()
@click.argument("statement")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@json_option
@node_option
def sql(client: Client, statement: str, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """Ask the read models and the log in SQL (DuckDB's dialect; one read-only STATEMENT, `-` for standard input).

    Every read model is a table; the log is `events(origin, n, id, type, source, subject, time, data)`.

    \b
    rookery sql "select status, count(*) from runs group by all"
    rookery sql "select type, count(*) as events from events group by all order by events desc" --json
    """
    text = sys.stdin.read() if statement == "-" else statement
    body = msgspec.json.encode({"sql": text, "limit": limit})
    _show_answer(client.post("/sql", body), as_json=as_json, as_csv=as_csv)


def _show_answer(answer: dict[str, Any], *, as_json: bool, as_csv: bool) -> None:
    show_rows([column["name"] for column in answer["columns"]], answer["rows"], as_json=as_json, as_csv=as_csv)
    if answer.get("truncated"):
        click.echo(f"only the first {len(answer['rows']):,} rows; ask for fewer, or raise --limit", err=True)


def _show_models(models: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        show_json(models)
    else:
        show_rows(["name", "description"], models, as_json=False)
