"""Settling: a task in hand, and how nats-server hears what became of it.

A server that crashed may have forgotten that it handed the task out. It then leaves the verdict unanswered, and would
hand the task out again: so what is over is taken out of the queue itself, if it is still there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import msgspec

from ..schemas import Event, MalformedEvent, decode
from .connection import Connection
from .errors import BusRefused, BusUnavailable, NoResponder
from .jetstream import call
from .reading import place_in

ANSWER_SECONDS = 2.0

_NANOSECONDS = 1_000_000_000
_DONE = b"+ACK"
_AGAIN = b"-NAK"
_NEVER = b"+TERM"
_BUSY = b"+WPI"
# JetStream's errors for a message that isn't there.
GONE = frozenset({10037, 10043, 10057})

logger = logging.getLogger(__name__)


class At(msgspec.Struct, frozen=True):
    """Which message is to be deleted; its bytes stay on the disk until they are compacted away."""

    seq: int
    no_erase: bool = True


class _Message(msgspec.Struct, frozen=True):
    data: bytes = b""


class _Found(msgspec.Struct, frozen=True):
    message: _Message


class Deleted(msgspec.Struct, frozen=True):
    """The answer."""

    success: bool


class JetStreamWork:
    """A task from nats-server. See `Work`."""

    __slots__ = (
        "_connection",
        "_put_down",
        "_reconnects",
        "_unanswered",
        "attempt",
        "attempts_max",
        "event",
        "recorded",
        "reply",
    )

    def __init__(
        self, connection: Connection, event: Event, reply: str, attempts_max: int, put_down: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._put_down: Callable[[], None] | None = put_down
        self._unanswered = False
        self._reconnects = connection.reconnects
        self.reply = reply
        self.event = event
        self.recorded: int | None = None
        self.attempt = int(_tokens(reply)[2])
        self.attempts_max = attempts_max

    @property
    def exhausted(self) -> bool:
        """See `Work.exhausted`."""
        return self.attempt > self.attempts_max

    async def done(self) -> None:
        """See `Work.done`."""
        await self._end(_DONE)

    async def again(self, delay_seconds: float = 0.0) -> None:
        """See `Work.again`."""
        delay = round(delay_seconds * _NANOSECONDS)
        try:
            await self._say(_AGAIN + b' {"delay": %d}' % delay if delay > 0 else _AGAIN)
        except (BusUnavailable, NoResponder) as error:
            logger.info("%s was not given back (%s); it comes again after the ack wait", self.event.subject, error)
        finally:
            self._free_hand()

    async def give_up(self) -> None:
        """See `Work.give_up`."""
        await self._end(_NEVER)

    def drop(self) -> None:
        """See `Work.drop`."""
        self._free_hand()

    async def busy(self) -> None:
        """See `Work.busy`."""
        await self._connection.send(self.reply, _BUSY)

    async def _end(self, verdict: bytes) -> None:
        try:
            await self._connection.persist(lambda: self._remove() if self._may_be_forgotten else self._say(verdict))
        finally:
            self._free_hand()

    @property
    def _may_be_forgotten(self) -> bool:
        return self._unanswered or self._reconnects != self._connection.reconnects

    async def _say(self, verdict: bytes) -> None:
        self._unanswered = True
        await self._connection.ask(self.reply, verdict, timeout_seconds=ANSWER_SECONDS)
        self._unanswered = False

    async def _remove(self) -> None:
        """Take the task out of the queue, unless what is in its place is another one."""
        stream, sequence = _tokens(self.reply)[0], place_in(self.reply)[0]
        try:
            held = await call(self._connection, f"STREAM.MSG.GET.{stream}", {"seq": sequence}, _Found)
            if decode(held.message.data).id == self.event.id:
                await call(self._connection, f"STREAM.MSG.DELETE.{stream}", At(sequence), Deleted)
        except MalformedEvent:
            return
        except BusRefused as refused:
            if refused.code not in GONE:
                raise

    def _free_hand(self) -> None:
        if self._put_down is not None:
            self._put_down()
            self._put_down = None


async def give_back(connection: Connection, reply: str) -> None:
    """Let another one have it at once, as far as that can be said: else the ack wait has the same effect."""
    with contextlib.suppress(BusUnavailable):
        await connection.send(reply, _AGAIN)


async def throw_away(connection: Connection, reply: str) -> None:
    """Never hand it out again: it is no task."""
    with contextlib.suppress(BusUnavailable):
        await connection.send(reply, _NEVER)


def _tokens(reply: str) -> list[str]:
    """Stream, consumer, deliveries and so on, in a reply subject of either form; see `place_in`."""
    tokens = reply.split(".")
    return tokens[2 if len(tokens) == 9 else 4 :]
