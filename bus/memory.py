"""The bus in memory: the double for tests and one-process tools, held to the contract by the same suite."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Self

from ..schemas import EVENTS, Event, RookeryError, entity_filter, fact_filter, work_subject
from .append import expectations_by_event
from .commands import refusal
from .contract import (
    ACK_WAIT_SECONDS,
    HISTORY_EVENTS_MAX,
    READ_BATCH_EVENTS_MAX,
    REQUEST_TIMEOUT_SECONDS,
    WORK_ATTEMPTS_MAX,
    Delivery,
    Entry,
    Handler,
    Hear,
    History,
    Receipt,
    StreamState,
    Work,
)
from .errors import (
    AlreadyPublished,
    BusUnavailable,
    CommandFailed,
    ConcurrencyConflict,
    Entity,
    InvalidKey,
    KeyNotFound,
    NoResponder,
    ObjectNotFound,
    RequestTimedOut,
    RequestTooLarge,
    RevisionConflict,
    StreamRewound,
    TooLarge,
)
from .handover import message_id
from .memory_work import MemoryQueue
from .outgoing import Outgoing, ensure_fits
from .work import places_of, work_subject_of

MAX_PAYLOAD_BYTES = 1024 * 1024
URL = "memory:"

_KEY = re.compile(r"(?!\.)[-/_=.a-zA-Z0-9]+(?<!\.)")

logger = logging.getLogger(__name__)


class MemoryBus:
    """A bus that lives and ends with this object."""

    def __init__(self, *, max_payload_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._created = datetime.now(UTC)
        self._events: list[Delivery] = []
        self._sequences: dict[str, int] = {}
        self._grown = asyncio.Event()
        self._services: list[MemoryService] = []
        self._listening: list[MemoryListening] = []
        self._turns = itertools.count()
        self._keys: dict[str, MemoryKeyValue] = {}
        self._objects: dict[str, MemoryObjects] = {}
        self._work = MemoryQueue(self._refuse_if_closed)
        self._closed = False

    @property
    def connected(self) -> bool:
        """See `Bus.connected`."""
        return not self._closed

    def ensure_fits(self, event: Event) -> None:
        """See `Bus.ensure_fits`."""
        ensure_fits(event, self._max_payload_bytes)

    async def publish(self, event: Event, payload: bytes | None = None) -> Receipt:
        """See `Bus.publish`."""
        item = Outgoing(event, payload, self._max_payload_bytes)
        await self._turn()
        return self._store(item)

    async def append(
        self, events: Sequence[Event], *, expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        """See `Bus.append`."""
        expectations_by_event(events, expected)
        at_hand = payloads or itertools.repeat(None, len(events))
        items = [Outgoing(*one, self._max_payload_bytes) for one in zip(events, at_hand, strict=True)]
        await self._turn()
        known = {item.id: self._sequences[item.id] for item in items if item.id in self._sequences}
        conflict = self._conflict(expected)
        if conflict is not None:
            # Appending the same again is no conflict: what came after the expected sequences are these very events.
            if len(known) < len(items) or min(known.values()) <= min(expected.values()):
                raise conflict
        elif known and len(known) < len(items):
            raise AlreadyPublished(sorted(known))
        return [self._store(item) for item in items]

    async def read(self, *, after: int = 0, subject: str = EVENTS) -> AsyncGenerator[list[Delivery], None]:
        """See `Bus.read`."""
        await self._turn()
        if after > len(self._events):
            raise StreamRewound(after, len(self._events))
        while True:
            new = self._events[after : after + READ_BATCH_EVENTS_MAX]
            after += len(new)
            if batch := [delivery for delivery in new if matches(subject, delivery.subject)]:
                yield batch
            elif not new:
                await self._grown.wait()
            self._refuse_if_closed()

    async def give(self, event: Event, *, recorded: int | None = None) -> Receipt:
        """See `Bus.give`."""
        item = Outgoing(event, None, self._max_payload_bytes, subject=work_subject_of(event))
        await self._turn()
        return self._work.give(event, item, recorded=recorded)

    async def hand_over(self, event: Event, agent_id: str | None, *, number: int, was: Collection[str] = ()) -> Receipt:
        """See `Bus.hand_over`."""
        subject, _ = places_of(event, agent_id, was)
        item = Outgoing(event, None, self._max_payload_bytes, subject=subject)
        item.id = message_id(event, number)
        await self._turn()
        return self._work.give(event, item, instead=True)

    async def tasks_held(self, capability: str, *, agent_id: str | None = None) -> AsyncGenerator[list[str], None]:
        """See `Bus.tasks_held`."""
        await self._turn()
        yield self._work.held(work_subject(capability, agent_id))

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
        return self._work.work(capability, agent_id, in_hand_max, attempts_max, ack_wait_seconds)

    async def history(self, entity: Entity, *, facts: Collection[str] = ()) -> History:
        """See `Bus.history`."""
        await self._turn()
        found = self._history(entity)
        if not facts or len(found.deliveries) <= HISTORY_EVENTS_MAX:
            return found
        wanted = [fact_filter(*entity, fact) for fact in facts]
        return found._replace(
            deliveries=[one for one in found.deliveries if any(matches(subject, one.subject) for subject in wanted)]
        )

    async def has_happened(self, entity: Entity, fact: str) -> bool:
        """See `Bus.has_happened`."""
        await self._turn()
        subject = fact_filter(*entity, fact)
        return any(matches(subject, delivery.subject) for delivery in self._events)

    async def state(self) -> StreamState:
        """See `Bus.state`."""
        await self._turn()
        count = len(self._events)
        size_bytes = sum(len(delivery.payload) + len(delivery.subject) for delivery in self._events)
        return StreamState(self._created, min(count, 1), count, count, size_bytes)

    async def first_after(self, sequence: int) -> Delivery | None:
        """See `Bus.first_after`."""
        await self._turn()
        return next(iter(self._events[sequence : sequence + 1]), None)

    async def lost_events(self) -> int:
        """See `Bus.lost_events`: memory has no store that could be damaged."""
        return 0

    async def drift(self) -> list[str]:
        """See `Bus.drift`: nobody can change anything here."""
        return []

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """See `Bus.request`."""
        if len(payload) > self._max_payload_bytes:
            raise RequestTooLarge(subject, len(payload), self._max_payload_bytes)
        await self._turn()
        services = [service for service in self._services if matches(service.subject, subject)]
        if not services:
            raise NoResponder(subject)
        service = services[next(self._turns) % len(services)]
        try:
            async with asyncio.timeout(timeout_seconds):
                # As over the wire: a caller that gives up doesn't stop what was begun.
                return await asyncio.shield(service.answer(subject, payload))
        except TimeoutError:
            raise RequestTimedOut(subject, timeout_seconds) from None

    async def serve(self, subject: str, handler: Handler, *, queue: str) -> MemoryService:
        """See `Bus.serve`."""
        await self._turn()
        service = MemoryService(self._services, subject, handler)
        self._services.append(service)
        return service

    async def send(self, subject: str, payload: bytes) -> None:
        """See `Bus.send`."""
        if len(payload) > self._max_payload_bytes:
            raise RequestTooLarge(subject, len(payload), self._max_payload_bytes)
        await self._turn()
        for listening in list(self._listening):
            if matches(listening.pattern, subject):
                listening.hear(subject, payload)

    async def listen(self, subject: str, hear: Hear) -> MemoryListening:
        """See `Bus.listen`."""
        await self._turn()
        listening = MemoryListening(self._listening, subject, hear)
        self._listening.append(listening)
        return listening

    async def key_value(self, bucket: str) -> MemoryKeyValue:
        """See `Bus.key_value`."""
        await self._turn()
        return self._keys.setdefault(bucket, MemoryKeyValue(bucket, self._max_payload_bytes))

    async def objects(self, bucket: str) -> MemoryObjects:
        """See `Bus.objects`."""
        await self._turn()
        return self._objects.setdefault(bucket, MemoryObjects(bucket))

    async def close(self) -> None:
        """See `Bus.close`."""
        for service in list(self._services):
            await service.close()
        self._closed = True
        self._work.change()
        self._grow()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _turn(self) -> None:
        """Let others run, as any bus would, so that tests meet the interleavings that happen."""
        self._refuse_if_closed()
        await asyncio.sleep(0)
        self._refuse_if_closed()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise BusUnavailable(URL, "the bus is closed")

    def _store(self, item: Outgoing) -> Receipt:
        if (known := self._sequences.get(item.id)) is not None:
            return Receipt(known, duplicate=True)
        sequence = len(self._events) + 1
        self._events.append(Delivery(sequence, item.subject, item.payload, datetime.now(UTC)))
        self._sequences[item.id] = sequence
        self._grow()
        return Receipt(sequence, duplicate=False)

    def _conflict(self, expected: Mapping[Entity, int]) -> ConcurrencyConflict | None:
        for entity, sequence in expected.items():
            actual = self._history(entity).sequence
            if actual != sequence:
                return ConcurrencyConflict(entity, sequence, actual)
        return None

    def _grow(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    def _history(self, entity: Entity) -> History:
        subject = entity_filter(*entity)
        deliveries = [delivery for delivery in self._events if matches(subject, delivery.subject)]
        return History(deliveries, deliveries[-1].sequence if deliveries else 0)


class MemoryService:
    """A subject that is being served."""

    def __init__(self, services: list[MemoryService], subject: str, handler: Handler) -> None:
        self.subject = subject
        self._services = services
        self._handler = handler
        self._commands: set[asyncio.Task[bytes]] = set()

    def answer(self, subject: str, payload: bytes) -> asyncio.Task[bytes]:
        """Begin to carry the command out."""
        task = asyncio.create_task(self._answer(subject, payload))
        self._commands.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """See `Service.close`."""
        if self in self._services:
            self._services.remove(self)
        await asyncio.gather(*self._commands, return_exceptions=True)

    async def _answer(self, subject: str, payload: bytes) -> bytes:
        try:
            return await self._handler(payload)
        except RookeryError as error:
            raise refusal(error) from None
        except Exception:
            logger.exception("serving %s failed", subject)
            raise CommandFailed(subject) from None

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._commands.discard(task)
        if not task.cancelled():
            task.exception()  # its caller may have given up; what it raised was logged or is theirs


class MemoryListening:
    """A pattern that is listened to."""

    def __init__(self, listening: list[MemoryListening], pattern: str, hear: Hear) -> None:
        self.pattern = pattern
        self.hear = hear
        self._listening = listening

    async def close(self) -> None:
        """Hear no more."""
        if self in self._listening:
            self._listening.remove(self)


class MemoryKeyValue:
    """A key-value bucket in memory."""

    def __init__(self, bucket: str, max_value_bytes: int) -> None:
        self._bucket = bucket
        self._max_value_bytes = max_value_bytes
        self._entries: dict[str, Entry] = {}
        self._revisions = itertools.count(1)

    async def get(self, key: str) -> Entry:
        """See `KeyValue.get`."""
        _check_key(key)
        if key not in self._entries:
            raise KeyNotFound(self._bucket, key)
        return self._entries[key]

    async def put(self, key: str, value: bytes, *, expected_revision: int | None = None) -> int:
        """See `KeyValue.put`."""
        _check_key(key)
        if len(value) > self._max_value_bytes:
            raise TooLarge(f"the value of {key!r}", len(value), self._max_value_bytes, "put it into an object bucket")
        held = self._entries.get(key)
        if expected_revision is not None and expected_revision != (held.revision if held else 0):
            raise RevisionConflict(self._bucket, key, expected_revision)
        self._entries[key] = Entry(key, value, next(self._revisions))
        return self._entries[key].revision

    async def delete(self, key: str) -> None:
        """See `KeyValue.delete`."""
        _check_key(key)
        self._entries.pop(key, None)
        next(self._revisions)

    async def keys(self) -> list[str]:
        """See `KeyValue.keys`."""
        return sorted(self._entries)


class MemoryObjects:
    """An object bucket in memory."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._contents: dict[str, bytes] = {}

    async def get(self, name: str) -> bytes:
        """See `ObjectStore.get`."""
        if name not in self._contents:
            raise ObjectNotFound(self._bucket, name)
        return self._contents[name]

    async def put(self, name: str, content: bytes) -> None:
        """See `ObjectStore.put`."""
        self._contents[name] = bytes(content)

    async def delete(self, name: str) -> None:
        """See `ObjectStore.delete`."""
        if self._contents.pop(name, None) is None:
            raise ObjectNotFound(self._bucket, name)

    async def names(self) -> list[str]:
        """See `ObjectStore.names`."""
        return sorted(self._contents)


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS subject is one of those that a pattern names: `*` is one token, `>` all that follow."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(given) <= len(wanted):
            return False
        given = given[: len(wanted)]
    return len(wanted) == len(given) and all(w in ("*", g) for w, g in zip(wanted, given, strict=True))


def _check_key(key: str) -> None:
    if not _KEY.fullmatch(key):
        raise InvalidKey(key)
