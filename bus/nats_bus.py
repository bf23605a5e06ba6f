"""The bus on NATS JetStream: every part of it, behind one object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from ..schemas import EVENTS, Event, entity_filter, fact_filter, work_subject
from . import buckets, commands, handover, reading, streams
from . import work as working
from .appender import Appender
from .connection import CONNECT_TIMEOUT_SECONDS, Connection
from .contract import (
    ACK_WAIT_SECONDS,
    HISTORY_EVENTS_MAX,
    REQUEST_TIMEOUT_SECONDS,
    WORK_ATTEMPTS_MAX,
    Delivery,
    Handler,
    Hear,
    History,
    KeyValue,
    ObjectStore,
    Receipt,
    Service,
    StreamState,
    Work,
)
from .errors import BusError, BusRefused, Entity, WorkQueueFull
from .jetstream import PAGE_EVENTS_MAX, STREAM_FULL, first_after, last_sequence, stored_by_now
from .mirrors import Mirror
from .outgoing import ensure_fits
from .publisher import PENDING_EVENTS_MAX, PUBLISH_DEADLINE_SECONDS, Publisher
from .streams import EVENT_STREAM, WORK_STREAM, StreamConfig

# Work has no order among what is given at the same time, and who gives it waits for it.
GIVEN_SINGLY_MAX = 8


class NatsBus:
    """A connection to the bus. Make one with `await NatsBus.connect(url)`; `close()` it, or use it as a context."""

    def __init__(self, connection: Connection, stream: StreamConfig, publisher: Publisher, *, replicas: int) -> None:
        self._connection = connection
        self._replicas = replicas
        self._work_stream = msgspec.structs.replace(WORK_STREAM, num_replicas=replicas)
        self._stream = stream
        self._publisher = publisher
        self._appender = Appender(connection, stream.name)
        self._giver: Publisher | None = None
        self._giver_made = asyncio.Lock()

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        name: str = "rookery",
        credentials: Path | None = None,
        timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        stream: StreamConfig = EVENT_STREAM,
        replicas: int | None = None,
        pending_events_max: int = PENDING_EVENTS_MAX,
        publish_deadline_seconds: float = PUBLISH_DEADLINE_SECONDS,
    ) -> Self:
        """Connect and make sure that the event stream is there as it must be; from then on reconnect for ever.

        `url` is one server, or several of a cluster with commas between. `name` is shown by NATS's monitoring,
        `credentials` is a NATS `.creds` file or a file with an nkey's seed. `replicas` is how many servers keep the
        event stream; without it, as many as do. Work and buckets are kept by as many as events are. Raises
        `BusUnavailable` after `timeout_seconds`, or `StreamDrifted`.
        """
        if replicas is not None:
            stream = msgspec.structs.replace(stream, num_replicas=replicas)
        connection = await Connection.open(url, name=name, credentials=credentials, timeout_seconds=timeout_seconds)
        try:
            held = await connection.persist(
                lambda: streams.apply(connection, stream, resize=replicas is not None),
                deadline_seconds=timeout_seconds,
            )
        except BusError:
            await connection.close()
            raise
        publisher = Publisher(
            connection,
            stream.name,
            held.last_sequence,
            pending_events_max=pending_events_max,
            deadline_seconds=publish_deadline_seconds,
        )
        return cls(connection, stream, publisher, replicas=held.cluster.size if held.cluster else 1)

    @property
    def connected(self) -> bool:
        """See `Bus.connected`."""
        return self._connection.connected

    @property
    def url(self) -> str:
        """Where the bus is, without a password."""
        return self._connection.shown_url

    @property
    def max_payload_bytes(self) -> int:
        """The largest message that the server takes, headers included."""
        return self._connection.max_payload_bytes

    @property
    def pending_events(self) -> int:
        """How many published events wait to be acknowledged."""
        return self._publisher.pending_events

    def ensure_fits(self, event: Event) -> None:
        """See `Bus.ensure_fits`."""
        ensure_fits(event, self._connection.max_payload_bytes)

    async def publish(self, event: Event, payload: bytes | None = None) -> Receipt:
        """See `Bus.publish`."""
        return await self._publisher.publish(event, payload)

    async def append(
        self, events: Sequence[Event], *, expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        """See `Bus.append`."""
        return await self._appender.append(events, expected, payloads)

    def read(self, *, after: int = 0, subject: str = EVENTS) -> AsyncGenerator[list[Delivery], None]:
        """See `Bus.read`."""
        return reading.read(self._connection, self._stream, after=after, subject=subject)

    async def give(self, event: Event, *, recorded: int | None = None) -> Receipt:
        """See `Bus.give`."""
        subject = working.work_subject_of(event)
        giver = await self._ready_to_give()
        try:
            return await giver.publish(event, subject=subject, headers=working.headers_of(recorded))
        except BusRefused as refused:
            if refused.code != STREAM_FULL:
                raise
            raise WorkQueueFull(WORK_STREAM.max_msgs) from None

    async def hand_over(self, event: Event, agent_id: str | None, *, number: int, was: Collection[str] = ()) -> Receipt:
        """See `Bus.hand_over`."""
        subject, places = working.places_of(event, agent_id, was)
        await self._ready_to_give()
        stream = self._work_stream.name
        try:
            return await self._connection.persist(
                lambda: handover.hand_over(self._connection, stream, event, subject, number, places)
            )
        except BusRefused as refused:
            raise WorkQueueFull(WORK_STREAM.max_msgs) if refused.code == STREAM_FULL else refused from None

    async def make_room_for_work(self) -> None:
        """Make sure that the stream is there in which work waits. Raises `BusUnavailable` or `StreamDrifted`."""
        await self._connection.persist(lambda: streams.apply(self._connection, self._work_stream))

    async def tasks_held(self, capability: str, *, agent_id: str | None = None) -> AsyncGenerator[list[str], None]:
        """See `Bus.tasks_held`."""
        await self._ready_to_give()
        subject = work_subject(capability, agent_id)
        async for page in handover.tasks_at(self._connection, self._work_stream.name, subject):
            yield page

    def work(
        self,
        capability: str | None,
        *,
        agent_id: str | None = None,
        in_hand_max: int,
        attempts_max: int = WORK_ATTEMPTS_MAX,
        ack_wait_seconds: float = ACK_WAIT_SECONDS,
    ) -> AsyncGenerator[Work, None]:
        """See `Bus.work`."""
        return working.work(
            self._connection,
            self._work_stream,
            capability,
            agent_id=agent_id,
            in_hand_max=in_hand_max,
            attempts_max=attempts_max,
            ack_wait_seconds=ack_wait_seconds,
        )

    def mirror(self, spoke: str) -> Mirror:
        """The events of a spoke's bus, as this one mirrors them."""
        return Mirror(self._connection, spoke, self._replicas)

    async def history(self, entity: Entity, *, facts: Collection[str] = ()) -> History:
        """See `Bus.history`."""
        return await self._connection.persist(lambda: self._history(entity, facts))

    async def _history(self, entity: Entity, facts: Collection[str]) -> History:
        connection, stream = self._connection, self._stream.name
        page_max = HISTORY_EVENTS_MAX + 1 if facts else PAGE_EVENTS_MAX
        deliveries, counted = list[Delivery](), 0
        async for page in stored_by_now(connection, stream, entity_filter(*entity), after=0, page_max=page_max):
            counted = counted or 1 + page[0].behind
            deliveries += (one.delivery for one in page)
            if facts and len(deliveries) > HISTORY_EVENTS_MAX:
                return await self._history_of(entity, facts)
        sequence = deliveries[-1].sequence if deliveries else 0
        return History(deliveries, sequence, max(counted - len(deliveries), 0))

    async def _history_of(self, entity: Entity, facts: Collection[str]) -> History:
        connection, stream = self._connection, self._stream.name
        sequence = await last_sequence(connection, stream, entity_filter(*entity))

        async def told(fact: str) -> list[Delivery]:
            pages = stored_by_now(connection, stream, fact_filter(*entity, fact), after=0)
            return [one.delivery async for page in pages for one in page]

        found = await asyncio.gather(*map(told, facts))
        return History(sorted(one for deliveries in found for one in deliveries), sequence)

    async def has_happened(self, entity: Entity, fact: str) -> bool:
        """See `Bus.has_happened`."""
        subject = fact_filter(*entity, fact)
        return await self._connection.persist(lambda: last_sequence(self._connection, self._stream.name, subject)) > 0

    async def state(self) -> StreamState:
        """See `Bus.state`."""
        return await self._connection.persist(lambda: streams.state(self._connection, self._stream))

    async def first_after(self, sequence: int) -> Delivery | None:
        """See `Bus.first_after`."""
        return await self._connection.persist(lambda: first_after(self._connection, self._stream.name, sequence))

    async def lost_events(self) -> int:
        """See `Bus.lost_events`."""
        return await self._connection.persist(lambda: streams.lost_events(self._connection, self._stream.name))

    async def drift(self) -> list[str]:
        """See `Bus.drift`."""
        return await self._connection.persist(lambda: streams.drift(self._connection, self._stream))

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """See `Bus.request`."""
        return await commands.request(self._connection, subject, payload, timeout_seconds)

    async def serve(self, subject: str, handler: Handler, *, queue: str) -> Service:
        """See `Bus.serve`."""
        return await commands.serve(self._connection, subject, handler, queue)

    async def send(self, subject: str, payload: bytes) -> None:
        """See `Bus.send`."""
        await commands.send(self._connection, subject, payload)

    async def listen(self, subject: str, hear: Hear) -> Service:
        """See `Bus.listen`."""
        return await commands.listen(self._connection, subject, hear)

    async def key_value(self, bucket: str) -> KeyValue:
        """See `Bus.key_value`."""
        return await buckets.key_value(self._connection, bucket, self._replicas)

    async def objects(self, bucket: str) -> ObjectStore:
        """See `Bus.objects`."""
        return await buckets.objects(self._connection, bucket, self._replicas)

    async def close(self) -> None:
        """See `Bus.close`."""
        try:
            await self._publisher.close()
            await self._appender.close()
            if self._giver is not None:
                await self._giver.close()
        finally:  # whoever has no more patience leaves no connection behind that reconnects for ever
            await self._connection.close()

    async def _ready_to_give(self) -> Publisher:
        """What publishes to the work stream, which is made when it is needed first."""
        async with self._giver_made:
            if self._giver is None:
                held = await self._connection.persist(lambda: streams.apply(self._connection, self._work_stream))
                self._giver = Publisher(
                    self._connection, WORK_STREAM.name, held.last_sequence, singly_max=GIVEN_SINGLY_MAX
                )
        return self._giver

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
