"""`rookery query` and `rookery sql`: asking the read models."""

from __future__ import annotations

import shutil
import sys
from typing import Any

import click
import msgspec

from ..client import Client
from .options import csv_option, json_option, node_option, standard_input
from .output import plural, refuse_two_formats, remark, show_rows

DESCRIPTION_CHARACTERS_MAX = 300
PLAN = ["explain_key", "explain_value"]


@click.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.  [default: the node's query_rows_max]")
@csv_option
@json_option
@node_option
def query(client: Client, name: str | None, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """Print a read model's rows, or list the read models when no NAME is given.

    \b
    rookery query                          what there is to ask
    rookery query cost_by_model
    rookery query runs --limit 10 --json
    rookery query llm_calls --csv > calls.csv

    A table leaves out columns without values; --json and --csv have every column. To choose rows and columns, use
    `rookery sql "select … from runs where …"`.
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    if name is None:
        _show_models(client.get("/query"), as_json=as_json, as_csv=as_csv)
    elif not name.isidentifier():
        raise click.UsageError(f"No read model is named {name!r}; `rookery query` lists them.")
    else:
        answer = client.get(f"/query/{name}", limit=limit)
        _show_answer(answer, limit, as_json=as_json, as_csv=as_csv, hide_empty=True)


@click.command()
@click.argument("statement")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.  [default: the node's query_rows_max]")
@csv_option
@json_option
@node_option
def sql(client: Client, statement: str, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """Ask the read models and the log in SQL: one reading STATEMENT in DuckDB's dialect, or `-` for standard input.

    Every read model is a table. The log is `events(origin, n, id, type, source, subject, time, data)`; `data` is JSON,
    of which `data ->> 'task'` is a field.

    \b
    rookery sql "select status, count(*) from runs group by all"
    rookery sql "select time, data ->> 'task' as task from events where type = 'run.started'" --json
    rookery sql "describe runs"
    rookery sql - < question.sql
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    text = standard_input().decode(errors="surrogateescape") if statement == "-" else statement
    answer = client.post("/sql", msgspec.json.encode({"sql": text, "limit": limit}))
    _show_answer(answer, limit, as_json=as_json, as_csv=as_csv)


def _show_answer(
    answer: dict[str, Any], limit: int | None, *, as_json: bool, as_csv: bool, hide_empty: bool = False
) -> None:
    columns, rows = [column["name"] for column in answer["columns"]], answer["rows"]
    if columns == PLAN and not (as_json or as_csv):
        for row in rows:
            click.echo(row["explain_value"])
        return
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv, hide_empty=hide_empty)
    if answer.get("truncated"):
        reason = "as --limit says" if limit == len(rows) else "more is never sent at once (query_rows_max)"
        remark(f"there is more: these are the first {plural(len(rows), 'row')}, {reason}")


def _show_models(models: list[dict[str, Any]], *, as_json: bool, as_csv: bool) -> None:
    names = ["name", "description"]
    rows = models if as_json else [{name: model[name] for name in names} for model in models]
    if as_json or as_csv or not sys.stdout.isatty():
        show_rows(names, rows, as_json=as_json, as_csv=as_csv, cell_characters_max=DESCRIPTION_CHARACTERS_MAX)
        return
    page = click.HelpFormatter(width=shutil.get_terminal_size().columns)
    page.write_dl([(model["name"], model["description"]) for model in models])
    click.echo(page.getvalue(), nl=False)
