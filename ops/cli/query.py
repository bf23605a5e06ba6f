"""`rookery query` and `rookery sql`: asking the read models."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from ..client import Client, Fetched
from .completion import read_models
from .options import arrow_option, as_of_option, csv_option, json_option, node_option, reveal_option, standard_input
from .output import plural, refuse_two_formats, remark, show_rows

DESCRIPTION_CHARACTERS_MAX = 300
PLAN = ["explain_key", "explain_value"]
SIGNS = {"=": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
CONDITION = re.compile(
    r"(?P<column>\w+)(?:\s+is\s+(?P<not>not\s+)?(?P<null>null)"
    r"|\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*)|\s+(?P<word>in|like)\s+(?P<listed>.*))",
    re.IGNORECASE | re.DOTALL,
)


@click.command()
@click.argument("name", required=False, shell_complete=read_models)
@click.option("--where", "conditions", multiple=True, metavar="CONDITION", help="A condition, as below; repeatable.")
@click.option("--select", metavar="COLUMNS", help="Only these columns, as in run_id,cost_usd.")
@click.option("--sort", metavar="COLUMNS", help="Order by these columns; - is descending: -cost_usd,run_id.")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.  [default: the node's query_rows_max]")
@as_of_option
@reveal_option
@arrow_option
@csv_option
@json_option
@node_option
def query(
    client: Client,
    name: str | None,
    conditions: tuple[str, ...],
    select: str | None,
    sort: str | None,
    limit: int | None,
    as_of: str | None,
    reveal: bool,
    arrow: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print a read model's rows, or list the read models when no NAME is given.

    \b
    rookery query                          what there is to ask
    rookery query cost_by_model
    rookery query runs --where status=failed --where 'cost_usd>0.5' --sort -cost_usd
    rookery query runs --where 'run_id in r-1,r-2' --select run_id,status --json
    rookery query llm_calls --csv > calls.csv
    rookery query messages --arrow messages.arrow
    rookery query cost_by_model --as-of 2026-11-17T09:00+01:00
    rookery query feedback --reveal

    A condition is a column, an operator and a value. Operators are =, !=, <, <=, >, >= and, between spaces, `in`
    (values with commas between them) and `like` (% is any text); `COLUMN is null` and `COLUMN is not null` have no
    value. A table leaves out columns without values; --json, --csv and --arrow have every column. `rookery sql` can
    ask for more.

    --as-of takes a time (UTC, unless it has a zone) or a vector; what the node learnt later is not in the answer, even
    if it happened before.
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv, as_arrow=arrow is not None)
    if name is None:
        _show_models(client.get("/query"), as_json=as_json, as_csv=as_csv)
        return
    if not name.isidentifier():
        raise click.UsageError(f"No read model is named {name!r}; `rookery query` lists them.")
    asked: dict[str, Any] = {"select": select, "sort": sort, "limit": limit, "as_of": as_of, "reveal": reveal or None}
    for parameter, value in map(parameter_of, conditions):
        asked.setdefault(parameter, []).append(value)
    if arrow:
        _save(client.fetch("GET", f"/query/{name}", format="arrow", **asked), arrow)
    else:
        answer = client.get(f"/query/{name}", **asked)
        _show_answer(answer, limit, as_json=as_json, as_csv=as_csv, hide_empty=select is None)


@click.command()
@click.argument("statement")
@click.option("--limit", type=click.IntRange(min=0), help="At most so many rows.  [default: the node's query_rows_max]")
@as_of_option
@reveal_option
@arrow_option
@csv_option
@json_option
@node_option
def sql(
    client: Client,
    statement: str,
    limit: int | None,
    as_of: str | None,
    reveal: bool,
    arrow: Path | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Ask the read models and the log in SQL: one reading STATEMENT in DuckDB's dialect, or `-` for standard input.

    Every read model is a table. The log is `events(origin, n, id, type, source, subject, time, data)`; `data` is JSON,
    of which `data ->> 'task'` is a field.

    \b
    rookery sql "select status, count(*) from runs group by all"
    rookery sql "select time, data ->> 'task' as task from events where type = 'run.started'" --json
    rookery sql "from cost_by_hour" --arrow hours.arrow
    rookery sql "select count(*) from events" --as-of '3 days ago'
    rookery sql "describe runs"
    rookery sql - < question.sql
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv, as_arrow=arrow is not None)
    text = standard_input().decode(errors="surrogateescape") if statement == "-" else statement
    body = msgspec.json.encode({"sql": text, "limit": limit})
    if arrow:
        _save(client.fetch("POST", "/sql", content=body, format="arrow", as_of=as_of, reveal=reveal or None), arrow)
    else:
        _show_answer(
            client.post("/sql", body, as_of=as_of, reveal=reveal or None), limit, as_json=as_json, as_csv=as_csv
        )


def parameter_of(condition: str) -> tuple[str, str]:
    """A condition as a person writes it, as the API's parameter: `cost_usd>1` is `cost_usd.gt`, `1`."""
    found = CONDITION.fullmatch(condition.strip())
    if found is None:
        raise click.BadParameter(
            f"{condition!r} is not a condition; one looks like 'cost_usd>1' or 'status in failed,cancelled'.",
            param_hint="--where",
        )
    if found["null"]:
        return f"{found['column']}.null", "false" if found["not"] else "true"
    if found["word"]:
        return f"{found['column']}.{found['word'].lower()}", found["listed"]
    return f"{found['column']}.{SIGNS[found['sign']]}", found["value"]


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


def _save(answer: Fetched, path: Path) -> None:
    to_output = str(path) == "-"
    if to_output:
        click.echo(answer.content, nl=False)
    else:
        path.write_bytes(answer.content)
    more = "; there is more than these rows" if answer.truncated else ""
    remark(f"{len(answer.content):,} bytes written to {'standard output' if to_output else path}{more}")


def _show_models(models: list[dict[str, Any]], *, as_json: bool, as_csv: bool) -> None:
    names = ["name", "description"]
    rows = models if as_json else [{name: model[name] for name in names} for model in models]
    if as_json or as_csv or not sys.stdout.isatty():
        show_rows(names, rows, as_json=as_json, as_csv=as_csv, cell_characters_max=DESCRIPTION_CHARACTERS_MAX)
        return
    page = click.HelpFormatter(width=shutil.get_terminal_size().columns)
    page.write_dl([(model["name"], model["description"]) for model in models])
    click.echo(page.getvalue(), nl=False)
