"""Reading the event stream in order and without gaps, for ever: through reconnects, restarts and lost consumers.

A consumer on the server hands out what is pulled and remembers nothing that matters: whenever it is in doubt, a new
one takes over at the last event that was delivered here. That one is read again and compared: a server that lost the
end of its stream gives out the same sequences once more, and says nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from .connection import INBOUND_BYTES_MAX, INBOUND_EVENTS_MAX, Connection, pauses_seconds
from .contract import READ_BATCH_EVENTS_MAX, Delivery
from .errors import BusUnavailable, NoResponder, StreamRewound
from .jetstream import call
from .streams import MirrorConfig, StreamConfig, state

# A pull ends after this many bytes, so that a reader holds no more than twice as much.
READ_BATCH_BYTES_MAX = 16 * 1024 * 1024
PULL_EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 5
HEARTBEATS_MISSED_MAX = 2
# How long the server keeps the consumer of a reader that is gone.
INACTIVE_SECONDS = 60

_NANOSECONDS = 1_000_000_000
_HEARTBEAT = "100"
_PULL_ENDED = frozenset({"408 Request Timeout", "409 Batch Completed", "409 Message Size Exceeds MaxBytes"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

logger = logging.getLogger(__name__)


class _ConsumerConfig(msgspec.Struct, frozen=True):
    opt_start_seq: int
    filter_subject: str
    deliver_policy: str = "by_start_sequence"
    ack_policy: str = "none"
    max_deliver: int = 1
    inactive_threshold: int = INACTIVE_SECONDS * _NANOSECONDS
    mem_storage: bool = True
    num_replicas: int = 1


class _CreateConsumer(msgspec.Struct, frozen=True):
    stream_name: str
    config: _ConsumerConfig


class _Consumer(msgspec.Struct, frozen=True):
    name: str


class _Pull(msgspec.Struct, frozen=True):
    batch: int = READ_BATCH_EVENTS_MAX
    max_bytes: int = READ_BATCH_BYTES_MAX
    expires: int = PULL_EXPIRES_SECONDS * _NANOSECONDS
    idle_heartbeat: int = HEARTBEAT_SECONDS * _NANOSECONDS


class _Lost(Exception):
    """The consumer is gone, or what it sends has a hole."""


_PULL = msgspec.json.encode(_Pull())


async def read(
    connection: Connection, stream: StreamConfig | MirrorConfig, *, after: int, subject: str
) -> AsyncGenerator[list[Delivery], None]:
    """See `Bus.read`."""
    pauses = pauses_seconds()
    last: Delivery | None = None
    while True:
        await connection.ready()
        try:
            async with contextlib.aclosing(_consume(connection, stream, after, last, subject)) as batches:
                async for batch in batches:
                    after, last = batch[-1].sequence, batch[-1]
                    pauses = pauses_seconds()
                    yield batch
        except (_Lost, BusUnavailable, NoResponder) as error:
            if connection.client.is_closed:
                raise connection.unavailable("the connection is closed") from None
            logger.info("reading %s again after sequence %d: %s", stream.name, after, error)
            await asyncio.sleep(next(pauses))


async def _consume(
    connection: Connection, stream: StreamConfig | MirrorConfig, after: int, last: Delivery | None, subject: str
) -> AsyncGenerator[list[Delivery], None]:
    """Deliver from one consumer, for as long as it lasts; `last` is what another one has delivered at `after`."""
    held = await state(connection, stream)
    if held.last_sequence < after:
        raise StreamRewound(after, held.last_sequence)
    begin = after if last else after + 1
    config = _ConsumerConfig(opt_start_seq=begin, filter_subject=subject)
    consumer = await call(connection, f"CONSUMER.CREATE.{stream.name}", _CreateConsumer(stream.name, config), _Consumer)
    pull = _PullFrom(connection, f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{consumer.name}", begin - 1)
    try:
        await pull.open()
        while True:
            batch = await pull.next()
            if last and batch[0].sequence == after:
                if batch[0] != last:
                    raise StreamRewound(after, held.last_sequence)
                del batch[0]
            last = None
            if batch:
                yield batch
    finally:
        await pull.close()
        with contextlib.suppress(BusUnavailable):  # else the server drops it, INACTIVE_SECONDS later
            await connection.send(f"$JS.API.CONSUMER.DELETE.{stream.name}.{consumer.name}", b"")


class _PullFrom:
    """One consumer's messages. The next pull is on its way while the reader works on the last batch."""

    def __init__(self, connection: Connection, subject: str, after: int) -> None:
        self._connection = connection
        self._subject = subject
        self._last_sequence = after
        self._delivered = 0
        self._due = 0
        self._batch: list[Delivery] = []
        self._lost = ""
        self._arrived = asyncio.Event()
        self._pulls = 0
        self._inbox = connection.client.new_inbox() + "."
        self._subscription: Subscription | None = None
        self._forget_reconnects = connection.on_reconnect(lambda: self._lose("reconnected"))

    async def open(self) -> None:
        try:
            self._subscription = await self._connection.client.subscribe(
                self._inbox + "*",
                cb=self._take,
                pending_msgs_limit=INBOUND_EVENTS_MAX,
                pending_bytes_limit=INBOUND_BYTES_MAX,
            )
        except NatsError as error:
            raise self._connection.unavailable(str(error)) from None

    async def next(self) -> list[Delivery]:
        """Whatever is at hand, as soon as there is something."""
        while not self._batch:
            if self._lost:
                raise _Lost(self._lost)
            await self._pull_if_done()
            self._arrived.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS * (HEARTBEATS_MISSED_MAX + 0.5)):
                    await self._arrived.wait()
            except TimeoutError:
                raise _Lost("the server stopped sending heartbeats") from None
        batch, self._batch = self._batch, []
        if not self._lost:
            await self._pull_if_done()
        return batch

    async def close(self) -> None:
        self._forget_reconnects()
        if self._subscription is not None:
            with contextlib.suppress(NatsError):
                await self._subscription.unsubscribe()

    async def _pull_if_done(self) -> None:
        if self._due == 0:
            self._due = READ_BATCH_EVENTS_MAX
            self._pulls += 1
            try:
                await self._connection.client.publish(self._subject, _PULL, reply=f"{self._inbox}{self._pulls}")
            except NatsError as error:
                raise self._connection.unavailable(str(error)) from None

    async def _take(self, message: Msg) -> None:
        if message.reply:
            self._take_event(message)
        else:
            self._take_status(message)
        self._arrived.set()

    def _take_event(self, message: Msg) -> None:
        sequence, delivered, stored_at = place_in(message.reply)
        if delivered != self._delivered + 1 or sequence <= self._last_sequence:
            self._lose(
                f"delivery {delivered} of sequence {sequence} followed {self._delivered} of {self._last_sequence}"
            )
        if self._lost:
            return
        self._delivered = delivered
        self._last_sequence = sequence
        self._due -= 1
        self._batch.append(Delivery(sequence, message.subject, message.data, stored_at))

    def _take_status(self, message: Msg) -> None:
        status, description = _status(message)
        if status == _HEARTBEAT or message.subject != f"{self._inbox}{self._pulls}":
            return  # the end of an earlier pull may be announced after the next one has begun
        self._due = 0
        if f"{status} {description}" not in _PULL_ENDED:
            self._lose(f"the server answered {status} {description}")

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._arrived.set()


def place_in(reply: str) -> tuple[int, int, datetime]:
    """The stream sequence, the consumer's count and the store time in `$JS.ACK.….<sseq>.<cseq>.<ns>.<pending>`.

    The older form has 9 tokens, the newer one names domain and account besides and may end in another token.
    """
    tokens = reply.split(".")
    start = 5 if len(tokens) == 9 else 7
    return int(tokens[start]), int(tokens[start + 1]), _EPOCH + timedelta(microseconds=int(tokens[start + 2]) // 1_000)


def _status(message: Msg) -> tuple[str, str]:
    headers = message.headers or {}
    return headers.get("Status", ""), headers.get("Description", "")
