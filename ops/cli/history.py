"""`rookery history`: what was done hour by hour, day by day, month by month, and two periods beside each other."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import click

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import refuse_two_formats, remark, show_json, show_rows

BY = click.Choice(["agent", "model", "skill"])
UNIT = click.Choice(["hour", "day", "month"])
ROWS_MAX = 10_000

# What people look for; the rest is in the JSON.
COLUMNS = [
    "start", "name", "runs_started", "runs_completed", "runs_failed", "success_rate", "assignments_completed",
    "tool_calls", "llm_calls", "llm_errors", "input_tokens", "output_tokens", "cost_usd",
]  # fmt: skip
FIGURES = COLUMNS[2:]


@click.group(invoke_without_command=True)
@click.option("--by", type=BY, default="agent", show_default=True, help="Whose history.")
@click.option("--unit", type=UNIT, default="day", show_default=True, help="How long each period is.")
@click.option("--from", "begin", metavar="TIME", help="Periods that begin then or later.  [default: the last 30]")
@click.option("--to", "end", metavar="TIME", help="Periods that begin before.  [default: now]")
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

    A period in which nothing happened has no line. Times are UTC where they name no zone. What does not apply, like the
    runs of a model, is left out, and so is money that nobody knows. --json has every figure.
    """
    if context.invoked_subcommand:
        return
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    asked: dict[str, Any] = {"by": by, "unit": unit, "from": begin, "to": end, "limit": limit, "as_of": as_of}
    found = client.get("/history", **asked)
    if as_json:
        show_json(found)
        return
    show_rows(COLUMNS, [_readable(row) for row in found["rows"]], as_json=False, as_csv=as_csv, hide_empty=not as_csv)
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
    rows = [row for one in [found["total"] | {"name": "all"}, *found["rows"]] for row in _changes(one)]
    show_rows(["name", "figure", "before", "now", "change"], rows, as_json=False, as_csv=as_csv)
    period, other = found["now"], found["before"]
    remark(f"now: {period['from']} to {period['to']}; before: {other['from']} to {other['to']}")
    if found["truncated"]:
        remark("there are more than these; --limit shows more of them")


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in COLUMNS} | {"success_rate": _percent(row["success_rate"])}


def _changes(one: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each figure of which there is something in either period."""
    lines = []
    for figure in FIGURES:
        change = one[figure]
        if change is None or not (_is_something(change["now"]) or _is_something(change["before"])):
            continue
        show = _percent if figure == "success_rate" else str
        before, now = (None if change[name] is None else show(change[name]) for name in ("before", "now"))
        lines.append({"name": one["name"], "figure": figure, "before": before, "now": now, "change": _change(change)})
    return lines


def _is_something(value: Any) -> bool:
    return value is not None and Decimal(str(value)) != 0


def _change(change: dict[str, Any]) -> str | None:
    """In per cent of what was before; of a share, in points."""
    if "relative" in change:
        return None if change["relative"] is None else f"{change['relative']:+.1%}"
    return None if change["absolute"] is None else f"{100 * change['absolute']:+.1f} points"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
