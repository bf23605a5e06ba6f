"""`rookery rebuild` and `rookery dead-letters`: care for what is derived, and for what could not be."""

from __future__ import annotations

import click

from ..client import Client
from .options import csv_option, json_option, node_option
from .output import plural, refuse_two_formats, show_json, show_rows


@click.command()
@json_option
@node_option
def rebuild(client: Client, as_json: bool) -> None:
    """Build all read models anew from the log and put them in the place of the old ones.

    Queries are answered throughout. A digest of each read model, before and after, shows whether anything changed. It
    is seldom needed: a node whose read models are damaged or outdated rebuilds them by itself when it starts.

    \b
    rookery rebuild
    rookery rebuild --json
    """
    report = client.post("/rebuild", b"")
    if as_json:
        show_json(report)
        return
    before, after = report["digests_before"], report["digests_after"]
    models = [
        {"read model": name, "before": digest, "after": after.get(name), "same": digest == after.get(name)}
        for name, digest in before.items()
    ]
    show_rows(["read model", "before", "after", "same"], models, as_json=False)
    same = f"{sum(model['same'] is True for model in models)} of {len(models)} read models as before"
    click.echo(f"{plural(report['events'], 'event')} in {report['seconds']:.2f} s; {same}")


@click.command("dead-letters")
@click.option("--limit", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="At most so many.")
@csv_option
@json_option
@node_option
def dead_letters(client: Client, limit: int, as_csv: bool, as_json: bool) -> None:
    """List the events that the log keeps and no read model holds, each with the reason.

    They are not lost: once a version that knows their type runs, a rebuild folds them.

    \b
    rookery dead-letters
    rookery dead-letters --json | jq -r '.[].payload'
    """
    refuse_two_formats(as_json=as_json, as_csv=as_csv)
    found = client.get("/dead-letters", limit=limit)
    columns = ["address", "type", "id", "field", "reason", "recordedtime"]
    rows = found if as_json else [{name: one[name] for name in columns} for one in found]
    show_rows(columns, rows, as_json=as_json, as_csv=as_csv)
