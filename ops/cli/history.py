"""`rookery history`: what was done hour by hour, day by day, month by month, and two periods beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import click

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import refuse_two_formats, remark, show_json, show_rows

BY = click.Choice(["agent", "model", "skill"])
UNIT = click.Choice(["hour", "day", "month"])
ROWS_MAX = 10_000

# What people look for, and what a cost leaves out; the rest is in the JSON.
COLUMNS = [
    "start", "name", "runs_started", "runs_completed", "runs_failed", "success_rate", "assignments_completed",
    "tool_calls", "llm_calls", "llm_errors", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls",
]  # fmt: skip
FIGURES = COLUMNS[2:]
RATE = "success_rate"


@click.group(invoke_without_command=True)
@click.option("--by", type=BY, default="agent", show_default=True, help="Whose history.")
@click.option("--unit", type=UNIT, default="day", show_default=True, help="How long each period is.")
@click.option(
    "--from", "begin", metavar="TIME", help="Hours that begin then or later count.  [default: the last 30 periods]"
)
@click.option("--to", "end", metavar="TIME", help="Hours that begin before count.  [default: now]")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=ROWS_MAX, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
@click.pass_context
def history(
    context: click.Context,
    client: Client,
    by: str,
    unit: str,
    begin: str | None,
    end: str | None,
    limit: int,
    as_of: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print what each agent, model or skill did in each hour, day or month, since the first event.

    \b
    rookery history
    rookery history --by model --unit month --from 2026-01-01
    rookery history --by skill --unit hour --from 2026-11-17 --to 2026-11-18
    rookery history --unit day --csv > history.csv
    rookery history compare --from 2026-11-16 --to 2026-11-23

    A period in which nothing happened has no line. Times are UTC where they name no zone. A table leaves out
    what nobody did; --csv has the rest, and --json every figure.
    """
    if context.invoked_subcommand:
        return
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    asked: dict[str, Any] = {"by": by, "unit": unit, "from": begin, "to": end, "limit": limit, "as_of": as_of}
    found = client.get("/history", **asked)
    if as_json:
        show_json(found)
        return
    rows = [{name: row[name] for name in COLUMNS} for row in found["rows"]]
    if as_csv:
        show_rows(COLUMNS, rows, as_json=False, as_csv=True)
    else:
        show_rows(_telling(rows), [_readable(row, unit) for row in rows], as_json=False)
    if found["truncated"]:
        remark("there is more: a shorter stretch of time, or a longer --unit, has room for it")


@history.command()
@click.option("--by", type=BY, default="agent", show_default=True, help="Whose history.")
@click.option("--from", "begin", metavar="TIME", required=True, help="Where the period begins.")
@click.option("--to", "end", metavar="TIME", help="Where it ends.  [default: now]")
@click.option("--before", metavar="TIME", help="Where the other begins.  [default: it ends where the one begins]")
@click.option("--limit", type=click.IntRange(1, ROWS_MAX), default=20, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
def compare(
    client: Client,
    by: str,
    begin: str,
    end: str | None,
    before: str | None,
    limit: int,
    as_of: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Compare a period with one that is as long: how much more, how much better, at what cost.

    \b
    rookery history compare --from 2026-11-16 --to 2026-11-23
    rookery history compare --from 2026-11-01 --before 2025-11-01 --by model
    rookery history compare --from 2026-11-16 --by skill --json

    The first lines are of all together; then come those that cost most, or did most. Whole hours count.
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    asked: dict[str, Any] = {"by": by, "from": begin, "to": end, "before": before, "limit": limit, "as_of": as_of}
    found = client.get("/history/compare", **asked)
    if as_json:
        show_json(found)
        return
    changes = [change for one in [found["total"] | {"name": "all"}, *found["rows"]] for change in _changes(one)]
    rows = changes if as_csv else [_readable_change(change) for change in changes]
    show_rows(["name", "figure", "before", "now", "change"], rows, as_json=False, as_csv=as_csv)
    period, other = found["now"], found["before"]
    remark(f"now: {period['from']} to {period['to']}; before: {other['from']} to {other['to']}")
    if found["truncated"]:
        remark("there are more than these; --limit shows more of them")


def _telling(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns in which somebody did something."""
    return [*COLUMNS[:2], *(name for name in FIGURES if any(_is_something(row[name]) for row in rows))]


def _readable(row: Mapping[str, Any], unit: str) -> dict[str, Any]:
    start = row["start"] if unit == "hour" else row["start"].partition("T")[0]
    return {**row, "start": start, "success_rate": _percent(row["success_rate"])}


def _changes(one: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each figure of which there is something in either period."""
    for figure in FIGURES:
        change = one[figure]
        if change is None or not (_is_something(change["now"]) or _is_something(change["before"])):
            continue
        by_how_much = change["absolute" if figure == RATE else "relative"]
        yield {"name": one["name"], "figure": figure, **_of(change, "before", "now"), "change": by_how_much}


def _readable_change(change: Mapping[str, Any]) -> dict[str, Any]:
    """The change in per cent of what was before; of a share, in points."""
    how = change["change"]
    if change["figure"] != RATE:
        return {**change, "change": None if how is None else f"{how:+.1%}"}
    shares = {name: _percent(share) for name, share in _of(change, "before", "now").items()}
    return {**change, **shares, "change": None if how is None else f"{100 * how:+.1f} points"}


def _of(change: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: change[name] for name in names}


def _is_something(value: Any) -> bool:
    return value is not None and Decimal(str(value)) != 0


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
