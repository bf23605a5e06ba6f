"""A small world: a bus in memory, its log, and a runner of reactions that can be killed at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rookery.bus import Bus, MemoryBus
from rookery.eventstore import Disk, Log
from rookery.handlers.reactions import Reactions, Runner
from rookery.schemas import Event, EventData, RunStarted, decode

ORIGIN = "local"
TURN_SECONDS = 0.001


class Forgetful(Disk):
    """A disk that takes the word of where the reactions begin, and none after it: the process dies before."""

    has_begun = False

    def replace(self, path: Path, data: bytes) -> None:
        if self.has_begun:
            raise OSError("killed before it was written")
        super().replace(path, data)
        self.has_begun = True


class World:
    """`act` reacts until nothing is left to do; `kill` ends the runner as kill -9 does, with nothing written down."""

    def __init__(
        self,
        folder: Path,
        tables: Callable[[], Sequence[Reactions]],
        *,
        attempts_max: int = 2,
        bus: Bus | None = None,
    ) -> None:
        self.bus: Bus = bus or MemoryBus()
        self.log = Log.open(folder / "log", segment_events_max=16)
        self.path = folder / "reactions.json"
        self.tables = tables
        self.runner: Runner | None = None
        self._attempts_max = attempts_max
        self._running: asyncio.Task[None] | None = None

    async def happen(self, data: EventData, subject: str, id: str | None = None) -> None:
        await self.bus.publish(Event.of(data, subject=subject, source="/agents/a", id=id))

    async def ingest(self) -> None:
        """Have the log take all that the bus holds, as ingest does."""
        await self.take((await self.bus.state()).last_sequence)

    async def take(self, end: int) -> None:
        """Have the log take what the bus holds up to a sequence."""
        after = self.log.bus_sequence(ORIGIN)
        if after >= end:
            return
        async for batch in self.bus.read(after=after):
            self.log.append(ORIGIN, [delivery for delivery in batch if delivery.sequence <= end])
            if batch[-1].sequence >= end:
                break
        self.log.seal_full_segments()
        if self.runner:
            self.runner.wake()

    async def start(self, *, forgetful: bool = False, is_behind: bool = False) -> Runner:
        disk = Forgetful() if forgetful else Disk()
        if not is_behind:
            await self.ingest()  # as a node does, if it can, before it lets anything react
        self.runner = Runner(
            self.log, self.bus, ORIGIN, self.tables(), self.path,
            disk=disk, attempts_max=self._attempts_max, pause_seconds=lambda _: 0.0,
        )  # fmt: skip
        self._running = asyncio.create_task(self.runner.run())
        while not self.runner.has_begun:
            await asyncio.sleep(TURN_SECONDS)
        return self.runner

    async def act(self) -> None:
        """Let the runner react, and the log take what it tells, until both have nothing left to do."""
        assert self.runner
        while True:
            await self.ingest()
            held = (await self.bus.state()).last_sequence
            if self.runner.is_idle and self.log.bus_sequence(ORIGIN) == held:
                return
            await asyncio.sleep(TURN_SECONDS)

    async def stop(self) -> None:
        if self._running:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        self.runner = self._running = None
        if isinstance(self.bus, MemoryBus):
            self.bus._sequences.clear()  # the time is over in which the bus knows an id again

    async def close(self) -> None:
        await self.stop()
        self.log.close()
        await self.bus.close()

    def told(self, type: str) -> list[Event]:
        """The log's events of a type, in order."""
        return [decode(record.payload) for record in self.log.search(types={type})]


def started(task: str) -> RunStarted:
    return RunStarted(task=task)
