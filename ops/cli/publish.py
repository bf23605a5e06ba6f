"""`rookery publish`: one event, checked before it leaves."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from ...schemas import Event, InvalidData, InvalidEvent, all_types, check_strictly, encode, new_id
from ..client import Client
from .options import json_option, node_option, standard_input
from .output import show_json

TYPES = ", ".join(known.name for known in all_types())


@click.command(epilog=f"The types: {TYPES}.")
@click.argument("type")
@click.argument("subject")
@click.option(
    "--data", default="{}", show_default=True, help="The payload, a JSON object; `-` reads it from standard input."
)
@click.option("--source", default="/people/operator", show_default=True, help="Who says so, as in /agents/coder-7.")
@click.option("--id", "event_id", help="The event's id; one that is known already changes nothing.  [default: fresh]")
@click.option(
    "--about", metavar="PERSON", help="Whom the personal fields are about: they are sealed with that person's key."
)
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
    about: str | None,
    correlation_id: str | None,
    as_json: bool,
) -> None:
    """Publish an event of TYPE about SUBJECT, the id of what it happened to. Returns when queries can see it.

    What is said --about a person is sealed before it reaches the bus, and unreadable once the person is forgotten
    (`rookery forget`); say it with an id and a source that name nobody. An invalid event is refused with exit code 2,
    says which field is wrong, and leaves no trace.

    \b
    rookery publish agent.registered coder-7 --data '{"name": "Coder", "capabilities": ["code.review"]}'
    rookery publish run.started run-9 --data '{"agent_id": "coder-7"}' --source /agents/coder-7
    rookery publish run.completed run-9 --data '{"success": true, "reward": 0.8}' --id run-9-completed
    rookery publish feedback.given.v2 fb-1 --about user-17 --data '{"kind": "comment", "comment": "I feel left out"}'
    echo '{"task": "Review the diff"}' | rookery publish run.started run-10 --data -
    """
    text = standard_input() if data == "-" else data.encode()
    payload = _event(type, subject, text, source, event_id, about, correlation_id)
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


def _event(
    type: str,
    subject: str,
    data: bytes,
    source: str,
    event_id: str | None,
    about: str | None,
    correlation_id: str | None,
) -> bytes:
    return encode(
        Event(
            specversion="1.0",
            id=new_id() if event_id is None else event_id,
            source=source,
            type=type,
            subject=subject,
            time=datetime.now(UTC),
            correlationid=correlation_id,
            datasubject=about,
            data=msgspec.Raw(_on_one_line(data)),
        )
    )


def _on_one_line(data: bytes) -> bytes:
    if not data.strip():
        raise InvalidData("it is empty; `{}` is an object without fields", "data")
    try:
        data.decode()
        return msgspec.json.format(data, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidData(f"not JSON: {error}", "data") from None
