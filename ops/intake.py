"""The intake: events that come in by HTTP are checked, looked up, published and, if asked, waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..bus import Bus, EventTooLarge, Receipt
from ..eventstore import Log
from ..schemas import Event, InvalidEvent, check, refuse_chained, refuse_replayed


class Refusal(msgspec.Struct, frozen=True):
    """Why the event at `index` (from 0) of a request was not taken."""

    index: int
    reason: str
    field: str = ""


class Taken(msgspec.Struct, frozen=True):
    """What became of a request's events. `sequence` is the bus sequence that holds them all."""

    new: int
    duplicates: int
    refusals: list[Refusal]
    sequence: int


class Intake:
    """Takes payloads as they were sent: the same bytes go on the bus, and so into the log.

    An id that is known already is a duplicate, whatever the rest of the event says: the first one counts.
    """

    def __init__(self, bus: Bus, log: Log) -> None:
        self._bus = bus
        self._log = log

    async def take(self, payloads: Sequence[bytes]) -> Taken:
        """Publish what is valid and not in the log yet. Returns when all of it is durable.

        Raises what the bus raises, when every event has its outcome: then some may be durable and others not, and
        to publish all of them again is safe.
        """
        fresh, refusals = await asyncio.to_thread(self._sift, payloads)
        outcomes = await asyncio.gather(*(self._publish(*one) for one in fresh), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        refusals += [outcome for outcome in outcomes if isinstance(outcome, Refusal)]
        new = sum(not receipt.duplicate for receipt in receipts)
        return Taken(
            new=new,
            duplicates=len(payloads) - len(refusals) - new,
            refusals=sorted(refusals, key=lambda refusal: refusal.index),
            sequence=max((receipt.sequence for receipt in receipts), default=0),
        )

    def _sift(self, payloads: Sequence[bytes]) -> tuple[list[_Fresh], list[Refusal]]:
        """What is valid and not in the log, and what is refused. Takes its time: for a thread."""
        valid: list[_Fresh] = []
        refusals: list[Refusal] = []
        for index, payload in enumerate(payloads):
            try:
                refuse_replayed(payload)
                refuse_chained(payload)
                valid.append(_Fresh(index, check(payload)[0], payload))
            except InvalidEvent as error:
                refusals.append(Refusal(index, error.reason, error.field))
        known = self._log.find([one.event.id for one in valid])
        return [one for one in valid if one.event.id not in known], refusals

    async def _publish(self, index: int, event: Event, payload: bytes) -> Receipt | Refusal:
        try:
            return await self._bus.publish(event, payload)
        except EventTooLarge as error:
            return Refusal(index, str(error))
        except InvalidEvent as error:
            return Refusal(index, error.reason, error.field)


class _Fresh(NamedTuple):
    position: int
    event: Event
    payload: bytes
