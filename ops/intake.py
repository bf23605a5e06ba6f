"""The intake: events that come in by HTTP are checked, looked up, published and, if asked, waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..bus import Bus, EventTooLarge, HistoryDamaged, Receipt
from ..eventstore import KeyGone, Log
from ..eventstore.vault import Vault, sealed_event
from ..handlers.assignments import AssignmentOver, NotTheHolder
from ..handlers.fleet import Fenced
from ..handlers.fleet.fence import Fence
from ..handlers.reactions import Contended
from ..schemas import Event, InvalidEvent, check, decode, is_pseudonym, refuse_chained, refuse_replayed


class Refusal(msgspec.Struct, frozen=True):
    """Why the event at `index` (from 0) of a request was not taken."""

    index: int
    reason: str
    field: str = ""


class DeniedRefusal(Refusal, frozen=True, kw_only=True):
    """The event is as it should be, and contradicts what is so; `error` is why, as the error's type is called.

    `may_pass`: what is so may change by itself, and then it is taken.
    """

    error: str
    may_pass: bool = False


# Why what is valid may be refused all the same, as `error` says it.
DENIALS = (Fenced, AssignmentOver, NotTheHolder, Contended, HistoryDamaged)


class Taken(msgspec.Struct, frozen=True):
    """What became of a request's events. `sequence` is the bus sequence that holds them all."""

    new: int
    duplicates: int
    refusals: list[Refusal]
    sequence: int


class Intake:
    """Takes payloads as they were sent: the same bytes go on the bus, and so into the log.

    Only of an event that names its data subject, what is personal is sealed on the way. An id that is known already is
    a duplicate, whatever the rest of the event says: the first one counts. A `fence` refuses what an agent claims who
    is dead, or of work that is not its own; `denied` counts that, by the error.
    """

    def __init__(self, bus: Bus, log: Log, vault: Vault, fence: Fence | None = None) -> None:
        self._publish_one = fence.publish if fence else bus.publish
        self._fence = fence
        self._log = log
        self._vault = vault
        self.denied = Counter[str]()

    async def take(self, payloads: Sequence[bytes]) -> Taken:
        """Publish what is valid and not in the log yet. Returns when all of it is durable.

        What concerns one event alone refuses that one. Raises what the bus raises where it concerns all of them, when
        every event has its outcome: then some may be durable and others not, and to publish all again is safe.
        """
        fresh, refusals = await asyncio.to_thread(self._sift, payloads)
        outcomes = await self._publish_in_order(fresh)
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

    async def sealed(self, payload: bytes) -> bytes:
        """One event as it may be published, by whoever asked for it: as `sealed_alone` makes it, and raising as it."""
        return await asyncio.to_thread(sealed_alone, payload, self._vault)

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
        fresh = [one for one in valid if one.event.id not in known]
        return self._sealed(fresh, refusals), refusals

    def _sealed(self, fresh: list[_Fresh], refusals: list[Refusal]) -> list[_Fresh]:
        """The events as they may be published, with new keys made at once for all who need one."""
        people = {one.event.datasubject for one in fresh if one.event.datasubject is not None}
        if not people:
            return fresh
        self._vault.keys_for(filter(lambda one: not is_pseudonym(one), people))
        found: list[_Fresh] = []
        for one in fresh:
            try:
                payload = sealed_event(one.payload, one.event, self._vault)
                found.append(one if payload is one.payload else _Fresh(one.position, decode(payload), payload))
            except InvalidEvent as error:
                refusals.append(Refusal(one.position, error.reason, error.field))
            except KeyGone as error:
                refusals.append(Refusal(one.position, str(error), "datasubject"))
        return found

    async def _publish_in_order(self, fresh: Sequence[_Fresh]) -> list[Receipt | Refusal | BaseException]:
        """Publish all of it together, but what the fence looks at first by itself, and what comes behind it later."""
        outcomes, together = list[Receipt | Refusal | BaseException](), list[_Fresh]()
        for one in fresh:
            if self._fence and self._fence.holds(one.event):
                outcomes += await self._published(together)
                outcomes += await self._published([one])
                together = []
            else:
                together.append(one)
        return outcomes + await self._published(together)

    async def _published(self, together: Sequence[_Fresh]) -> list[Receipt | Refusal | BaseException]:
        return await asyncio.gather(*(self._publish(*one) for one in together), return_exceptions=True)

    async def _publish(self, index: int, event: Event, payload: bytes) -> Receipt | Refusal:
        try:
            return await self._publish_one(event, payload)
        except (Fenced, AssignmentOver, NotTheHolder) as error:
            field = "source" if isinstance(error, Fenced) else "subject"
            return self._denied(DeniedRefusal(index, str(error), field, error=type(error).__name__))
        except (Contended, HistoryDamaged) as error:
            return self._denied(DeniedRefusal(index, str(error), error=type(error).__name__, may_pass=True))
        except EventTooLarge as error:
            return Refusal(index, str(error))
        except InvalidEvent as error:
            return Refusal(index, error.reason, error.field)

    def _denied(self, refusal: DeniedRefusal) -> DeniedRefusal:
        self.denied[refusal.error] += 1
        return refusal


def sealed_alone(payload: bytes, vault: Vault) -> bytes:
    """One event as it may be published, by whoever asked for it. Raises `InvalidEvent`, `KeyGone`, `VaultWriteFailed`.

    Takes its time: for a thread.
    """
    refuse_replayed(payload)
    refuse_chained(payload)
    return sealed_event(payload, check(payload)[0], vault)


class _Fresh(NamedTuple):
    position: int
    event: Event
    payload: bytes
