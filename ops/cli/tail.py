"""`rookery tail`: the log's latest events, and those to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from ...schemas import RookeryError, all_types
from ..client import Client
from .options import json_option, node_option
from .output import remark
from .table import cut, visible

DATA_CHARACTERS_MAX = 120


class NodeWentAway(RookeryError):
    """The node closed while its log was followed. `after` is the address of the last event that came."""

    def __init__(self, after: str | None) -> None:
        self.after = after
        going_on = f"; when it is back, `rookery tail --after {after}` goes on from here" if after else ""
        super().__init__(f"the node has stopped{going_on}")


@click.command()
@click.option(
    "-n", "--last", type=click.IntRange(min=0), default=10, show_default=True, help="Begin so many events back."
)
@click.option("--after", help="Begin behind this address instead, as in local:41.")
@click.option("-f/-F", "--follow/--no-follow", default=True, show_default="follow", help="Stay for what is to come.")
@click.option("--type", "types", multiple=True, help="Only this event type; may be given several times.")
@click.option("--entity", help="Only this entity's, KIND/ID, as in run/run-9.")
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
    """Print the log's latest events and go on with those to come, one a line. Ctrl-C ends it.

    \b
    rookery tail
    rookery tail --last 100 --type run.completed --type run.failed
    rookery tail --entity run/run-9 --after local:0 -F
    rookery tail --after local:0 --no-follow --json > everything.ndjson

    With --last, the filters apply to those latest events; to search the whole log, begin with --after local:0.
    """
    for stranger in set(types) - {known.name for known in all_types()}:
        remark(f"{stranger!r} is no event type of this version; `rookery publish --help` lists them")
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
    address, seen = None, 0
    for line in lines:
        event = msgspec.json.decode(line)
        address, seen = f"{event['origin']}:{event['n']}", seen + 1
        click.echo(line if as_json else _readable(event))
    if follow and seen != limit:
        raise NodeWentAway(address)


def _readable(event: Mapping[str, Any]) -> str:
    address = click.style(f"{event['origin']}:{event['n']}", dim=True)
    if "undecodable" in event:
        fault = click.style("undecodable", fg="red")
        return _spaced([address, event["recordedtime"], fault, visible(event["natssubject"])])
    kind, subject = visible(str(event.get("type"))), visible(str(event.get("subject")))
    data = visible(msgspec.json.encode(event.get("data")).decode())
    return _spaced(
        [address, str(event.get("time")), click.style(kind, bold=True), subject, cut(data, DATA_CHARACTERS_MAX)]
    )


def _spaced(parts: Sequence[str]) -> str:
    return "  ".join(parts)
