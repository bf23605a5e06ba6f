"""`rookery publish`: one event, checked before it leaves."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click
import msgspec

from ...schemas import Event, InvalidData, InvalidEvent, check_strictly, encode, new_id
from ..client import Client
from .options import json_option, node_option
from .output import show_json


@click.command()
@click.argument("type")
@click.argument("subject")
@click.option("--data", default="{}", help="The payload, a JSON object; `-` reads it from standard input.")
@click.option("--source", default="/people/operator", show_default=True, help="Who says so, as in /agents/coder-7.")
@click.option("--id", "event_id", help="The event's id, to publish it at most once; a fresh one by default.")
@click.option("--correlation-id", help="The run or conversation that it belongs to.")
@json_option
@node_option
def publish(
    client: Client,
    type: str,
    subject: str,
    data: str,
    source: str,
    event_id: str | None,
    correlation_id: str | None,
    as_json: bool,
) -> None:
    """Publish an event of TYPE about SUBJECT, and return when queries can see it.

    An invalid event is refused with exit code 2 and leaves no trace.

    \b
    rookery publish agent.registered coder-7 --data '{"name": "Coder", "capabilities": ["code.review"]}'
    rookery publish run.completed run-9 --data '{"agent_id": "coder-7", "success": true}' --source /agents/coder-7
    """
    payload = _event(type, subject, sys.stdin.read() if data == "-" else data, source, event_id, correlation_id)
    check_strictly(payload)
    answer = client.publish([payload])
    if refusals := answer["refusals"]:
        raise InvalidEvent(refusals[0]["reason"], refusals[0]["field"])
    if as_json:
        show_json(answer)
    elif answer["new"]:
        click.echo("published")
    else:
        click.echo("known already: an event with this id was published before")


def _event(type: str, subject: str, data: str, source: str, event_id: str | None, correlation_id: str | None) -> bytes:
    try:
        raw = msgspec.json.format(data.encode(), indent=-1)
    except msgspec.DecodeError as error:
        raise InvalidData(f"not JSON: {error}", "data") from None
    return encode(
        Event(
            specversion="1.0",
            id=event_id or new_id(),
            source=source,
            type=type,
            subject=subject,
            time=datetime.now(UTC),
            correlationid=correlation_id,
            data=msgspec.Raw(raw),
        )
    )
