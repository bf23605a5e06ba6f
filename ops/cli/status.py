"""`rookery status`: what a node holds and how far behind it is."""

from __future__ import annotations

from typing import Any

import click

from ..client import Client
from .options import json_option, node_option
from .output import show_json


@click.command()
@json_option
@node_option
def status(client: Client, as_json: bool) -> None:
    """Print what the node holds, and how far its log is behind the bus and its read models behind the log."""
    found = client.get("/status")
    if as_json:
        show_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    node, bus = found["node"], found["bus"]
    click.echo(f"node      {node['origin']}, version {node['version']}, {node['state']}, up since {node['started_at']}")
    click.echo(f"bus       {bus['url']}, " + (f"{bus['messages']:,} events" if bus["connected"] else "not connected"))
    for origin in found["origins"]:
        click.echo(f"log       {origin['name']}: {origin['events']:,} events, {_lag(origin['lag_events'])} the bus")
    behind = max((model["lag_events"] for model in found["projections"]), default=0)
    click.echo(f"models    {len(found['projections'])} read models, {_lag(behind)} the log")
    if found["dead_letters"]:
        click.echo(f"dead      {found['dead_letters']:,} events that no read model holds; see `rookery dead-letters`")
    for name, part in found["subsystems"].items():
        if part["state"] != "ready":
            click.echo(f"{name:<9} {part['state']} since {part['since']}: {part['detail']}")


def _lag(events: int) -> str:
    return f"{events:,} behind" if events else "level with"
