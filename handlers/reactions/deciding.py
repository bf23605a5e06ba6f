"""Deciding: a command is carried out on the entity as it is, and appended only if it still is so."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ...bus import Bus, ConcurrencyConflict, Entity, History, HistoryDamaged
from ...eventstore.judging import judge
from ...schemas import Event, EventData, InvalidEvent, check, derived_id, encode, new_id
from .contexts import Command, Context, Happened
from .errors import Contended, InvalidCommand

CONFLICTS_MAX = 8
CONFLICT_PAUSE_SECONDS = 0.02

# What the log holds of an entity, where the bus may not have it all: it was made anew, or is known to miss so many.
Earlier = Callable[[Entity, int], Awaitable[Sequence[Event]]]

logger = logging.getLogger(__name__)


class Decided(msgspec.Struct, frozen=True):
    """What a command made happen. `repeated`: it was carried out before, and this is what happened then."""

    events: list[Event]
    sequence: int
    repeated: bool = False


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command as it travels."""

    subject: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    source: str | None = None
    id: str | None = None
    time: datetime | None = None
    correlationid: str | None = None
    causationid: str | None = None


class _Known(NamedTuple):
    events: list[Event]
    sequence: int


class Decider:
    """Carries out one context's commands on one bus, in any number of processes beside each other.

    `source` is who says what happened, unless the command says. `earlier` gives the events that the bus may not have.
    """

    def __init__(self, bus: Bus, context: Context[Any], *, source: str, earlier: Earlier | None = None) -> None:
        self.context = context
        self._bus = bus
        self.source = source
        self._earlier = earlier

    async def handle(self, command: Command) -> Decided:
        """Load the entity, decide, and append; again, where somebody else was quicker.

        The events' ids derive from the command's: whoever sends it twice makes it happen once. Raises what `decide`
        refuses with, `InvalidEvent`, `Contended`, or as the bus does: then sending it again is safe.
        """
        entity = Entity(self.context.entity, command.subject)
        first_id = derived_id(command.id, "0")
        for attempt in range(1, CONFLICTS_MAX + 1):
            known = await self._load(entity)
            if any(event.id == first_id for event in known.events):
                return Decided(_of(command, known.events), known.sequence, repeated=True)
            decided = self.context.decide(command, self._state(known))
            events = [_event(command, index, data) for index, data in enumerate(decided)]
            if not events:
                return Decided([], known.sequence)
            try:
                receipts = await self._bus.append(events, expected={entity: known.sequence})
                return Decided(events, receipts[-1].sequence)
            except ConcurrencyConflict as conflict:
                logger.debug("deciding again: %s", conflict)
                await asyncio.sleep(random.uniform(0, CONFLICT_PAUSE_SECONDS * attempt))  # noqa: S311 # no secret
        raise Contended(entity, CONFLICTS_MAX)

    async def look(self, subject: str) -> tuple[Any, int]:
        """The entity's state as it is now, and its last sequence, which an append can expect."""
        known = await self._load(Entity(self.context.entity, subject))
        return self._state(known), known.sequence

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Answer the context's commands on `cmd.<context>.<verb>`; each goes to one of all that serve it."""
        async with AsyncExitStack() as stack:
            for verb in self.context.commands:
                subject = f"cmd.{self.context.name}.{verb}"
                service = await self._bus.serve(subject, partial(self._answer, verb), queue=self.context.name)
                stack.push_async_callback(service.close)
            yield

    async def _answer(self, verb: str, payload: bytes) -> bytes:
        decided = await self.handle(command_in(self.context, verb, payload, source=self.source))
        return msgspec.json.encode(decided)

    def _state(self, known: _Known) -> Any:
        return self.context.fold(Happened(event.payload(), event.time) for event in known.events)

    async def _load(self, entity: Entity) -> _Known:
        """The entity's events: those that the log has, where the bus may not have them all, and then the bus's own."""
        history = await self._bus.history(entity, facts=self.context.facts)
        here = events_in(history)
        if self._earlier is None:
            if history.missing:
                raise HistoryDamaged(entity, history.missing)
            return _Known(here, history.sequence)
        return _Known(_readable([*await self._earlier(entity, history.missing), *here]), history.sequence)


def events_in(history: History) -> list[Event]:
    """What happened to the entity, as the log has it: without dead letters, and the first event under each id."""
    verdicts = (judge(one.payload, one.subject) for one in history.deliveries)
    return _readable(verdict.event for verdict in verdicts if verdict.event)


def command_in(context: Context[Any], verb: str, payload: bytes, *, source: str) -> Command:
    """The command in a message; its id and its time are made here where the sender left them out.

    Raises `InvalidCommand`.
    """
    if verb not in context.commands:
        raise InvalidCommand(f"{context.name} knows no {verb!r}; it knows {', '.join(context.commands)}")
    try:
        asked = msgspec.json.decode(payload, type=_Asked)
        data = msgspec.json.decode(asked.data, type=context.commands[verb])
        whole = {
            "subject": asked.subject,
            "data": None,
            "source": asked.source or source,
            "id": asked.id or new_id(),
            "time": asked.time or datetime.now(UTC),
            "correlationid": asked.correlationid,
            "causationid": asked.causationid,
        }
        return msgspec.structs.replace(msgspec.convert(whole, Command), data=data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCommand(str(error), f"cmd.{context.name}.{verb}") from None


def _event(command: Command, index: int, data: EventData) -> Event:
    event = Event.of(
        data,
        subject=command.subject,
        source=command.source,
        id=derived_id(command.id, str(index)),
        time=command.time,
        correlationid=command.correlationid,
        causationid=command.causationid,
    )
    return checked(event)


def checked(event: Event) -> Event:
    """The event, if it is one that the log would take for such. Raises `InvalidEvent`."""
    check(encode(event))
    return event


def _of(command: Command, known: Iterable[Event]) -> list[Event]:
    by_id = {event.id: event for event in known}
    found = list[Event]()
    while (event := by_id.get(derived_id(command.id, str(len(found))))) is not None:
        found.append(event)
    return found


def _readable(events: Iterable[Event]) -> list[Event]:
    """The first event under each id, as the log has it; dead letters are nobody's past."""
    found: dict[str, Event] = {}
    for event in events:
        try:
            event.payload()
        except InvalidEvent:
            continue
        found.setdefault(event.id, event)
    return list(found.values())
