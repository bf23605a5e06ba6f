"""What live readers see of an event: its line, looked into once, just as far as their filters need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import NamedTuple, Self

import msgspec

from ..bus import Entity
from ..eventstore import Record, position_text
from ..schemas import InvalidInput, UnknownEventType, agent_in, all_types

UNDECODABLE = "undecodable"

_PLACE = re.compile(r"(?P<origin>[^:,]+):(?P<n>[0-9]{1,40})", re.ASCII)


class InvalidPosition(InvalidInput):
    """There is no such place in the log; `vector` says how far each origin goes."""

    def __init__(self, reason: str, vector: Mapping[str, int]) -> None:
        self.vector = vector
        super().__init__(f"after: {reason}; the log ends at {position_text(vector) or 'its beginning'}")


class InvalidFilter(InvalidInput):
    """A filter that nothing can ever fit."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(f"{field}: {reason}")


class Seen(msgspec.Struct, gc=False, eq=False):
    """One event of the log, as far as filters look; `position` is where to go on behind it.

    What the log keeps whole because it is no event has the type `undecodable`, and is about nothing.
    """

    line: bytes
    position: str
    type: str
    subject: str
    source: str
    agent_id: object
    _frame: bytes = b""

    @classmethod
    def of(cls, record: Record, position: str) -> Self:
        """Look into a line of the log."""
        try:
            found: _Envelope = _events.decode(record.line)
            agent_id = found.data.agent_id if isinstance(found, _Event) else None
        except msgspec.ValidationError:  # its data is no object, which some later schema may accept
            found, agent_id = _envelopes.decode(record.line), None
        return cls(line_of(record), position, found.type, found.subject, found.source, agent_id)

    def frame(self) -> bytes:
        """The event as Server-Sent Events have it; made once, however many read it."""
        if not self._frame:
            data = self.line.replace(b"\r", b" ")  # a line's end to SSE, and nothing but a space in JSON
            self._frame = b"id: %b\nevent: %b\ndata: %b\n\n" % (self.position.encode(), self.type.encode(), data)
        return self._frame


class Filters(NamedTuple):
    """Which events a reader asked for; None asks for anything."""

    types: frozenset[str] | None = None
    entity: Entity | None = None
    agent: str | None = None
    source: str | None = None

    @classmethod
    def of(
        cls,
        types: Iterable[str] | None = None,
        entity: str | None = None,
        agent: str | None = None,
        source: str | None = None,
    ) -> Self:
        """The filters as people write them. Raises `UnknownEventType` or `InvalidFilter`."""
        asked = list(types or ())
        known = frozenset(name for one in asked for name in _types_named(one)) if asked else None
        return cls(known, None if entity is None else entity_in(entity), agent, source)

    def admits(self, seen: Seen) -> bool:
        """Whether the event is one that was asked for."""
        return (
            (self.types is None or seen.type in self.types)
            and (self.entity is None or self.entity == (seen.type.partition(".")[0], seen.subject))
            and (self.agent is None or self._is_agents(seen))
            and (self.source is None or self.source == seen.source)
        )

    def _is_agents(self, seen: Seen) -> bool:
        return (
            seen.agent_id == self.agent
            or agent_in(seen.source) == self.agent
            or (seen.subject == self.agent and seen.type.startswith("agent."))
        )


ANYTHING = Filters()


def line_of(record: Record) -> bytes:
    """A line of the log with its origin in front."""
    return b'{"origin":"%b",%b' % (record.origin.encode(), record.line[1:])


def position_in(text: str, vector: Mapping[str, int], *, within: bool = True) -> dict[str, int]:
    """The version vector that a reader names, in a log that goes up to `vector`. Raises `InvalidPosition`.

    An origin that it doesn't name is read from its beginning: it may have come to the log since. Unless `within`, a
    place behind an origin's end is taken for one that will come.
    """
    position: dict[str, int] = {}
    for part in text.split(","):
        place = _PLACE.fullmatch(part.strip())
        if place is None or place["origin"] in position:
            raise InvalidPosition(
                "a position is an origin and a number, as in `local:41`, once for each origin", vector
            )
        origin, n = place["origin"], int(place["n"])
        if origin not in vector:
            raise InvalidPosition(f"no origin is named {origin!r}; there are {', '.join(vector)}", vector)
        if within and n > vector[origin]:
            raise InvalidPosition(f"there is no {origin}:{n} yet", vector)
        position[origin] = n
    return position


def _types_named(asked: str) -> list[str]:
    """The registered types that are meant: one, or with `run.*` all of a kind."""
    names = [known.name for known in all_types()]
    if asked.endswith(".*"):
        found = [name for name in names if name.startswith(asked[:-1])]
        wildcards = sorted({f"{name.partition('.')[0]}.*" for name in names})
    else:
        found, wildcards = [name for name in names if name == asked], []
    if not found:
        raise UnknownEventType(asked, next(iter(get_close_matches(asked, wildcards or names, n=1)), None))
    return found


def entity_in(text: str) -> Entity:
    """The entity that is written as kind and id, as in `run/run-9`. Raises `InvalidFilter`."""
    kind, slash, name = text.partition("/")
    if not slash:
        raise InvalidFilter("entity", "an entity is a kind and an id, as in `run/run-9`")
    return Entity(kind, name)


class _Data(msgspec.Struct):
    agent_id: object = None


class _Envelope(msgspec.Struct):
    type: str = UNDECODABLE
    subject: str = ""
    source: str = ""


class _Event(_Envelope):
    data: _Data = msgspec.field(default_factory=_Data)


_events = msgspec.json.Decoder(_Event)
_envelopes = msgspec.json.Decoder(_Envelope)
