"""`rookery status`: what a node holds and how far behind it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from ..client import Client
from .options import json_option, node_option
from .output import plural, show_json, size_text
from .table import harmless


@click.command()
@json_option
@node_option
def status(client: Client, as_json: bool) -> None:
    """Print what the node holds, and how far its log is behind the bus and its read models behind the log.

    \b
    rookery status
    rookery status --json | jq .events
    """
    found = client.get("/status")
    if as_json:
        show_json(found)
    else:
        _show(found, client.url)


def _show(found: dict[str, Any], url: str) -> None:
    node, bus = found["node"], found["bus"]
    state = click.style(node["state"], fg="green" if node["state"] == "ready" else "red", bold=True)
    click.echo(f"node      {state} at {url} for {_since(node['started_at'])}, version {node['version']}")
    click.echo(f"bus       {bus['url']}, {_held(bus)}")
    if bus["replicas"]:
        click.echo(f"servers   {', '.join(map(_server, bus['replicas']))}")
    for origin in found["origins"]:
        click.echo(
            f"log       {origin['name']}: {plural(origin['events'], 'event')}, {_lag(origin['lag_events'])} the bus"
        )
    behind = max((model["lag_events"] for model in found["projections"]), default=0)
    click.echo(f"models    {len(found['projections'])} read models, {_lag(behind)} the log")
    click.echo(f"graph     {_lag(found['graph_lag_events'])} the log")
    if found["dead_letters"]:
        click.echo(
            f"dead      {plural(found['dead_letters'], 'event')} in no read model; `rookery dead-letters` says why"
        )
    for name, part in found["subsystems"].items():
        if part["state"] != "ready":
            reason = f": {harmless(part['detail'])}" if part["detail"] else ""
            click.echo(f"{name:<9} {click.style(part['state'], fg='red')} for {_since(part['since'])}{reason}")


def _server(one: dict[str, Any]) -> str:
    if one["leads"]:
        return f"{one['server']} leads"
    return one["server"] if one["well"] else click.style(f"{one['server']} can't take over", fg="red")


def _held(bus: dict[str, Any]) -> str:
    if not bus["connected"]:
        return click.style("not connected", fg="red")
    return f"{plural(bus['messages'], 'event')}, {size_text(bus['bytes'])}"


def _lag(events: int) -> str:
    return f"{events:,} behind" if events else "level with"


def _since(time: str) -> str:
    """How long ago it was, to the unit that matters."""
    seconds = max(0, round((datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            return plural(seconds // size, unit)
    return plural(seconds, "second")
