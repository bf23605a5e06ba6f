"""The life of one reaction to one event, as a context of its own: parked, re-driven, discarded, done.

The entity `reaction` has as its id what derives from the cause and the reaction's name, so that whoever reacts to the
same event a second time meets what was made of it the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ...bus import Entity
from ...schemas import (
    EventData,
    ReactionCompleted,
    ReactionDiscarded,
    ReactionFailed,
    ReactionParked,
    ReactionRedriven,
    derived_id,
)
from .contexts import Command, CommandData, Context, Happened
from .errors import InvalidCommand, NotParked

KIND = "reaction"

Status = Literal["new", "failed", "parked", "redriven", "discarded", "completed"]
Fact = ReactionCompleted | ReactionDiscarded | ReactionFailed | ReactionParked | ReactionRedriven

_STATUSES: dict[type, Status] = {
    ReactionCompleted: "completed",
    ReactionDiscarded: "discarded",
    ReactionFailed: "failed",
    ReactionParked: "parked",
    ReactionRedriven: "redriven",
}


class Redrive(CommandData, frozen=True):
    """Try the parked reaction once more."""

    reason: str | None = None


class Discard(CommandData, frozen=True):
    """Never do the parked reaction; `reason` stays in the record."""

    reason: str


class Life(NamedTuple):
    """How a reaction stands, and the fact that last said so."""

    status: Status
    told: Fact | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("completed", "discarded")


def reaction_id(cause_id: str, reaction: str) -> str:
    """The id of a reaction to one event."""
    return derived_id(cause_id, reaction)


def entity(id: str) -> Entity:
    """The reaction as the bus's appends expect it."""
    return Entity(KIND, id)


def initial() -> Life:
    """Nothing has happened yet."""
    return Life("new")


def decide(command: Command, life: Life) -> Sequence[EventData]:
    """Only what is parked can be re-driven or discarded. Raises `NotParked` or `InvalidCommand`."""
    if life.status != "parked" or life.told is None:
        raise NotParked(command.subject, life.status)
    whose = {"reaction": life.told.reaction, "cause": life.told.cause, "entity": life.told.entity}
    match command.data:
        case Redrive(reason=reason):
            return [ReactionRedriven(**whose, reason=reason)]
        case Discard(reason=reason) if reason.strip():
            return [ReactionDiscarded(**whose, reason=reason)]
        case Discard():
            raise InvalidCommand("say why it is never to be done: the reason stays in the record", "reason")
    raise InvalidCommand(f"a reaction knows no {type(command.data).__name__}")


def evolve(life: Life, fact: Happened) -> Life:
    """What is over stays over."""
    status = _STATUSES.get(type(fact.data))
    if status is None or life.is_over:
        return life
    assert isinstance(fact.data, Fact)
    return Life(status, fact.data)


LIVES = Context("reactions", KIND, {"redrive": Redrive, "discard": Discard}, initial, decide, evolve)
