"""`rookery rebuild` and `rookery dead-letters`: care for what is derived, and for what could not be."""

from __future__ import annotations

import click

from ..client import Client
from .options import json_option, node_option
from .output import show_json, show_rows


@click.command()
@json_option
@node_option
def rebuild(client: Client, as_json: bool) -> None:
    """Build all read models anew from the log and put them in the place of the old ones.

    Queries are answered throughout. A digest of each read model, before and after, shows whether anything changed.
    """
    report = client.post("/rebuild", b"")
    if as_json:
        show_json(report)
        return
    models = [
        {"read model": name, "before": digest, "after": report["digests_after"].get(name)}
        for name, digest in report["digests_before"].items()
    ]
    show_rows(["read model", "before", "after"], models, as_json=False)
    click.echo(f"{report['events']:,} events in {report['seconds']:.2f} s")


@click.command("dead-letters")
@click.option("--limit", type=click.IntRange(min=0), default=1000, show_default=True, help="At most so many.")
@json_option
@node_option
def dead_letters(client: Client, limit: int, as_json: bool) -> None:
    """List the events that the log keeps and no read model holds, each with the reason.

    They are not lost: once their type is known, a rebuild folds them.
    """
    found = client.get("/dead-letters", limit=limit)
    columns = ["address", "type", "id", "field", "reason", "recordedtime"]
    show_rows(columns, found, as_json=as_json)
