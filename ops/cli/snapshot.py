"""`rookery snapshot`: the read models as a DuckDB file for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ..client import Client
from .options import json_option, node_option
from .output import plural, show_json, size_text


@click.command()
@click.option("--to", "target", type=click.Path(dir_okay=False, path_type=Path), help="Copy the file to here, too.")
@json_option
@node_option
def snapshot(client: Client, target: Path | None, as_json: bool) -> None:
    """Write all read models into a DuckDB file, for Grafana, notebooks and other programs to read.

    DuckDB lets only the node at its own file. The node writes this copy every minute (see the setting
    snapshot_seconds), and now. It holds one table for each read model, and replaces the copy before it at once.

    \b
    rookery snapshot
    rookery snapshot --to colony.duckdb && duckdb -readonly colony.duckdb "from cost_by_model"
    """
    written = client.post("/snapshot", b"")
    if target:
        size_bytes = client.save("/snapshot", target)
        written |= {"path": str(target), "size_bytes": size_bytes}
    if as_json:
        show_json(written)
        return
    click.echo(f"{written['path']}: {size_text(written['size_bytes'])}, in {written['seconds']:.2f} s")
    for origin, n in written["checkpoint"].items():
        click.echo(f"holds {plural(n, 'event')} of {origin}")
