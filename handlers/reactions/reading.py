"""Reading: what in a node's own log concerns its reactions, found without a second look at all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from ...bus import Entity
from ...eventstore import Log, Record
from ...schemas import InvalidEvent, check
from .lives import Fact
from .table import UNDECODABLE, Reactions

READ_EVENTS_MAX = 500
FACT_TYPES = frozenset(
    {"reaction.completed", "reaction.discarded", "reaction.failed", "reaction.parked", "reaction.redriven"}
)


class Met(NamedTuple):
    """A line that some table reacts to."""

    n: int
    entity: Entity
    tables: Sequence[Reactions]


class Told(NamedTuple):
    """A fact about a reaction, from this node's own log."""

    n: int
    id: str
    fact: Fact
    time: str


class Chunk(NamedTuple):
    """What was found up to `position`. `dead`: the first dead letter that a later version may read as an event."""

    found: list[Met | Told]
    position: int
    dead: int


class _Line(msgspec.Struct):
    """As much of a line as tells whether it concerns anybody; what is kept whole has no type."""

    type: str = ""
    subject: str = ""


_lines = msgspec.json.Decoder(_Line)


class Reader:
    """One origin's log, as these tables see it. Every method blocks."""

    def __init__(self, log: Log, origin: str, tables: Sequence[Reactions]) -> None:
        self.log = log
        self.origin = origin
        self._tables = tables
        self._dead_wanted = [table for table in tables if table.of_dead_letters]

    @property
    def end(self) -> int:
        """The last n."""
        return self.log.vector().get(self.origin, 0)

    def chunk(self, after: int, end: int) -> Chunk:
        """What concerns anybody in the next lines."""
        last = min(end, after + READ_EVENTS_MAX)
        dead = frozenset(self.log.dead_after(self.origin, after, last))
        found: list[Met | Told] = []
        first_dead = 0
        for record in self.log.read(self.origin, after=after, limit=last - after):
            line = _lines.decode(record.line)
            if record.n in dead:
                first_dead = first_dead or (record.n if line.type else 0)
                found += self._met(record, line, self._dead_wanted)
            elif line.type in FACT_TYPES:
                found.append(_told(record))
            found += [] if record.n in dead else self._met(record, line, self._interested_in(line.type))
        return Chunk(found, last, first_dead)

    def of_entity(self, table: Reactions, entity: Entity, after: int, last: int, limit: int) -> list[int]:
        """The n's of what a table reacts to about one entity, in order; at most so many."""
        up_to, behind = {self.origin: last}, {self.origin: after}
        dead = frozenset(self.log.dead_after(self.origin, after, last))
        found: list[int] = []
        for record in self.log.search(entity=entity, after=behind, up_to=up_to):
            if table.of_dead_letters if record.n in dead else _lines.decode(record.line).type in table.types:
                found.append(record.n)
            if len(found) >= limit:
                break
        return found

    def facts(self, after: int) -> Iterator[Told]:
        """What was told of reactions after `after`, in order."""
        up_to, behind = {self.origin: self.end}, {self.origin: after}
        for record in self.log.search(types=FACT_TYPES, after=behind, up_to=up_to):
            with suppress(InvalidEvent):  # a dead letter
                yield _told(record)

    def installed(self) -> dict[str, int]:
        """Behind which n each reaction reacts, as far as the log says so."""
        up_to = {self.origin: self.end}
        found: dict[str, int] = {}
        for record in self.log.search(types={"reaction.installed"}, up_to=up_to):
            event, data = check(record.payload)
            found.setdefault(event.subject, getattr(data, "after", 0))
        return found

    def has_anything_for(self, table: Reactions) -> bool:
        """Whether there is anything at all that this table would react to."""
        if table.of_dead_letters and self.log.dead_after(self.origin, 0):
            return True
        return any(self.log.search(types=table.types, up_to={self.origin: self.end}, limit=1))

    def _interested_in(self, type: str) -> list[Reactions]:
        return [table for table in self._tables if type in table.types]

    def _met(self, record: Record, line: _Line, tables: Sequence[Reactions]) -> list[Met]:
        return [Met(record.n, entity_of(record, line.type, line.subject), tables)] if tables else []


def entity_of(record: Record, type: str, subject: str) -> Entity:
    """Whose lane a line is in: what is kept whole is in one of its own."""
    if not type:
        return Entity(UNDECODABLE, f"{record.origin}:{record.n}")
    return Entity(type.partition(".")[0], subject)


def _told(record: Record) -> Told:
    event, data = check(record.payload)
    if not isinstance(data, Fact):
        raise InvalidEvent(f"{event.type} is no fact about a reaction", "type")
    return Told(record.n, event.subject, data, event.time.isoformat())
