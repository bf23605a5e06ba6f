"""Handing over: a task that somebody has in hand, or that waits for somebody, is put where another finds it at once.

What is put there is the same event under another message id. It is there before the old one is taken out, so that a
crash in between leaves the task twice and never not at all: who is handed it a second time asks how it stands.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection

import msgspec

from ..schemas import Event
from .connection import Connection
from .contract import Receipt
from .errors import BusRefused
from .jetstream import call, stored_by_now
from .outgoing import Outgoing, send_one
from .settling import GONE, At, Deleted

# The tasks in hand are the oldest: what isn't among so many is left to come again by itself, after the ack wait.
SEARCHED_EVENTS_MAX = 20_000


class _Task(msgspec.Struct, frozen=True):
    """Of a task, whose input may be large, what tells it from others."""

    subject: str


_TASKS = msgspec.json.Decoder(_Task)


async def hand_over(
    connection: Connection, stream: str, event: Event, subject: str, number: int, places: Collection[str]
) -> Receipt:
    """See `Bus.hand_over`. `places` are the subjects under which the task may wait by now."""
    item = Outgoing(event, None, connection.max_payload_bytes, subject=subject)
    item.id = message_id(event, number)
    held = await _held(connection, stream, event, {subject, *places})
    receipt = Receipt(held[item.id], duplicate=True) if item.id in held else await _put(connection, item)
    for known, sequence in held.items():
        if known != item.id:
            await _take_out(connection, stream, sequence)
    return receipt


def message_id(event: Event, number: int) -> str:
    """Under which id a task is put there for the so-manieth time, after the first."""
    return f"{event.id}/{number}"


def is_of(id: str | None, event: Event) -> bool:
    """Whether a message's id is one of the task's, for whichever time it was put there."""
    return id is not None and id.partition("/")[0] == event.id


async def tasks_at(connection: Connection, stream: str, subject: str) -> AsyncGenerator[list[str], None]:
    """See `Bus.tasks_held`."""
    async for page in stored_by_now(connection, stream, subject, after=0):
        yield [found for one in page if (found := _assignment_in(one.delivery.payload)) is not None]


def _assignment_in(payload: bytes) -> str | None:
    try:
        return _TASKS.decode(payload).subject
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # it is no task
        return None


async def _held(connection: Connection, stream: str, event: Event, places: Collection[str]) -> dict[str, int]:
    """The task's messages that the queue holds, by id, with their sequences."""
    found: dict[str, int] = {}
    for place in sorted(places):
        searched = 0
        async for page in stored_by_now(connection, stream, place, after=0):
            found |= {str(one.id): one.delivery.sequence for one in page if is_of(one.id, event)}
            searched += len(page)
            if searched >= SEARCHED_EVENTS_MAX:
                break
    return found


async def _put(connection: Connection, item: Outgoing) -> Receipt:
    ack = await send_one(connection, item)
    if ack.error is not None:
        raise connection.unavailable(ack.error.description) if ack.error.passes else ack.error.refusal()
    return Receipt(ack.seq, ack.duplicate)


async def _take_out(connection: Connection, stream: str, sequence: int) -> None:
    try:
        await call(connection, f"STREAM.MSG.DELETE.{stream}", At(sequence), Deleted)
    except BusRefused as refused:
        if refused.code not in GONE:  # whoever had it has settled it meanwhile
            raise
