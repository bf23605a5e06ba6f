"""Conditional append: decisions over several entities, stored all or not at all, if none of them has moved on.

Every expectation travels in the header of an event in the atomic batch: on the entity's own first event, or, where
the decision only looked at an entity, on an event that carries no expectation yet.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Mapping, Sequence

from ..schemas import Event, entity_filter
from .connection import PATIENCE_SECONDS, Connection, pauses_seconds
from .contract import APPEND_EVENTS_MAX, Receipt
from .errors import (
    AlreadyPublished,
    AppendTooLarge,
    BusUnavailable,
    ConcurrencyConflict,
    Entity,
    NoResponder,
    UncheckableAppend,
)
from .jetstream import DUPLICATE_IN_BATCH, WRONG_LAST_SEQUENCE, Ack, Fault, last_sequence, stored_by_now
from .outgoing import Outgoing, send_batch, send_one

APPEND_BYTES_MAX = 32 * 1024 * 1024
UNEXPLAINED_REFUSALS_MAX = 5

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"

logger = logging.getLogger(__name__)


def expectations_by_event(events: Sequence[Event], expected: Mapping[Entity, int]) -> dict[int, tuple[Entity, int]]:
    """Which event carries which expectation: by the event's index. Raises `UncheckableAppend`, `AppendTooLarge`.

    And raises `ValueError` if there is nothing to append, or an id twice: no atomic batch can hold that.
    """
    if not events:
        raise ValueError("nothing to append: pass at least one event")
    size_bytes = sum(len(event.data) for event in events)
    if len(events) > APPEND_EVENTS_MAX or size_bytes > APPEND_BYTES_MAX:
        raise AppendTooLarge(len(events), APPEND_EVENTS_MAX, size_bytes, APPEND_BYTES_MAX)
    if len({event.id for event in events}) < len(events):
        raise ValueError("two of the events to append have the same id")
    carriers: dict[int, tuple[Entity, int]] = {}
    own: dict[Entity, int] = {}
    for index, event in enumerate(events):
        own.setdefault(Entity(event.entity, event.subject), index)
    for entity, sequence in expected.items():
        if entity in own:
            carriers[own[entity]] = (entity, sequence)
    free = itertools.filterfalse(carriers.__contains__, range(len(events)))
    for entity, sequence in expected.items():
        if entity not in own:
            spare = next(free, None)
            if spare is None:
                raise UncheckableAppend(expected, len(events))
            carriers[spare] = (entity, sequence)
    return carriers


class Append:
    """One append: what it stores if what it expects is so. By itself it is tried until its outcome is known.

    Raises what `Bus.append` does about the events and the expectations themselves.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        events: Sequence[Event],
        expected: Mapping[Entity, int],
        payloads: Sequence[bytes] | None = None,
    ) -> None:
        carriers = expectations_by_event(events, expected)
        self.headers = {index: _headers(*carriers[index]) for index in carriers}
        self.items = [
            Outgoing(*one, connection.max_payload_bytes, extra_header_bytes=self._header_bytes(index))
            for index, one in enumerate(zip(events, payloads or itertools.repeat(None, len(events)), strict=True))
        ]
        self.size_bytes = sum(len(item.payload) for item in self.items)
        self.written = {Entity(event.entity, event.subject) for event in events}
        self.expected = expected
        self.sent_before = False  # then what the stream holds of our events is our own earlier attempt's doing
        self._connection = connection
        self._stream = stream
        self._unexplained = 0

    async def alone(self, deadline_seconds: float = PATIENCE_SECONDS) -> list[Receipt]:
        """Store it, by itself. Raises as `Bus.append` does."""
        try:
            async with asyncio.timeout(deadline_seconds):
                return await self._run()
        except TimeoutError:
            raise self.unanswered(deadline_seconds) from None

    def stored_from(self, first_sequence: int) -> list[Receipt]:
        """What there is to say of it, if its first event was stored now under this sequence."""
        return [Receipt(first_sequence + index, duplicate=False) for index in range(len(self.items))]

    def unanswered(self, deadline_seconds: float) -> BusUnavailable:
        """The error that says that nobody knows what became of it."""
        return self._connection.unavailable(
            f"the append was not answered within {deadline_seconds:g} s; whether it was stored is unknown, and "
            "appending the same events again is safe"
        )

    async def _run(self) -> list[Receipt]:
        pauses = pauses_seconds()
        while True:
            try:
                await self._connection.ready()
                if receipts := await self._attempt():
                    return receipts
            except (BusUnavailable, NoResponder) as error:
                if self._connection.client.is_closed:
                    raise
                logger.info("appending %d events: %s; reading back whether it was stored", len(self.items), error)
            await asyncio.sleep(next(pauses))

    def _header_bytes(self, index: int) -> int:
        return len(self.headers.get(index, {}).get(_SUBJECT, ""))

    async def _attempt(self) -> list[Receipt] | None:
        """The receipts, or None: the outcome is not known yet, so try again."""
        if self.sent_before and (receipts := await self._stored_since_expected()):
            return receipts
        try:
            ack = await self._send()
            if ack.error is not None:
                return await self._after(ack.error)
            first = ack.seq - len(self.items) + 1
            return [Receipt(first + n, ack.duplicate and not self.sent_before) for n in range(len(self.items))]
        finally:
            self.sent_before = True

    async def _after(self, fault: Fault) -> list[Receipt] | None:
        """What a refused append comes to: what the stream holds says it, whichever fault the server met first."""
        if fault.passes:
            raise self._connection.unavailable(fault.description)
        if fault.err_code != DUPLICATE_IN_BATCH and fault.err_code not in WRONG_LAST_SEQUENCE:
            raise fault.refusal()
        conflict = await self._conflict()
        if conflict is None:
            return await self._all_duplicates(fault)
        receipts = await self._stored_since_expected()
        if receipts is None:
            raise conflict
        return receipts

    async def _send(self) -> Ack:
        if len(self.items) == 1:  # a publish of its own does for one event what a batch does, at a fifth of the cost
            return await send_one(self._connection, self.items[0], self.headers.get(0))
        return await send_batch(self._connection, self.items, self.headers)

    async def _conflict(self) -> ConcurrencyConflict | None:
        for entity, expected in self.expected.items():
            actual = await last_sequence(self._connection, self._stream, entity_filter(*entity))
            if actual != expected:
                return ConcurrencyConflict(entity, expected, actual)
        return None

    async def _stored_since_expected(self) -> list[Receipt] | None:
        """The receipts, if what came after the expected sequences are these very events."""
        found = await self._find(after=min(self.expected.values(), default=0))
        return self._receipts(found) if len(found) == len(self.items) else None

    async def _all_duplicates(self, fault: Fault) -> list[Receipt] | None:
        found = await self._find(after=0)
        if len(found) == len(self.items):
            return self._receipts(found)
        if found:
            raise AlreadyPublished(sorted(found))
        self._unexplained += 1  # another append stood in the way and is gone, or a replica lags behind
        if self._unexplained > UNEXPLAINED_REFUSALS_MAX:
            raise fault.refusal()
        return None

    async def _find(self, *, after: int) -> dict[str, int]:
        """The sequences of those of our events that the stream holds, by id."""
        ours = {item.id for item in self.items}
        found: dict[str, int] = {}
        for subject in {item.subject for item in self.items}:
            async for page in stored_by_now(self._connection, self._stream, subject, after=after):
                found |= {one.id: one.delivery.sequence for one in page if one.id in ours}
        return found

    def _receipts(self, found: Mapping[str, int]) -> list[Receipt]:
        return [Receipt(found[item.id], duplicate=not self.sent_before) for item in self.items]


def _headers(entity: Entity, sequence: int) -> dict[str, str]:
    return {_EXPECTED: str(sequence), _SUBJECT: entity_filter(*entity)}
