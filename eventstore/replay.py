"""Replay: the log's events once more, marked, each origin's in its order and the origins' beside each other in time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from heapq import merge
from typing import NamedTuple

from ..schemas import Event, Mark, decode, marked, replay_name
from .line import Record
from .log import Log
from .positions import position_text

WINDOW_EVENTS_MAX = 16_384  # looked at between two looks at whether anybody still wants the rest


class Wish(NamedTuple):
    """Which events are to be told again; None is any. `entity` is kind and id; `admits` has the last word."""

    types: Collection[str] | None = None
    entity: tuple[str, str] | None = None
    source: str | None = None
    admits: Callable[[Record], bool] | None = None


class Retold:
    """One event, told again. `position` is where to go on behind it."""

    def __init__(self, record: Record, name: str, position: str) -> None:
        self.record = record
        self.position = position
        mark = Mark(name, f"{record.origin}:{record.n}", record.recorded_time, position)
        self.payload = marked(record.payload, mark)

    @cached_property
    def event(self) -> Event:
        """The event as it was published."""
        return decode(self.record.payload)


class Replay:
    """The events after one vector up to another, to be iterated over once, in a thread if it need be.

    Only the origins that `up_to` names are told. Dead letters that the log keeps whole can't be told, as they are no
    events; `left_out` counts them where every event is wished for.
    """

    def __init__(
        self,
        log: Log,
        name: str,
        *,
        after: Mapping[str, int],
        up_to: Mapping[str, int],
        wish: Wish | None = None,
        window_events: int = WINDOW_EVENTS_MAX,
    ) -> None:
        self.name = replay_name(name)
        self.left_out = 0
        self._log = log
        self._after = dict(after)
        self._up_to = {origin: n for origin, n in up_to.items() if n > after.get(origin, 0)}
        self._wish = wish or Wish()
        self._looked_at = {origin: after.get(origin, 0) for origin in self._up_to}
        self._window_events = window_events
        self._stopped = False

    @property
    def events_total(self) -> int:
        """How many events there are to look at."""
        return sum(n - self._after.get(origin, 0) for origin, n in self._up_to.items())

    @property
    def events_seen(self) -> int:
        """How many of them have been looked at."""
        return sum(n - self._after.get(origin, 0) for origin, n in self._looked_at.items())

    def stop(self) -> None:
        """Let the iteration end soon, from whichever thread."""
        self._stopped = True

    def __iter__(self) -> Iterator[Retold]:
        position = dict(self._after)
        for record in merge(*map(self._records, self._up_to), key=lambda record: record.recorded_time):
            if self._stopped:
                return
            position[record.origin] = self._looked_at[record.origin] = record.n
            if record.letter is not None:
                self.left_out += 1
            elif self._wish.admits is None or self._wish.admits(record):
                yield Retold(record, self.name, position_text(position))

    def _records(self, origin: str) -> Iterator[Record]:
        """What one origin has of it, searched a window at a time: a long search for little can be stopped."""
        begin, last = self._after.get(origin, 0), self._up_to[origin]
        while begin < last and not self._stopped:
            end = min(begin + self._window_events, last)
            types, entity, source, _ = self._wish
            yield from self._log.search(
                after={origin: begin}, up_to={origin: end}, types=types, entity=entity, source=source
            )
            begin = self._looked_at[origin] = end
