"""`rookery tail`: the log's latest events, and those to come."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from ..client import Client
from .options import json_option, node_option

DATA_CHARACTERS_MAX = 120


@click.command()
@click.option("-n", "--last", type=click.IntRange(min=0), default=10, show_default=True, help="Begin so far back.")
@click.option("--after", help="Begin behind this address instead, as in local:41.")
@click.option("-f/-F", "--follow/--no-follow", default=True, show_default=True, help="Stay for what is to come.")
@click.option("--type", "types", multiple=True, help="Only this event type; may be given several times.")
@click.option("--entity", help="Only this entity's, as in run/run-9.")
@click.option("--source", help="Only from this source, as in /agents/coder-7.")
@click.option("--limit", type=click.IntRange(min=0), help="Stop after so many.")
@json_option
@node_option
def tail(
    client: Client,
    last: int,
    after: str | None,
    follow: bool,
    types: tuple[str, ...],
    entity: str | None,
    source: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the log's latest events and go on with those to come, one a line.

    \b
    rookery tail
    rookery tail --last 100 --type run.completed --type run.failed
    rookery tail --after local:0 --no-follow --json > everything.ndjson
    """
    lines = client.lines(
        "/events",
        last=None if after else last,
        after=after,
        follow=follow,
        type=list(types),
        entity=entity,
        source=source,
        limit=limit,
    )
    for line in lines:
        click.echo(line if as_json else _readable(msgspec.json.decode(line)))


def _readable(event: dict[str, Any]) -> str:
    address = click.style(f"{event['origin']}:{event['n']}", dim=True)
    if "undecodable" in event:
        return f"{address}  {event['recordedtime']}  {click.style('undecodable', fg='red')}  {event['natssubject']}"
    data = msgspec.json.encode(event.get("data")).decode()
    if len(data) > DATA_CHARACTERS_MAX:
        data = data[: DATA_CHARACTERS_MAX - 1] + "…"
    return (
        f"{address}  {event.get('time')}  {click.style(event.get('type'), bold=True)}  {event.get('subject')}  {data}"
    )
