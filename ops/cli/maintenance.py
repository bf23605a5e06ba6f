"""`rookery dead-letters`: what could not be folded into any read model."""

from __future__ import annotations

import click

from ..client import Client
from .options import as_of_option, csv_option, json_option, node_option
from .output import refuse_two_formats, show_rows


@click.command("dead-letters")
@click.option("--limit", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="At most so many.")
@as_of_option
@csv_option
@json_option
@node_option
def dead_letters(client: Client, limit: int, as_of: str | None, as_csv: bool, as_json: bool) -> None:
    """List the events that the log keeps and no read model holds, each with the reason.

    They are not lost: once a version that knows their type runs, a rebuild folds them.

    \b
    rookery dead-letters
    rookery dead-letters --as-of 2026-11-17
    rookery dead-letters --json | jq -r '.[].payload'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/dead-letters", limit=limit, as_of=as_of)
    columns = ["address", "type", "id", "field", "reason", "recordedtime"]
    rows = found if as_json else [{name: one[name] for name in columns} for one in found]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv)
