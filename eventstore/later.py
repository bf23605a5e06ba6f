"""How much happened to some entities behind a place in the log: counted in one look for all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from ..bus import Entity
from .line import Record

LOOK_EVENTS_MAX = 500_000  # a second's worth


class Later:
    """Of each entity, the places of its events, in order. None: there would have been too much to look at."""

    def __init__(self, entities: Iterable[Entity], records: Iterable[Record] | None) -> None:
        self._is_counted = records is not None
        self._places: defaultdict[tuple[str, Entity], list[int]] = defaultdict(list)
        wanted = frozenset(entities)
        for record in records or ():
            line = _lines.decode(record.line)
            entity = Entity(line.type.partition(".")[0], line.subject)
            if entity in wanted:
                self._places[record.origin, entity].append(record.n)

    def count(self, origin: str, n: int, entity: Entity) -> int | None:
        """How many events of the entity its origin has behind `n`."""
        if not self._is_counted:
            return None
        places = self._places.get((origin, entity), [])
        return len(places) - bisect_right(places, n)


def is_too_much(after: Mapping[str, int], end: Mapping[str, int]) -> bool:
    """Whether there is more between the two than is looked at for a count."""
    return sum(max(n - after.get(origin, 0), 0) for origin, n in end.items()) > LOOK_EVENTS_MAX


class _Line(msgspec.Struct):
    type: str = ""
    subject: str = ""


_lines = msgspec.json.Decoder(_Line)
