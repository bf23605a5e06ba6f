"""Starting: where a node's reactions go on, from its small file and from what the log says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from ...bus import Entity
from ...eventstore.summary import registry_fingerprint
from ...schemas import ReactionCompleted, ReactionDiscarded, ReactionFailed, ReactionParked, ReactionRedriven
from .place import Held, Place
from .reading import Reader, Told
from .table import Reactions


class Start(NamedTuple):
    """Where to go on. Up to `end`, things may have been done before; of these reactions, `done` surely are.

    `installed` says behind which n each reaction reacts, and `new` which of them the log has yet to hear of.
    """

    place: Place
    end: int
    done: set[str]
    attempts: dict[str, int]
    installed: dict[str, int]
    new: list[str]


def start(
    place: Place | None, reader: Reader, tables: Sequence[Reactions], on_bus: Mapping[str, int] | None = None
) -> Start:
    """Blocks: reads the log's facts about reactions behind what the file says is done, or without a file, all.

    `on_bus` says behind which n those react of which the log is yet to hear.
    """
    end = reader.end
    if place is not None and place.reached > end:
        place = None  # another log's
    reached = _reached(place)
    facts = _Facts(place.held if place else [])
    for told in reader.facts(reached):
        facts.take(told)
    installed, new = _installed(place, reader, tables, facts.reactions, on_bus or {})
    if place is None:
        reached = min(installed.values(), default=end)
    dead_from = place.dead_from if place and place.registry == registry_fingerprint() else 0
    held = [one for one in facts.lanes.values() if one.is_parked or one.n or one.after < reached]
    going_on = Place(reached, registry_fingerprint(), dead_from, installed, held)
    return Start(going_on, end, facts.done, facts.attempts, installed, new)


def _reached(place: Place | None) -> int:
    """Where to read on: with other schemas than before, from the first event that may now be known."""
    if place is None:
        return 0
    if place.registry != registry_fingerprint() and place.dead_from:
        return min(place.reached, place.dead_from - 1)
    return place.reached


def _installed(
    place: Place | None, reader: Reader, tables: Sequence[Reactions], seen: set[str], on_bus: Mapping[str, int]
) -> tuple[dict[str, int], list[str]]:
    """Behind which n each reaction reacts. One that is new leaves alone what happened before it was there."""
    installed = dict(place.installed) if place else {}
    if all(name in installed for table in tables for name in table.names):
        return installed, []
    told, new = {**on_bus, **reader.installed()}, list[str]()
    for table in tables:
        for name in (name for name in table.names if name not in installed):
            is_stranger = name not in told and name not in seen
            if is_stranger and reader.has_anything_for(table.only(name)):
                new.append(name)
            installed[name] = reader.end if name in new else told.get(name, 0)
    return installed, new


class _Facts:
    """What the facts about reactions come to. To take some of them a second time changes nothing."""

    def __init__(self, held: Sequence[Held]) -> None:
        self.lanes: dict[tuple[str, Entity], Held] = {(one.table, one.entity): one for one in held}
        self.done: set[str] = set()
        self.attempts: dict[str, int] = {}
        self.reactions: set[str] = set()

    def take(self, told: Told) -> None:
        """Take the next fact, in the order of the log."""
        fact = told.fact
        table = fact.reaction.rpartition(".")[0]
        kind, _, subject = fact.entity.partition("/")
        key = (table, Entity(kind, subject))
        self.reactions.add(fact.reaction)
        at_head = self.lanes.get(key)
        is_head = at_head is not None and at_head.id == told.id
        match fact:
            case ReactionFailed():
                self.attempts[told.id] = fact.attempts
            case ReactionParked():
                self.attempts.pop(told.id, None)
                self.lanes[key] = _parked(told, fact, table, key[1])
            case ReactionRedriven():
                if at_head and is_head:
                    self.lanes[key] = msgspec.structs.replace(at_head, is_parked=False)
            case ReactionCompleted() | ReactionDiscarded():
                self.done.add(told.id)
                self.attempts.pop(told.id, None)
                if at_head and is_head:
                    self.lanes[key] = msgspec.structs.replace(at_head, is_parked=False)


def _parked(told: Told, fact: ReactionParked, table: str, entity: Entity) -> Held:
    n = int(fact.cause.rpartition(":")[2])
    return Held(
        table, *entity, n - 1, n, told.id, fact.reaction, fact.error, fact.attempts, since=told.time, is_parked=True
    )
