"""Reactions at a node: what is parked, trying it once more or giving it up, and how health tells of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ..bus import Bus, Entity, StreamState
from ..eventstore import Log
from ..handlers import alerts, assignments, fleet
from ..handlers.fleet import alarms
from ..handlers.reactions import (
    Command,
    Context,
    Decided,
    Decider,
    Discard,
    Held,
    InvalidCommand,
    Reactions,
    Redrive,
    Runner,
)
from ..schemas import Event, RookeryError, decode
from .health import Health

if TYPE_CHECKING:
    from .node import Node, Wait

SUBSYSTEM = "reactions"
CONTEXTS: Sequence[Context[Any]] = (alerts.ALERTS, assignments.ASSIGNMENTS, fleet.AGENTS)
TABLES: Sequence[Reactions] = (alerts.REACTIONS, alarms.REACTIONS)
NAMED_MAX = 3

State = TypeVar("State")


class NothingParked(RookeryError):
    """Nothing that is parked is what was named."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"nothing is parked under {what}; `rookery dead-letters` lists what is")


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which parked reactions: those of an entity, of a reaction, one by its id, or all. `reason` is kept."""

    entity: str | None = None
    reaction: str | None = None
    id: str | None = None
    all: bool = False
    reason: str | None = None

    def among(self, parked: Sequence[Held]) -> list[Held]:
        """Those that are meant. Raises `InvalidCommand` unless it is said which, or `NothingParked`."""
        named = [what for what in (self.entity, self.reaction, self.id) if what is not None]
        if bool(named) == self.all:
            raise InvalidCommand("say which: an entity, a reaction, an id, or all", "body")
        found = [held for held in parked if self._is(held)]
        if named and not found:
            raise NothingParked(" and ".join(named))
        return found

    def _is(self, held: Held) -> bool:
        return (
            self.entity in (None, name_of(held.entity))
            and self.reaction in (None, held.reaction)
            and self.id in (None, held.id)
        )


class Settled(msgspec.Struct, frozen=True):
    """A reaction that was re-driven or discarded."""

    reaction_id: str
    reaction: str
    entity: str
    cause: str


class Reacting(Runner):
    """The runner of one node, and the contexts that it answers for on the bus."""

    def __init__(self, log: Log, bus: Bus, origin: str, path: Path, tables: Sequence[Reactions] = TABLES) -> None:
        self.origin = origin
        self.bus_held: StreamState | None = None
        self._node_log = log
        super().__init__(log, bus, origin, tables, path, earlier=self._earlier_events)
        self.deciders = {
            context.name: Decider(bus, context, source=self.source, earlier=self._earlier_events)
            for context in CONTEXTS
        }

    async def handle(self, context: Context[Any], command: Command) -> Decided:
        """Have the context carry the command out. Raises as `Decider.handle` does."""
        return await self.deciders[context.name].handle(command)

    async def state(self, context: Context[State], subject: str) -> State:
        """How an entity is now, by what the bus and the log have of it. Raises as the bus does."""
        state, _ = await self.deciders[context.name].look(subject)
        found: State = state
        return found

    def tell(self, health: Health) -> None:
        """Have health say what is parked."""
        parked = self.parked()
        if self.trouble:
            health.set(SUBSYSTEM, "degraded", self.trouble)
        elif parked:
            names = [f"{held.reaction} under {name_of(held.entity)}" for held in parked[:NAMED_MAX]]
            more = f" and {len(parked) - NAMED_MAX:,} more" if len(parked) > NAMED_MAX else ""
            noun = "reaction is" if len(parked) == 1 else "reactions are"
            detail = f"{len(parked):,} {noun} parked: {', '.join(names)}{more}; see `rookery dead-letters`"
            health.set(SUBSYSTEM, "degraded", detail)
        elif self.has_begun:
            health.set(SUBSYSTEM, "ready")

    async def _earlier_events(self, entity: Entity, missing: int) -> list[Event]:
        """What the log has of the entity, where the bus has less: after a restore, it is a new one."""
        if missing:
            return await asyncio.to_thread(self._in_log, entity)
        in_log = self._node_log.vector().get(self.origin, 0)
        held = self.bus_held
        if held is None or held.messages < in_log:  # it was asked a moment ago: what is younger isn't missing
            held = await self.bus.state()
        if held.messages >= in_log:
            return []
        return await asyncio.to_thread(self._in_log, entity)

    def _in_log(self, entity: Entity) -> list[Event]:
        up_to = {self.origin: self._node_log.vector().get(self.origin, 0)}
        return [decode(record.payload) for record in self._node_log.search(entity=entity, up_to=up_to)]


def name_of(entity: Entity) -> str:
    """An entity as people write it: `run/run-9`."""
    return f"{entity.kind}/{entity.id}"


async def redrive(node: Node, which: Which, wait: Wait) -> list[Settled]:
    """Try parked reactions once more. Raises `InvalidCommand`, `NothingParked`, or as a decider does."""
    return await _settle(node, which, Redrive(reason=which.reason), wait)


async def discard(node: Node, which: Which, wait: Wait) -> list[Settled]:
    """Give parked reactions up, for a reason. Raises like `redrive`."""
    return await _settle(node, which, Discard(reason=which.reason or ""), wait)


async def _settle(node: Node, which: Which, data: Any, wait: Wait) -> list[Settled]:
    settled, sequence = list[Settled](), 0
    for held in which.among(node.reactions.parked()):
        command = Command.of(data, subject=held.id, source=node.reactions.source)
        sequence = (await node.reactions.lives.handle(command)).sequence
        address = f"{node.settings.origin}:{held.n}"
        settled.append(Settled(held.id, held.reaction, name_of(held.entity), address))
    if settled:
        await node.until(sequence, wait)
    return settled
