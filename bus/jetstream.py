"""The JetStream API as far as we speak it: questions in JSON, acknowledgements, and reading stored events back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
from nats.aio.msg import Msg

from ..schemas import EVENTS
from .connection import Connection, pauses_seconds
from .contract import Delivery
from .errors import BusRefused

PAGE_EVENTS_MAX = 1_000

NOT_FOUND = 404
STREAM_NOT_FOUND = 10059
NO_MESSAGE = 10037
WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
DUPLICATE_IN_BATCH = 10201

# What passes by itself: not the leader (any more), the same id is being stored, the rest of the batch went to a server
# that is gone, and every 429 and 503 but those of a full disk.
_PASSING = frozenset({10009, 10158, 10176})
STREAM_FULL = 10077
_FULL = frozenset({10023, STREAM_FULL})

Response = TypeVar("Response")


class Fault(msgspec.Struct, frozen=True):
    """An error as JetStream reports it."""

    code: int
    err_code: int = 0
    description: str = ""

    @property
    def passes(self) -> bool:
        """Whether trying again later may succeed."""
        return self.err_code in _PASSING or (self.code in (429, 503) and self.err_code not in _FULL)

    def refusal(self) -> BusRefused:
        """The error to raise."""
        return BusRefused(self.err_code, self.description)


class Ack(msgspec.Struct, frozen=True):
    """The acknowledgement of a publish, or of a whole batch: `seq` is the last event's, `count` how many there are."""

    seq: int = 0
    duplicate: bool = False
    count: int = 1
    error: Fault | None = None


class Stored(NamedTuple):
    """A stored event, the `Nats-Msg-Id` that it was published with, and how many more the server counted behind it."""

    delivery: Delivery
    id: str | None
    behind: int


class _Failed(msgspec.Struct, frozen=True):
    error: Fault | None = None


class _Get(msgspec.Struct, frozen=True, omit_defaults=True):
    seq: int = 0
    next_by_subj: str = ""
    batch: int = 0


class _GetLast(msgspec.Struct, frozen=True):
    last_by_subj: str


class _Message(msgspec.Struct, frozen=True):
    seq: int
    subject: str
    time: str
    data: bytes = b""


class _MessageResponse(msgspec.Struct, frozen=True):
    message: _Message


_ack = msgspec.json.Decoder(Ack)
_failed = msgspec.json.Decoder(_Failed)


async def call(connection: Connection, subject: str, question: object, response: type[Response]) -> Response:
    """Ask the API under `$JS.API.`; raises `BusRefused` with JetStream's error, or as `Connection.ask` does."""
    payload = b"" if question is None else msgspec.json.encode(question)
    answer = (await connection.ask(f"$JS.API.{subject}", payload)).data
    fault = _failed.decode(answer).error
    if fault is not None:
        raise connection.unavailable(fault.description) if fault.passes else fault.refusal()
    return msgspec.json.decode(answer, type=response)


async def last_sequence(connection: Connection, stream: str, subject: str) -> int:
    """The sequence of the last event on a subject, as the stream's leader knows it; 0 if there is none."""
    found = await _found(connection, stream, _GetLast(subject))
    return found.seq if found else 0


async def last_message(connection: Connection, stream: str, subject: str) -> bytes | None:
    """The last event's bytes on a subject, as the stream's leader knows it."""
    found = await _found(connection, stream, _GetLast(subject))
    return found.data if found else None


async def stored_by_now(
    connection: Connection, stream: str, subject: str, *, after: int, page_max: int = PAGE_EVENTS_MAX
) -> AsyncIterator[list[Stored]]:
    """Like `stored`, and all of what the leader has by now: a replica that lags is asked again."""
    last = await last_sequence(connection, stream, subject)
    for pause in pauses_seconds():
        async for page in stored(connection, stream, subject, after=after, page_max=page_max):
            yield page
            after = page[-1].delivery.sequence
        if after >= last:
            return
        await asyncio.sleep(pause)


async def stored(
    connection: Connection, stream: str, subject: str, *, after: int, page_max: int = PAGE_EVENTS_MAX
) -> AsyncIterator[list[Stored]]:
    """The events on a subject, page by page. A replica may answer, and lag: what isn't here may still be coming."""
    while True:
        question = msgspec.json.encode(_Get(seq=after + 1, next_by_subj=subject, batch=page_max))
        answers = await connection.ask_many(f"$JS.API.DIRECT.GET.{stream}", question, _ends_page)
        end = answers.pop()
        if answers:
            yield [_stored(answer) for answer in answers]
        headers = end.headers or {}
        if headers.get("Status") not in ("204", str(NOT_FOUND)):
            raise BusRefused(int(headers.get("Status", 0)), headers.get("Description", "no reason given"))
        if int(headers.get("Nats-Num-Pending", 0)) == 0 or not answers:
            return
        after = int((answers[-1].headers or {})["Nats-Sequence"])


async def first_after(connection: Connection, stream: str, sequence: int) -> Delivery | None:
    """The first event after a sequence that the stream's leader has to give, if there is one."""
    found = await _found(connection, stream, _Get(seq=sequence + 1, next_by_subj=EVENTS))
    return Delivery(found.seq, found.subject, found.data, datetime.fromisoformat(found.time)) if found else None


async def _found(connection: Connection, stream: str, question: _Get | _GetLast) -> _Message | None:
    try:
        found = await call(connection, f"STREAM.MSG.GET.{stream}", question, _MessageResponse)
    except BusRefused as refused:
        if refused.code == NO_MESSAGE:
            return None
        raise
    return found.message


def ack_in(message: Msg) -> Ack:
    """The acknowledgement in the answer to a publish."""
    return _ack.decode(message.data)


def _ends_page(message: Msg) -> bool:
    return not message.data and "Status" in (message.headers or {})


def _stored(message: Msg) -> Stored:
    headers = message.headers or {}
    delivery = Delivery(
        int(headers["Nats-Sequence"]),
        headers["Nats-Subject"],
        message.data,
        datetime.fromisoformat(headers["Nats-Time-Stamp"]),
    )
    return Stored(delivery, headers.get("Nats-Msg-Id"), int(headers["Nats-Num-Pending"]))
