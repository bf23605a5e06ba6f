"""`rookery tail`: the log's latest events, and those to come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import click
import msgspec

from ...schemas import RookeryError
from ..client import Client
from .options import json_option, node_option
from .table import cut, visible

DATA_CHARACTERS_MAX = 120


class NodeWentAway(RookeryError):
    """The node closed while its log was followed. `after` is the position behind the last event that came."""

    def __init__(self, after: str | None) -> None:
        self.after = after
        going_on = f"; when it is back, `rookery tail --after {after}` goes on from here" if after else ""
        super().__init__(f"the node has stopped{going_on}")


@click.command()
@click.option(
    "-n", "--last", type=click.IntRange(min=0), default=10, show_default=True, help="Begin so many events back."
)
@click.option("--after", help="Begin behind this position instead, as in local:41.")
@click.option("-f/-F", "--follow/--no-follow", default=True, show_default="follow", help="Stay for what is to come.")
@click.option("--type", "types", multiple=True, help="Only this event type, or all of a kind: run.*; may be repeated.")
@click.option("--entity", help="Only this entity's, KIND/ID, as in run/run-9.")
@click.option("--agent", help="Only what this agent did, or what is about it.")
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
    agent: str | None,
    source: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Print the log's latest events and go on with those to come, one a line. Ctrl-C ends it.

    \b
    rookery tail
    rookery tail --last 100 --type run.completed --type run.failed
    rookery tail --agent coder-7 --type 'run.*'
    rookery tail --entity run/run-9 --after local:0 -F
    rookery tail --after local:0 --no-follow --json > everything.ndjson

    With --last, the filters apply to those latest events; to search the whole log, begin with --after local:0.
    """
    position: str | None = None
    seen = 0
    asked: dict[str, Any] = {"type": list(types), "entity": entity, "agent": agent, "source": source}
    begin: dict[str, Any] = {"after": after} if after else {"last": last}
    for line_position, line in _lines(client, follow, limit, begin | asked):
        position, seen = line_position, seen + 1
        click.echo(line if as_json else _readable(msgspec.json.decode(line)))
    if follow and seen != limit:
        raise NodeWentAway(position)


def _lines(
    client: Client, follow: bool, limit: int | None, asked: dict[str, Any]
) -> Iterator[tuple[str | None, bytes]]:
    """The lines, each behind the position that goes on from it; None where nothing will have to."""
    if follow:
        return islice(client.follow(**asked), limit)
    return ((None, line) for line in client.lines("/events", limit=limit, **asked))


def _readable(event: Mapping[str, Any]) -> str:
    address = click.style(f"{event['origin']}:{event['n']}", dim=True)
    if "undecodable" in event:
        fault = click.style("undecodable", fg="red")
        return _spaced([address, event["recordedtime"], fault, visible(event["natssubject"])])
    kind, subject = visible(str(event.get("type"))), visible(str(event.get("subject")))
    data = visible(msgspec.json.encode(event.get("data")).decode())
    return _spaced(
        [
            address,
            visible(str(event.get("time"))),
            click.style(kind, bold=True),
            subject,
            cut(data, DATA_CHARACTERS_MAX),
        ]
    )


def _spaced(parts: Sequence[str]) -> str:
    return "  ".join(parts)
