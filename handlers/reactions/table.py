"""A table of reactions: which functions answer which events, and what such a function is given and gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from ...bus import Entity
from ...eventstore import DeadLetter, Record
from ...eventstore.judging import dead_letter
from ...schemas import Event, EventData, all_types, check, decode, derived_id
from .contexts import CommandData, Context

UNDECODABLE = "undecodable"


class Cause(NamedTuple):
    """What a reaction reacts to: the line of the log at `address`, about `entity`.

    `data` is the event's payload, in the newest version of its shape, or the `DeadLetter`; `event` the envelope, where
    the line has one. `id` is the event's, or else the address; `reaction` who asks.
    """

    address: str
    n: int
    id: str
    entity: Entity
    event: Event | None
    data: Any
    time: datetime
    recorded_time: datetime
    reaction: str

    def key(self, *parts: str) -> str:
        """The same id at every attempt: what an effect gives to others, so that they know what they did already."""
        return derived_id(self.id, self.reaction, *parts)


class Tell(NamedTuple):
    """A fact that a reaction tells: published with the word that the reaction is done, or not at all."""

    data: EventData
    subject: str


class Ask(NamedTuple):
    """A command that a reaction gives to a context, which carries it out once however often it is given."""

    context: Context[Any]
    subject: str
    data: CommandData


# None: it was none of the reaction's business, and no trace is left of it. Otherwise what is to be told and asked; a
# function that has done what it had to do by itself returns an empty list, and is not called again.
Answer = Sequence[Tell | Ask] | None
React = Callable[[Cause], Awaitable[Answer]]
Ready = Callable[[Cause], Awaitable[None]]


class Named(NamedTuple):
    """One reaction: `name` is its table's and its function's, and part of its ids, so it is for ever."""

    name: str
    react: React
    ready: Ready | None = None


class Reactions:
    """One table: what reacts to each type of event, or to a `DeadLetter`, in the order in which it is to be done.

    What happens to an entity is answered in its order within a table. Tables don't wait for each other. `ready` waits
    until the table's functions can know what they have to about a cause. That may take long, and is no attempt.
    """

    def __init__(self, name: str, table: Mapping[type, Sequence[React]], *, ready: Ready | None = None) -> None:
        self.name = name
        self._ready = ready
        self._table = {
            kind: [Named(f"{name}.{getattr(react, '__name__', 'reaction')}", react, ready) for react in found]
            for kind, found in table.items()
        }
        names = [named.name for found in self._table.values() for named in found]
        per_kind = [{named.name for named in found} for found in self._table.values()]
        if sum(map(len, per_kind)) != len(names):
            raise ValueError(f"a reaction of {name} is named twice for the same event")
        self.names = sorted(set(names))
        self.types = frozenset(name for kind in self._table for name in _types_of(kind))
        self.of_dead_letters = DeadLetter in self._table

    def only(self, name: str) -> Reactions:
        """The table as if it had this one reaction alone."""
        found = {kind: [one.react for one in named if one.name == name] for kind, named in self._table.items()}
        return Reactions(self.name, {kind: reacts for kind, reacts in found.items() if reacts}, ready=self._ready)

    def of(self, data: Any) -> list[Named]:
        """What reacts to this."""
        return self._table.get(type(data), [])


def _types_of(kind: type) -> list[str]:
    """The wire names of a struct's type, in all versions of its shape."""
    if not issubclass(kind, EventData):
        return []
    return [known.name for known in all_types() if _base(known.name) == _base(wire_name(kind))]


def wire_name(kind: type[EventData]) -> str:
    """The wire name of a struct's type."""
    return next(known.name for known in all_types() if known.struct is kind)


def cause_of(record: Record) -> Cause:
    """The line of the log as a cause, by today's schemas; `reaction` is left open."""
    address, recorded = f"{record.origin}:{record.n}", record.recorded_time
    if (letter := dead_letter(record)) is None:
        event, data = check(record.payload)
        return Cause(address, record.n, event.id, about(record, event), event, data, event.time, recorded, "")
    sent = decode(record.payload) if record.letter is None else None
    return Cause(address, record.n, address, about(record, sent), None, letter, recorded, recorded, "")


def about(record: Record, event: Event | None) -> Entity:
    """Whose events wait for each other: what the log keeps whole, because it is no event, is alone."""
    if event is None:
        return Entity(UNDECODABLE, f"{record.origin}:{record.n}")
    return Entity(event.entity, event.subject)


def _base(name: str) -> str:
    """A type's name without its version."""
    return ".".join(name.split(".")[:2])
