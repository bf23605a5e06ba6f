"""Replaying: the log's events go to a file, to standard output or to a bus, at the pace that is asked for.

How far a replay has come stands in what it told last, where that is: so it can be interrupted at any instruction, and
whoever resumes it leaves nothing out and tells nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from ..bus import ReplayBus, Told
from ..eventstore import Replay, Retold
from ..schemas import InvalidInput, Mark, mark_in
from .replay_files import ReplayFile

CHUNK_EVENTS_MAX = 1_000
CHUNK_BYTES_MAX = 4 * 2**20
PROGRESS_SECONDS = 0.5


class CannotReplay(InvalidInput):
    """A replay can't begin, or go on, where it shall be told: `target` says where, `reason` why."""

    def __init__(self, target: str, reason: str) -> None:
        self.target = target
        self.reason = reason
        super().__init__(f"{target}: {reason}")


class Sink(Protocol):
    """Where a replay is told. All of it may raise `OSError` or `RookeryError`."""

    target: str
    event_bytes_max: int | None

    async def last(self) -> bytes | None:
        """What was told last, before."""

    async def go_on(self) -> None:
        """Get ready for what comes behind that."""

    async def tell(self, events: Sequence[Retold]) -> None:
        """Return when all of it is there."""

    async def close(self) -> None:
        """Return when all of it will stay."""


class Pace(NamedTuple):
    """How fast: `speed` 1 is as recorded, 10 ten times as fast, None as fast as it goes.

    No pause is longer than `pause_seconds_max`, if there is one.
    """

    speed: float | None = None
    pause_seconds_max: float | None = None


AS_FAST_AS_IT_GOES = Pace()


class Progress(NamedTuple):
    """How far a replay is: of `total` events in its range, so many were looked at, and so many told by now.

    `position` is behind the last one that was told; empty where that is none.
    """

    seen: int
    total: int
    told: int
    left_out: int
    position: str


async def place_to_resume(
    sink: Sink, name: str, *, resume: bool, fits: Callable[[Mark], bool] | None = None
) -> str | None:
    """The position behind what an earlier run of the replay told; None at its beginning. Raises `CannotReplay`.

    `fits` says whether the replay, as it is asked for now, tells the event that was told last.
    """
    last = await sink.last()
    if last is None:
        await sink.go_on()
        return None
    mark = mark_in(last)
    if mark is None:
        raise CannotReplay(sink.target, "holds something that is no replay; choose another")
    if mark.replayname != name:
        raise CannotReplay(sink.target, f"holds the replay {mark.replayname!r}, and not {name!r}; choose another")
    if not resume:
        raise CannotReplay(
            sink.target, f"holds this replay up to {mark.replayaddress}: go on with --resume, or choose another"
        )
    if fits is not None and not fits(mark):
        raise CannotReplay(
            sink.target,
            f"was made with other filters: it ends with {mark.replayaddress}, which this replay does not tell. Go on "
            "with the filters that it was made with, or choose another",
        )
    await sink.go_on()
    return mark.replayposition


async def tell_all(
    replay: Replay, sink: Sink, pace: Pace = AS_FAST_AS_IT_GOES, on_progress: Callable[[Progress], None] | None = None
) -> Progress:
    """Tell the whole replay. If it's cancelled, or anything raises, what was told by then is whole.

    `on_progress` is called when something was told, and every now and then while nothing is found to be told.
    """
    so_far = _SoFar(replay)
    chunks = _chunks(replay)
    looking = asyncio.create_task(_look_now_and_then(so_far, on_progress)) if on_progress else None
    try:
        async for chunk in _paced(chunks, pace):
            fitting = [one for one in chunk if sink.event_bytes_max is None or len(one.payload) <= sink.event_bytes_max]
            await sink.tell(fitting)
            so_far.add(chunk, len(fitting))
            if on_progress:
                on_progress(so_far.progress)
    finally:
        if looking:
            looking.cancel()
        replay.stop()
        await chunks.aclose()
    return so_far.progress


class _SoFar:
    """What a replay has told so far."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._told = self._too_large = 0
        self._position = ""

    def add(self, chunk: Sequence[Retold], told: int) -> None:
        """Count a chunk of which so many events were told."""
        self._told += told
        self._too_large += len(chunk) - told
        self._position = chunk[-1].position

    @property
    def progress(self) -> Progress:
        """How far it is."""
        replay = self._replay
        left_out = replay.left_out + self._too_large
        return Progress(replay.events_seen, replay.events_total, self._told, left_out, self._position)


async def _look_now_and_then(so_far: _SoFar, on_progress: Callable[[Progress], None]) -> None:
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        on_progress(so_far.progress)


class BusSink:
    """A bus."""

    def __init__(self, bus: ReplayBus) -> None:
        self.target = f"{bus.subjects} on {bus.url}"
        self.event_bytes_max: int | None = bus.event_bytes_max
        self._bus = bus

    async def last(self) -> bytes | None:
        """See `Sink.last`."""
        return await self._bus.last()

    async def go_on(self) -> None:
        """See `Sink.go_on`."""

    async def tell(self, events: Sequence[Retold]) -> None:
        """See `Sink.tell`."""
        await self._bus.tell([Told(one.event, one.payload) for one in events])

    async def close(self) -> None:
        """See `Sink.close`."""
        await self._bus.close()


class FileSink:
    """A file."""

    event_bytes_max: int | None = None

    def __init__(self, path: Path) -> None:
        self.target = str(path)
        self._file = ReplayFile(path)

    async def last(self) -> bytes | None:
        """See `Sink.last`."""
        return await asyncio.to_thread(self._file.last)

    async def go_on(self) -> None:
        """See `Sink.go_on`: what is no whole line is cut off."""
        await asyncio.to_thread(self._file.go_on)

    async def tell(self, events: Sequence[Retold]) -> None:
        """See `Sink.tell`."""
        await asyncio.to_thread(self._file.write, [one.payload for one in events])

    async def close(self) -> None:
        """See `Sink.close`."""
        await asyncio.to_thread(self._file.close)


class StreamSink:
    """Standard output, or anything else that lines are written to and that keeps nothing."""

    target = "standard output"
    event_bytes_max: int | None = None

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    async def last(self) -> bytes | None:
        """See `Sink.last`."""
        return None

    async def go_on(self) -> None:
        """See `Sink.go_on`."""

    async def tell(self, events: Sequence[Retold]) -> None:
        """See `Sink.tell`. Not in a thread: that could not be interrupted while the reader stands still."""
        self._stream.write(b"".join(one.payload + b"\n" for one in events))
        self._stream.flush()

    async def close(self) -> None:
        """See `Sink.close`."""


class Clock:
    """Says when each event of a replay is due."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._before: datetime | None = None
        self._due_seconds = 0.0

    def due_seconds(self, recorded: datetime) -> float:
        """In seconds since the first one was: as far behind the one before as it was `recorded`, at the pace."""
        speed, longest = self._pace
        if self._before is not None and speed is not None:
            pause = max((recorded - self._before).total_seconds() / speed, 0.0)
            self._due_seconds += pause if longest is None else min(pause, longest)
        self._before = recorded
        return self._due_seconds


async def _paced(chunks: AsyncIterator[list[Retold]], pace: Pace) -> AsyncIterator[list[Retold]]:
    """The events in groups of what is due."""
    if pace.speed is None:
        async for chunk in chunks:
            yield chunk
        return
    loop = asyncio.get_running_loop()
    clock, begin = Clock(pace), loop.time()
    async for chunk in chunks:
        due: list[Retold] = []
        for one in chunk:
            wait_seconds = begin + clock.due_seconds(one.record.recorded_time) - loop.time()
            if wait_seconds > 0:
                if due:
                    yield due
                due = []
                await asyncio.sleep(wait_seconds)
            due.append(one)
        yield due


async def _chunks(replay: Replay) -> AsyncGenerator[list[Retold], None]:
    """What is told at a time. The next is read, in a thread, while one is told."""
    found = iter(replay)
    following = asyncio.create_task(asyncio.to_thread(_take, found))
    try:
        while chunk := await following:
            following = asyncio.create_task(asyncio.to_thread(_take, found))
            yield chunk
    finally:
        replay.stop()
        await asyncio.gather(following, return_exceptions=True)


def _take(found: Iterator[Retold]) -> list[Retold]:
    chunk: list[Retold] = []
    size_bytes = 0
    for one in found:
        chunk.append(one)
        size_bytes += len(one.payload)
        if len(chunk) == CHUNK_EVENTS_MAX or size_bytes >= CHUNK_BYTES_MAX:
            break
    return chunk
