"""A context: how one kind of thing changes, as three pure functions and the commands that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec

from ...schemas import EventData, new_id
from ...schemas.envelope import EventId, Source, Subject

State = TypeVar("State")


class CommandData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a command asks for. A typing mistake in it is refused: nobody keeps commands, so none is newer than us."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command: `data` is to be done to the entity `subject`, says `source`.

    `id` tells it from others: under the same id it is carried out once. It is also where the ids of the events come
    from, and `time` is theirs, so that a decision needs no clock and no chance.
    """

    subject: Subject
    data: Any
    source: Source
    id: EventId
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    correlationid: str | None = None
    causationid: str | None = None

    @classmethod
    def of(cls, data: CommandData, *, subject: str, source: str, id: str | None = None) -> Command:
        """A command of this moment, with a fresh id unless one is given."""
        return cls(subject=subject, data=data, source=source, id=id or new_id(), time=datetime.now(UTC))


class Happened(NamedTuple):
    """An event as `evolve` sees it: its payload in the newest version of its shape, and when it happened."""

    data: EventData
    time: datetime


class Context(NamedTuple, Generic[State]):
    """One context, as in `cmd.<name>.<verb>`, over entities of one kind.

    `decide` says what a command makes happen, about the command's entity: nothing, if there is nothing to do. What it
    refuses, it raises as a `RookeryError`. `evolve` says what a fact makes of the state; facts that it doesn't know
    leave it as it is. All three are pure. `facts` names those that it knows, where entities have many others.
    """

    name: str
    entity: str
    commands: Mapping[str, type[CommandData]]
    initial: Callable[[], State]
    decide: Callable[[Command, State], Sequence[EventData]]
    evolve: Callable[[State, Happened], State]
    facts: tuple[str, ...] = ()

    def fold(self, facts: Iterable[Happened]) -> State:
        """The state after these facts."""
        state = self.initial()
        for fact in facts:
            state = self.evolve(state, fact)
        return state
