"""Events on their way out: what is checked before one is sent, and how one or a batch of them is put on the wire."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence

from ..schemas import Event, InvalidEvent, decode, encode, subject_of
from .connection import Connection
from .errors import EventTooLarge
from .jetstream import Ack, ack_in

# nats-server ends a connection that sends a control line of more than 4,096 bytes: the subject, the reply's and the
# sizes.
SUBJECT_BYTES_MAX = 2_048
# What our headers add to a message at most, an expectation's subject left out.
HEADER_BYTES_MAX = 320

# After so many messages the event loop gets a turn: what was written goes out, and nobody else starves.
_TURN_EVENTS = 128

MESSAGE_ID = "Nats-Msg-Id"
NO_HEADERS: Mapping[str, str] = {}
_BATCH_ID = "Nats-Batch-Id"
_BATCH_SEQUENCE = "Nats-Batch-Sequence"
_BATCH_COMMIT = "Nats-Batch-Commit"


class Outgoing:
    """One event that waits to be acknowledged."""

    __slots__ = ("headers", "id", "payload", "subject")

    def __init__(
        self,
        event: Event,
        payload: bytes | None,
        max_payload_bytes: int,
        *,
        extra_header_bytes: int = 0,
        subject: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self.id = event.id
        self.headers = headers
        self.payload = checked(event) if payload is None else payload
        self.subject = subject or subject_of(event)
        size_bytes = len(self.payload) + HEADER_BYTES_MAX + extra_header_bytes
        if size_bytes > max_payload_bytes:
            raise EventTooLarge(event.id, size_bytes, max_payload_bytes)
        if len(self.subject) > SUBJECT_BYTES_MAX:
            raise InvalidEvent(
                f"with the source it makes a NATS subject of {len(self.subject)} bytes, and {SUBJECT_BYTES_MAX} are "
                "allowed: use shorter ids, or fewer characters beyond letters, digits and -_~",
                "subject",
            )


def ensure_fits(event: Event, max_payload_bytes: int) -> None:
    """Raise for an event that would not fit with an expectation of any entity in its headers."""
    Outgoing(event, None, max_payload_bytes, extra_header_bytes=SUBJECT_BYTES_MAX)


def checked(event: Event) -> bytes:
    """The event's bytes, which hold what the envelope promises. Raises `MalformedEvent`."""
    payload = encode(event)
    decode(payload)
    return payload


async def send_one(connection: Connection, item: Outgoing, headers: Mapping[str, str] | None = None) -> Ack:
    """Publish one event. Raises `NoResponder`, or `BusUnavailable` if it may or may not be stored."""
    answer = await connection.ask(
        item.subject, item.payload, headers={MESSAGE_ID: item.id, **item.headers, **(headers or {})}
    )
    return ack_in(answer)


async def send_batch(
    connection: Connection, items: Sequence[Outgoing], extra_headers: Mapping[int, Mapping[str, str]] | None = None
) -> Ack:
    """Publish a JetStream atomic batch (ADR-50): all of it is stored or nothing.

    `extra_headers` go onto the event with that index. Raises as `send_one` does.
    """
    batch_id = uuid.uuid4().hex
    extra = extra_headers or {}
    last = len(items) - 1
    for index, item in enumerate(items):
        headers = {MESSAGE_ID: item.id, _BATCH_ID: batch_id, _BATCH_SEQUENCE: str(index + 1)}
        headers.update(item.headers)
        if index in extra:
            headers.update(extra[index])
        if index == last:
            headers[_BATCH_COMMIT] = "1"
            return ack_in(await connection.ask(item.subject, item.payload, headers=headers))
        await connection.send(item.subject, item.payload, headers)
        if index % _TURN_EVENTS == _TURN_EVENTS - 1:
            await asyncio.sleep(0)
    raise ValueError("a batch has at least one event")
