"""`rookery why` and `rookery diff`: which events are behind a row, and what became of a read model since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import click
import msgspec

from ..client import Client
from .completion import read_models
from .options import as_of_option, csv_option, json_option, node_option
from .output import plural, refuse_two_formats, remark, show_json, show_rows
from .table import plain

EVENTS_LISTED = 20
EVENTS_LISTED_MAX = 1_000
ROWS_COMPARED = 1_000
ROWS_COMPARED_MAX = 10_000
EVENTS_NAMED_MAX = 3

KINDS = ("added", "removed", "changed")
EVENT_COLUMNS = ["address", "time", "type", "subject", "source", "data"]


@click.command()
@click.argument("name", metavar="PROJECTION", shell_complete=read_models)
@click.argument("key", nargs=-1, metavar="KEY...")
@click.option(
    "--limit",
    type=click.IntRange(0, EVENTS_LISTED_MAX),
    default=EVENTS_LISTED,
    show_default=True,
    help="List at most so many events.",
)
@click.option("--after", metavar="ADDRESS", help="Go on behind this address, as in local:41.")
@as_of_option
@json_option
@node_option
def why(
    client: Client, name: str, key: tuple[str, ...], limit: int, after: str | None, as_of: str | None, as_json: bool
) -> None:
    """Print a row of the read model PROJECTION, and the events that make it what it is.

    KEY is what the row has in the columns that tell rows apart, one argument each; '' is NULL. Whoever folded just the
    events behind a row would get this very row, and whoever folded all the others, none of this key.

    \b
    rookery why runs run-9
    rookery why cost_by_model openai gpt-4o --limit 100
    rookery why cost_by_agent ''                          the calls that name no agent
    rookery why fleet_hourly 2026-11-20T12:00Z --json
    rookery why runs run-9 --as-of '3 days ago'
    """
    if not key:
        raise click.UsageError(f"{_told_by(client, name)}.")
    found = client.get(f"{_row(name, key)}/why", limit=limit, after=after, as_of=as_of)
    if as_json:
        show_json(found)
        return
    filled = {column: value for column, value in found["row"].items() if value is not None}
    show_rows(["column", "value"], [{"column": name, "value": value} for name, value in filled.items()], as_json=False)
    remark(f"\n{plural(found['events_total'], 'event')} behind this row, as of {found['moment']}:\n")
    if found["events"]:
        show_rows(EVENT_COLUMNS, [_event(event) for event in found["events"]], as_json=False)
    if found["next"]:
        remark(f"more: --after {found['next']}, or a larger --limit")


@click.command()
@click.argument("name", metavar="PROJECTION", shell_complete=read_models)
@click.option("--from", "start", metavar="MOMENT", required=True, help="Compare with how it was then.")
@click.option("--to", "end", metavar="MOMENT", help="How it was then, in place of how it is now.")
@click.option(
    "--limit",
    type=click.IntRange(1, ROWS_COMPARED_MAX),
    default=ROWS_COMPARED,
    show_default=True,
    help="Look at most at so many rows that have new events.",
)
@csv_option
@json_option
@node_option
def diff(client: Client, name: str, start: str, end: str | None, limit: int, as_csv: bool, as_json: bool) -> None:
    """Print which rows of the read model PROJECTION came, went or changed between two moments, and by which events.

    A moment is a time (without a zone, UTC), '3 days ago', or how far the log had come, as in local:41.

    \b
    rookery diff --from '1 hour ago' runs
    rookery diff --from 2026-11-17 --to 2026-11-18T09:00+02:00 cost_by_model
    rookery diff --from local:41 assignments --json
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get(f"/query/{_name(name)}/diff", **{"from": start}, to=end, limit=limit)
    if as_json:
        show_json(found)
        return
    rows = [row for change in found["changes"] for row in _changed(change)]
    keys = list(found["changes"][0]["key"]) if found["changes"] else []
    show_rows(["change", *keys, "column", "before", "after", "events"], rows, as_json=False, as_csv=as_csv)
    remark(f"{_counted(found['changes'])} from {found['from']} to {found['to']}")
    if found["truncated"]:
        remark("more rows have new events: a larger --limit, or moments that are nearer to each other, show them")


def _told_by(client: Client, name: str) -> str:
    """What a key of the read model is made of."""
    key = next((model["key"] for model in client.get("/query") if model["name"] == name), None)
    if key is None:
        return f"No read model is named {name!r}; `rookery query` lists them"
    if not key:
        return f"{name} is one row, without a key; `rookery diff` says what changed it"
    return f"A row of {name} is told by {', '.join(key)}: give a value for each"


def _row(name: str, key: Sequence[str]) -> str:
    return f"/query/{_name(name)}/{','.join(quote(part, safe='') for part in key)}"


def _name(name: str) -> str:
    if not name.isidentifier():
        raise click.UsageError(f"No read model is named {name!r}; `rookery query` lists them.")
    return name


def _event(event: dict[str, Any]) -> dict[str, Any]:
    shown = {name: event.get(name) for name in EVENT_COLUMNS}
    return {**shown, "address": f"{event['origin']}:{event['n']}", "data": msgspec.json.encode(event["data"]).decode()}


def _counted(changes: Sequence[dict[str, Any]]) -> str:
    """`1 added row, 2 changed rows`."""
    kinds = Counter(change["change"] for change in changes)
    return ", ".join(plural(kinds[kind], f"{kind} row") for kind in KINDS if kinds[kind]) or "no row changed"


def _changed(change: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A line for each column that changed, or the one line of a row that came or went."""
    events = " ".join(change["events"][:EVENTS_NAMED_MAX])
    more = change["events_total"] - EVENTS_NAMED_MAX
    line = {"change": change["change"], **change["key"], "events": f"{events} +{more}" if more > 0 else events}
    for name, values in change["columns"].items():
        yield {**line, "column": name, "before": plain(values["before"]), "after": plain(values["after"])}
    if not change["columns"]:
        yield {**line, "column": None, "before": None, "after": None}
