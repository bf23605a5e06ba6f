"""Live: hands what the log gains to everyone who listens, and reads it from the disk once for all of them.

New events are read in groups, and the latest groups are kept in a ring that all readers share. A reader has no queue of
its own, only its place in the ring: one that does not read costs nothing, and holds up nobody. Who is not level with
the ring (it has just come, or fell behind) reads the log up to some group's beginning and goes on from there, so that
there is no gap and nothing comes twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self

from ..eventstore import Log, Record, position_text
from ..schemas import RookeryError
from .lanes import Lane
from .seen import ANYTHING, Filters, Seen

READERS_MAX = 256
RING_EVENTS_MAX = 4_096
RING_BYTES_MAX = 16 * 2**20
GROUP_EVENTS_MAX = 500
GROUP_BYTES_MAX = 256 * 1024
# Looked at in one go of a search of the log that finds little.
SCAN_EVENTS_MAX = 5_000
# Read from the log in a tenth of a second. Who is further behind has to come back for it.
BEHIND_EVENTS_MAX = 20_000
STALLED_SECONDS_MAX = 30.0
# Each write to each reader has its price, whatever is in it.
FLUSH_SECONDS = 0.05
RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class TooManyReaders(RookeryError):
    """As many are listening as may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{limit} readers follow the live events, which is as many as may; try again later")


class ReaderTooSlow(RookeryError):
    """A reader was cut because it fell too far behind. `position` is where to go on."""

    def __init__(self, position: Mapping[str, int]) -> None:
        self.position = position_text(position)
        super().__init__("this reader fell too far behind what the log gains; come back for the rest")


class Group(NamedTuple):
    """Events that were read at once. `vector` is where the log stood behind them."""

    events: list[Seen]
    vector: Mapping[str, int]
    size_bytes: int


class Live:
    """The hub: `run` it, `wake` it when the log has grown, `join` it to listen."""

    def __init__(
        self,
        log: Log,
        *,
        readers_max: int = READERS_MAX,
        ring_events_max: int = RING_EVENTS_MAX,
        ring_bytes_max: int = RING_BYTES_MAX,
        behind_events_max: int = BEHIND_EVENTS_MAX,
        stalled_seconds_max: float = STALLED_SECONDS_MAX,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self.log = log
        self.is_closed = False
        self.growth = asyncio.Event()
        self.vector: Mapping[str, int] = {}
        self.next_number = 0
        self._readers: set[Reader] = set()
        self._readers_max = readers_max
        self._ring_events_max = ring_events_max
        self._ring_bytes_max = ring_bytes_max
        self._behind_events_max = behind_events_max
        self._stalled_seconds_max = stalled_seconds_max
        self._flush_seconds = flush_seconds
        self._ring: deque[Group] = deque()
        self.held_events = self.held_bytes = 0
        self._lane = Lane("live", 1, 1)
        self._grown = asyncio.Event()
        self._wanted = asyncio.Event()

    def wake(self) -> None:
        """Say that the log has grown. Call it on the event loop."""
        self._grown.set()

    def close(self) -> None:
        """Let all readers go: the node closes."""
        self.is_closed = True
        self._tell()

    @property
    def readers(self) -> int:
        """How many are listening."""
        return len(self._readers)

    def join(self, position: Mapping[str, int], filters: Filters, reads: Lane) -> Reader:
        """Listen to what comes behind `position`, and read what is there already on `reads`. Leave it in the end.

        The position must be one that the log has reached. Raises `TooManyReaders`.
        """
        if len(self._readers) >= self._readers_max:
            self._cut(reader for reader in self._readers if reader.idle_seconds > self._stalled_seconds_max)
        if len(self._readers) >= self._readers_max:
            raise TooManyReaders(self._readers_max)
        reader = Reader(self, position, filters, reads)
        self._readers.add(reader)
        self._wanted.set()
        self._grown.set()
        return reader

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        self._readers.discard(reader)
        if not self._readers:
            self._wanted.clear()

    def holds(self, number: int) -> bool:
        """Whether the ring still has that group, or will have it."""
        return number >= self.next_number - len(self._ring)

    def group(self, number: int) -> Group | None:
        """A group that the ring holds; None if it is yet to come."""
        return self._ring[number - self.next_number] if number < self.next_number else None

    async def run(self) -> None:
        """Read what the log gains until cancelled, for as long as anyone listens."""
        while True:
            await self._wanted.wait()
            await self._grown.wait()
            self._grown.clear()
            try:
                await self._catch_up()
            except Exception as error:
                logger.warning("live events can't be read from the log; trying again", exc_info=error)
                self._grown.set()
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(self._flush_seconds)

    async def _catch_up(self) -> None:
        end = self.log.vector()
        if _events(end) - _events(self.vector) > self._ring_events_max:
            self._skip_to(end)
        for origin, last in end.items():
            while self.vector.get(origin, 0) < last:
                self._show(await self._lane.run(partial(self._read, origin, last)))

    def _read(self, origin: str, last: int) -> Group:
        after = self.vector.get(origin, 0)
        records = self.log.read(origin, after=after, limit=min(last - after, GROUP_EVENTS_MAX))
        taken = look_at(records, self.vector)
        return Group(taken.events, taken.position, sum(len(seen.line) for seen in taken.events))

    def _show(self, group: Group) -> None:
        self._ring.append(group)
        self.held_events += len(group.events)
        self.held_bytes += group.size_bytes
        while self.held_events > self._ring_events_max or self.held_bytes > self._ring_bytes_max:
            oldest = self._ring.popleft()
            self.held_events -= len(oldest.events)
            self.held_bytes -= oldest.size_bytes
        self._move_to(group.vector)

    def _skip_to(self, vector: Mapping[str, int]) -> None:
        """Leave out what the ring could not hold: whoever waits for it finds it in the log."""
        self._ring.clear()
        self.held_events = self.held_bytes = 0
        self._move_to(vector)

    def _move_to(self, vector: Mapping[str, int]) -> None:
        self.vector, self.next_number = vector, self.next_number + 1
        events = _events(vector)
        self._cut(
            one for one in self._readers if one.is_live and events - _events(one.position) > self._behind_events_max
        )
        self._tell()

    def _cut(self, readers: Iterator[Reader]) -> None:
        for reader in list(readers):
            reader.is_cut = True
            self.leave(reader)

    def _tell(self) -> None:
        grown, self.growth = self.growth, asyncio.Event()
        grown.set()


class Reader:
    """One who listens. Made by `Live.join`; use it as a context.

    `position` is how far it has come: everything up to there was taken, or is none of what it asked for.
    """

    def __init__(self, live: Live, position: Mapping[str, int], filters: Filters, reads: Lane) -> None:
        self.position = position
        self.is_live = False
        self.is_cut = False
        self._live = live
        self._filters = filters
        self._reads = reads
        self._number: int | None = None  # of the group to take next; None: not level with the ring
        self._history: _History | None = None
        self._left_at: float | None = asyncio.get_running_loop().time()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.leave(self)

    @property
    def idle_seconds(self) -> float:
        """How long ago it took something and did not come back for more; 0 while it waits for more."""
        return 0.0 if self._left_at is None else asyncio.get_running_loop().time() - self._left_at

    async def take(self, wait_seconds: float) -> list[Seen] | None:
        """The next events that were asked for: none if none came for so long, None when the node closes.

        Raises `ReaderTooSlow`.
        """
        loop = asyncio.get_running_loop()
        until, self._left_at = loop.time() + wait_seconds, None
        try:
            while not self._live.is_closed:
                if self.is_cut:
                    raise ReaderTooSlow(self.position)
                growth = self._live.growth
                if (found := await self._next()) or (found is not None and loop.time() >= until):
                    return found
                if found is None and not await _within(growth, until):
                    return []
            return None
        finally:
            self._left_at = loop.time()

    async def _next(self) -> list[Seen] | None:
        """The next events, of which there may be none; None if there is nothing to do but wait."""
        if self._number is not None and self._live.holds(self._number):
            return self._from_ring(self._number)
        self._number = None
        self._history = self._history or self._begin_history()
        return await self._from_log(self._history) if self._history else None

    def _from_ring(self, number: int) -> list[Seen] | None:
        group = self._live.group(number)
        if group is None:
            return None
        self._number, self.position = number + 1, group.vector
        return group.events if self._filters == ANYTHING else list(filter(self._filters.admits, group.events))

    def _begin_history(self) -> _History | None:
        """The way to where the hub is now; None as long as the hub is not as far as this reader."""
        live = self._live
        if any(live.vector.get(origin, 0) < n for origin, n in self.position.items()):
            return None
        return _History(live.log, self._filters, self.position, live.vector, live.next_number)

    async def _from_log(self, history: _History) -> list[Seen]:
        taken = await self._reads.run(partial(history.read_on, self.position))
        self.position = taken.position
        if taken.is_all:
            self.position = history.end
            self._history, self._number, self.is_live = None, history.number, True
        return taken.events


class Taken(NamedTuple):
    """What was read from the log at once, and where that ended."""

    events: list[Seen]
    position: Mapping[str, int]
    is_all: bool


class _History:
    """What a reader has missed: the log from its position up to the beginning of the group `number`."""

    def __init__(
        self, log: Log, filters: Filters, position: Mapping[str, int], end: Mapping[str, int], number: int
    ) -> None:
        self.end = end
        self.number = number
        self._filters = filters
        found = log.search(after=position, types=filters.types, entity=filters.entity, source=filters.source)
        self._records = (record for record in found if record.n <= end.get(record.origin, 0))

    def read_on(self, position: Mapping[str, int]) -> Taken:
        """Read a chunk; to be called in a thread."""
        return look_at(self._records, position, self._filters)


def look_at(records: Iterator[Record], position: Mapping[str, int], filters: Filters = ANYTHING) -> Taken:
    """Take what `filters` admit of the next records, which follow `position`: as much as may be held at once."""
    events: list[Seen] = []
    size_bytes = 0
    for looked_at, record in enumerate(records, 1):
        position = {**position, record.origin: record.n}
        seen = Seen.of(record, position_text(position))
        if filters.admits(seen):
            events.append(seen)
            size_bytes += len(seen.line)
        if len(events) >= GROUP_EVENTS_MAX or size_bytes >= GROUP_BYTES_MAX or looked_at >= SCAN_EVENTS_MAX:
            return Taken(events, position, is_all=False)
    return Taken(events, position, is_all=True)


def _events(vector: Mapping[str, int]) -> int:
    return sum(vector.values())


async def _within(event: asyncio.Event, until: float) -> bool:
    """Wait for the event; False if the loop's time came to `until` before."""
    try:
        async with asyncio.timeout_at(until):
            return await event.wait()
    except TimeoutError:
        return False
