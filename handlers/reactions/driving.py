"""Driving: one reaction to one event, tried until it is done or parked, and what became of it on the bus."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

from ...bus import Bus, BusUnavailable, ConcurrencyConflict, NoResponder
from ...schemas import (
    Event,
    EventData,
    ReactionCompleted,
    ReactionFailed,
    ReactionParked,
    derived_id,
    new_id,
)
from .contexts import Command, Happened
from .deciding import Decider, checked, events_in
from .lives import LIVES, Life, entity, reaction_id
from .table import Answer, Ask, Cause, Named, Tell

ATTEMPTS_MAX = 5
ATTEMPT_SECONDS_MAX = 300.0
RETRY_SECONDS_MIN = 0.5
RETRY_SECONDS_MAX = 60.0
AWAY_SECONDS_MAX = 10.0
ERROR_CHARACTERS_MAX = 2_000

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

# Nothing was the reaction's business; it is done; or it is parked.
Standing = Literal["nothing", "completed", "parked"]


class Outcome(NamedTuple):
    """What became of a reaction; `error` and `attempts` say why it is parked."""

    standing: Standing
    error: str = ""
    attempts: int = 0


class Terms(NamedTuple):
    """On what terms reactions are driven. `pause_seconds` is how long to wait after so many failed attempts."""

    bus: Bus
    source: str
    room: asyncio.Semaphore
    decider_of: Callable[[Ask], Decider]
    note: Callable[[str, str], object]
    pause_seconds: Callable[[int], float]
    attempts_max: int = ATTEMPTS_MAX
    attempt_seconds_max: float = ATTEMPT_SECONDS_MAX


def pause_seconds(attempts: int) -> float:
    """Twice as long after each attempt, up to a bound, and never the same for two that failed together."""
    longest = min(RETRY_SECONDS_MIN * 2.0 ** (attempts - 1), RETRY_SECONDS_MAX)
    return longest * random.uniform(0.5, 1)  # noqa: S311 # no secret


class Drive:
    """One reaction to one cause. `doubtful`: it may have been driven before, so that the bus is asked first."""

    def __init__(self, terms: Terms, cause: Cause, named: Named, *, attempts: int = 0, doubtful: bool = False) -> None:
        self._terms = terms
        self._bus = terms.bus
        self._cause = cause
        self._named = named
        self._attempts = attempts
        self._doubtful = doubtful
        self._sequence = 0
        self.id = reaction_id(cause.id, named.name)

    async def run(self) -> Outcome:
        """Try until it is done or parked; while the bus is away, wait. Raises nothing that an attempt raised."""
        if self._doubtful:
            life = await self._patiently(self._life)
            if life.is_over or life.status == "parked":
                return _as_it_stands(life)
            if isinstance(life.told, ReactionFailed):
                self._attempts = life.told.attempts
        while True:
            try:
                return await self._attempt()
            except (BusUnavailable, NoResponder) as error:
                logger.info("%s waits for the bus: %s", self._named.name, error)
                await asyncio.sleep(min(self._terms.pause_seconds(1), AWAY_SECONDS_MAX))
            except Exception as error:
                if (outcome := await self._failed(error)) is not None:
                    return outcome

    async def _attempt(self) -> Outcome:
        if self._named.ready is not None:
            await self._named.ready(self._cause)
        async with self._terms.room:
            try:
                async with asyncio.timeout(self._terms.attempt_seconds_max):
                    answer = await self._named.react(self._cause)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                raise RuntimeError("the reaction let itself be cancelled") from error
            return await self._carry_out(answer)

    async def _carry_out(self, answer: Answer) -> Outcome:
        """Have the contexts do what they are asked, and publish what is to be told with the word that it is done."""
        if answer is None:
            return Outcome("nothing")
        told = [self._event(each, index) for index, each in enumerate(answer) if isinstance(each, Tell)]
        moved = False
        for index, each in enumerate(answer):
            if isinstance(each, Ask):
                decided = await self._terms.decider_of(each).handle(self._command(each, index))
                moved = moved or bool(decided.events)
        if answer and not told and not moved:
            return Outcome("nothing")
        done = ReactionCompleted(**self._whose())
        return await self._record(done, told, id=derived_id(self.id, "completed")) or Outcome("completed")

    async def _failed(self, error: Exception) -> Outcome | None:
        """Say so; and after the last attempt, park it. None: try again."""
        self._attempts += 1
        reason = f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS_MAX].encode(errors="replace").decode()
        logger.warning("%s failed over %s: %s", self._named.name, self._cause.address, reason, exc_info=error)
        self._terms.note(self._named.name, "failed")
        if self._attempts >= self._terms.attempts_max:
            parked = ReactionParked(**self._whose(), attempts=self._attempts, error=reason)
            outcome = await self._patiently(lambda: self._record(parked))
            return outcome or Outcome("parked", reason, self._attempts)
        failed = ReactionFailed(**self._whose(), attempts=self._attempts, error=reason)
        outcome = await self._patiently(lambda: self._record(failed))
        if outcome is None:
            await asyncio.sleep(self._terms.pause_seconds(self._attempts))
        return outcome

    async def _record(self, fact: EventData, told: Sequence[Event] = (), id: str | None = None) -> Outcome | None:
        """Append the fact, with what is told, if nobody else has said how this reaction ended; else what they said."""
        event = Event.of(
            fact, subject=self.id, source=self._terms.source, id=id or new_id(), causationid=self._causation()
        )
        while True:
            try:
                receipts = await self._bus.append([*told, event], expected={entity(self.id): self._sequence})
                self._sequence = receipts[-1].sequence
                return None
            except ConcurrencyConflict:
                life = await self._life()
                if life.is_over or life.status == "parked":
                    return _as_it_stands(life)

    async def _life(self) -> Life:
        history = await self._bus.history(entity(self.id))
        self._sequence = history.sequence
        life = LIVES.initial()
        for event in events_in(history):
            life = LIVES.evolve(life, Happened(event.payload(), event.time))
        return life

    async def _patiently(self, work: Callable[[], Awaitable[Result]]) -> Result:
        while True:
            try:
                return await work()
            except (BusUnavailable, NoResponder) as error:
                logger.info("%s waits for the bus: %s", self._named.name, error)
                await asyncio.sleep(min(self._terms.pause_seconds(1), AWAY_SECONDS_MAX))

    def _event(self, tell: Tell, index: int) -> Event:
        event = self._cause.event
        return checked(
            Event.of(
                tell.data,
                subject=tell.subject,
                source=self._terms.source,
                id=self._cause.key(str(index)),
                correlationid=event.correlationid if event else None,
                causationid=self._causation(),
                traceparent=event.traceparent if event else None,
            )
        )

    def _command(self, ask: Ask, index: int) -> Command:
        event = self._cause.event
        return Command(
            subject=ask.subject,
            data=ask.data,
            source=self._terms.source,
            id=self._cause.key(str(index)),
            time=self._cause.time,
            correlationid=event.correlationid if event else None,
            causationid=self._causation(),
        )

    def _causation(self) -> str | None:
        return self._cause.event.id if self._cause.event else None

    def _whose(self) -> dict[str, str]:
        kind, subject = self._cause.entity
        return {"reaction": self._named.name, "cause": self._cause.address, "entity": f"{kind}/{subject}"}


def _as_it_stands(life: Life) -> Outcome:
    if isinstance(life.told, ReactionParked):
        return Outcome("parked", life.told.error, life.told.attempts)
    return Outcome("completed")
