"""Work: tasks that wait in a JetStream work queue until one of the agents that can do them has done them.

A durable pull consumer for each capability, shared by all who have it, and one for each agent that is given work by
name. nats-server hands a task out again when it isn't acknowledged in time, and never stops by itself: who gets a task
whose attempts are used up says so, since nobody else would.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from ..schemas import AssignmentCreated, Event, InvalidEvent, decode, derived_id, escape, work_subject
from .connection import INBOUND_BYTES_MAX, INBOUND_EVENTS_MAX, Connection, pauses_seconds
from .contract import Work
from .errors import BusUnavailable, NoResponder
from .jetstream import call
from .outgoing import NO_HEADERS, SUBJECT_BYTES_MAX
from .settling import JetStreamWork, give_back, throw_away
from .streams import StreamConfig, apply

# What all agents of one capability may have in hand together, and how many of them may wait for work at a time.
IN_HAND_TOTAL_MAX = 100_000
PULLS_WAITING_MAX = 10_000
PULL_EXPIRES_SECONDS = 30
# A pull on which no heartbeat comes for so long is asked anew: its server is gone, or has forgotten it.
HEARTBEAT_SECONDS = 5
SILENT_SECONDS_MAX = 2.5 * HEARTBEAT_SECONDS
CLOSE_TIMEOUT_SECONDS = 2.0
# How long nats-server remembers the attempts of a queue that nobody takes from.
INACTIVE_SECONDS = 7 * 24 * 3600
# A consumer's name is a single token of at most 255 bytes.
_NAME_BYTES_MAX = 200
# Work given by name is fetched beside the shared work, and so beyond the room there is by at most this much.
_NAMED_PULL_MAX = 1

_NANOSECONDS = 1_000_000_000
_HEARTBEAT = "100 "
_RECORDED = "Rookery-Recorded"
_PULL_ENDED = frozenset({"408 Request Timeout", "409 Batch Completed"})

logger = logging.getLogger(__name__)


class _ConsumerConfig(msgspec.Struct, frozen=True):
    durable_name: str
    filter_subject: str
    ack_wait: int
    deliver_policy: str = "all"
    ack_policy: str = "explicit"
    max_deliver: int = -1
    max_ack_pending: int = IN_HAND_TOTAL_MAX
    max_waiting: int = PULLS_WAITING_MAX
    inactive_threshold: int = INACTIVE_SECONDS * _NANOSECONDS


class _CreateConsumer(msgspec.Struct, frozen=True):
    stream_name: str
    config: _ConsumerConfig


class _Consumer(msgspec.Struct, frozen=True):
    name: str


class _Pull(msgspec.Struct, frozen=True):
    batch: int
    expires: int = PULL_EXPIRES_SECONDS * _NANOSECONDS
    idle_heartbeat: int = HEARTBEAT_SECONDS * _NANOSECONDS


def work_subject_of(event: Event) -> str:
    """The subject that the work an event asks for waits under. Raises `InvalidEvent` unless it is an assignment."""
    data = event.payload()
    if not isinstance(data, AssignmentCreated):
        raise InvalidEvent(f"only assignment.created can be given as work, not {event.type}", "type")
    subject = work_subject(data.kind, data.agent_id)
    if len(subject) > SUBJECT_BYTES_MAX:
        raise InvalidEvent(
            f"it makes a NATS subject of {len(subject)} bytes, and {SUBJECT_BYTES_MAX} are allowed: use a shorter name",
            "data.kind" if data.agent_id is None else "data.agent_id",
        )
    return subject


def places_of(event: Event, agent_id: str | None, was: Collection[str]) -> tuple[str, set[str]]:
    """Where a task goes that is handed over, and where it may be by now. Raises `InvalidEvent` as `work_subject_of`."""
    at_first = work_subject_of(event)
    kind = event.payload().kind  # type: ignore[attr-defined] # it is an assignment, or has just been refused
    return work_subject(kind, agent_id), {at_first, work_subject(kind), *(work_subject(kind, one) for one in was)}


async def work(
    connection: Connection,
    stream: StreamConfig,
    capability: str | None,
    *,
    agent_id: str | None,
    in_hand_max: int,
    attempts_max: int,
    ack_wait_seconds: float,
) -> AsyncGenerator[Work, None]:
    """See `Bus.work`."""
    hands = _Hands(connection, in_hand_max, attempts_max, ack_wait_seconds)
    queues = list[_Queue]()
    if capability is not None:
        queues.append(_Queue(hands, stream, _durable("any", capability), work_subject(capability), in_hand_max))
    if agent_id is not None:
        pull_max = in_hand_max if capability is None else _NAMED_PULL_MAX
        queues.append(_Queue(hands, stream, _durable("agent", agent_id), work_subject("", agent_id), pull_max))
    keeping = asyncio.create_task(hands.keep(), name=f"keep work of {capability or agent_id}")
    try:
        while True:
            yield await _take_patiently(hands, queues, capability or f"{agent_id}")
    finally:
        keeping.cancel()
        for queue in queues:
            await queue.close()
        await hands.give_back()


async def _take_patiently(hands: _Hands, queues: list[_Queue], capability: str) -> JetStreamWork:
    for pause in pauses_seconds():
        try:
            return await hands.take(queues)
        except (_Lost, BusUnavailable, NoResponder) as error:
            if hands.connection.client.is_closed:
                raise hands.connection.unavailable("the connection is closed") from None
            logger.info("taking work of %s again: %s", capability, error)
            await asyncio.sleep(pause)
    raise AssertionError("there is always another pause")


def headers_of(recorded: int | None) -> Mapping[str, str]:
    """What a task carries beside its event."""
    return NO_HEADERS if recorded is None else {_RECORDED: str(recorded)}


def recorded_in(message: Msg) -> int | None:
    """The sequence of a task's record, if whoever gave it said one."""
    said = (message.headers or {}).get(_RECORDED, "")
    return int(said) if said.isdecimal() else None


class _Lost(Exception):
    """The queue's consumer is gone, or silent."""


class _Hands:
    """What one who takes work has in hand, and what waits to be handed out."""

    def __init__(self, connection: Connection, in_hand_max: int, attempts_max: int, ack_wait_seconds: float) -> None:
        self.connection = connection
        self._attempts_max = attempts_max
        self.ack_wait_seconds = ack_wait_seconds
        self.changed = asyncio.Event()
        self._in_hand_max = in_hand_max
        self._in_hand = 0
        self._fetched: deque[JetStreamWork] = deque()

    @property
    def room(self) -> int:
        """How many tasks more can be fetched."""
        return self._in_hand_max - self._in_hand - len(self._fetched)

    async def take(self, queues: list[_Queue]) -> JetStreamWork:
        """The next task, once there is one and a hand free for it."""
        while True:
            self.changed.clear()
            for queue in queues:
                await queue.pull()
            if self._fetched and self._in_hand < self._in_hand_max:
                self._in_hand += 1
                return self._fetched.popleft()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENT_SECONDS_MAX):
                    await self.changed.wait()

    async def fetched(self, message: Msg) -> None:
        """Put by what the server handed over; what is no task at all is never to come again."""
        try:
            event = decode(message.data)
            work_subject_of(event)
        except InvalidEvent as error:
            logger.warning("%s holds what is no work, and it was thrown away: %s", message.subject, error)
            await throw_away(self.connection, message.reply)
            self.changed.set()  # nothing may be due any more
            return
        work = JetStreamWork(self.connection, event, message.reply, self._attempts_max, self._put_down)
        work.recorded = recorded_in(message)
        self._fetched.append(work)
        self.changed.set()

    def _put_down(self) -> None:
        self._in_hand -= 1
        self.changed.set()

    async def keep(self) -> None:
        """Hold on to what was fetched and finds no hand free."""
        while True:
            await asyncio.sleep(self.ack_wait_seconds / 3)
            with contextlib.suppress(BusUnavailable):
                for task in list(self._fetched):
                    await task.busy()

    async def give_back(self) -> None:
        """Let others have what was fetched and not handed out."""
        while self._fetched:
            await give_back(self.connection, self._fetched.pop().reply)


class _Queue:
    """One durable consumer, from which no more is pulled than there is room for."""

    def __init__(self, hands: _Hands, stream: StreamConfig, durable: str, subject: str, pull_max: int) -> None:
        self._hands = hands
        self._connection = hands.connection
        self._stream = stream
        self._durable = durable
        self._subject = subject
        self._pull_max = pull_max
        self._due = 0
        self._silent_after = 0.0
        self._lost = ""
        self._inbox = ""
        self._subscription: Subscription | None = None
        self._forget_reconnects: Callable[[], None] = _nothing

    async def pull(self) -> None:
        """Ask for as much as there is room for: when nothing is due, or when half of all is free."""
        now = asyncio.get_running_loop().time()
        if self._due and now > self._silent_after:
            self._lose("the server is silent")
        if self._lost:
            reason = self._lost
            await self.close()
            raise _Lost(reason)
        if self._subscription is None:
            await self._open()
        free = min(self._hands.room, self._pull_max) - self._due
        if free > 0 and (self._due == 0 or free >= self._pull_max // 2):
            self._due += free
            self._heard()
            await self._ask_for(free)

    async def close(self) -> None:
        """Take no more; what is on its way is given back."""
        self._forget_reconnects()
        self._forget_reconnects = _nothing
        subscription, self._subscription = self._subscription, None
        self._due = 0
        self._lost = ""
        if subscription is not None:
            # Left behind when it takes too long, and never cancelled: nats-py's read loop breaks on that.
            await asyncio.wait({asyncio.create_task(_drain(subscription))}, timeout=CLOSE_TIMEOUT_SECONDS)

    async def _open(self) -> None:
        await self._connection.ready()
        await apply(self._connection, self._stream)
        create = f"CONSUMER.CREATE.{self._stream.name}.{self._durable}"
        await call(self._connection, create, self._consumer(), _Consumer)
        self._inbox = self._connection.client.new_inbox()
        try:
            self._subscription = await self._connection.client.subscribe(
                self._inbox,
                cb=self._take,
                pending_msgs_limit=INBOUND_EVENTS_MAX,
                pending_bytes_limit=INBOUND_BYTES_MAX,
            )
        except (NatsError, OSError) as error:
            raise self._connection.unavailable(str(error)) from None
        self._forget_reconnects = self._connection.on_reconnect(lambda: self._lose("reconnected"))

    def _consumer(self) -> _CreateConsumer:
        ack_wait = round(self._hands.ack_wait_seconds * _NANOSECONDS)
        return _CreateConsumer(self._stream.name, _ConsumerConfig(self._durable, self._subject, ack_wait))

    async def _ask_for(self, count: int) -> None:
        question = msgspec.json.encode(_Pull(count))
        try:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream.name}.{self._durable}"
            await self._connection.client.publish(subject, question, reply=self._inbox)
        except (NatsError, OSError) as error:
            raise self._connection.unavailable(str(error)) from None

    def _heard(self) -> None:
        self._silent_after = asyncio.get_running_loop().time() + SILENT_SECONDS_MAX

    async def _take(self, message: Msg) -> None:
        self._heard()
        if not message.reply:
            self._take_status(message)
        elif self._subscription is None:  # closed meanwhile: the server sent this before it heard of that
            await give_back(self._connection, message.reply)
        else:
            self._due -= 1
            await self._hands.fetched(message)

    def _take_status(self, message: Msg) -> None:
        headers = message.headers or {}
        status = f"{headers.get('Status', '')} {headers.get('Description', '')}"
        if status.startswith(_HEARTBEAT):
            return
        if status not in _PULL_ENDED:
            self._lose(f"the server answered {status}")
        self._due -= int(headers.get("Nats-Pending-Messages", 0))
        self._hands.changed.set()

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._hands.changed.set()


async def _drain(subscription: Subscription) -> None:
    with contextlib.suppress(NatsError, OSError):
        await subscription.drain()  # type: ignore[no-untyped-call] # nats-py has no types there


def _nothing() -> None:
    """There is nothing to take back."""


def _durable(kind: str, id: str) -> str:
    """A consumer's name: readable where the id lets it be."""
    token = escape(id)
    return f"{kind}-{token if len(token) <= _NAME_BYTES_MAX else derived_id(id)}"
