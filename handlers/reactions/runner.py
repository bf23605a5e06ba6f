"""The runner: answers what a node's own log gains, entity by entity in order, several entities at once.

What it has done is said by facts in the log. Where it is in the log is written into a small file now and then, so that
a start need not read the log from its beginning; without the file it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ...bus import Bus, Entity
from ...eventstore import Disk, Log
from ...schemas import Event, ReactionDiscarded, ReactionInstalled, ReactionRedriven
from .deciding import Decider, Earlier, events_in
from .driving import ATTEMPTS_MAX, Drive, Terms, pause_seconds
from .lanes import LANE_EVENTS_MAX, Lane, Lanes
from .lives import KIND, LIVES, reaction_id
from .place import Held, Place, read_place, write_place
from .reading import Met, Reader, Told
from .starting import Start, start
from .table import Ask, Cause, Named, Reactions, cause_of

AT_ONCE_MAX = 16
WAITING_EVENTS_MAX = 2_000
EARLY_MAX = 100
SAVE_SECONDS = 5.0
ROOM_SECONDS = 0.02
TROUBLE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Runner:
    """Runs tables of reactions over one origin's log. `run` it, and `wake` it when the log has grown.

    An effect happens at least once: a process may die between it and the word that it was done. What a reaction tells
    is in the log exactly once.
    """

    def __init__(
        self,
        log: Log,
        bus: Bus,
        origin: str,
        tables: Sequence[Reactions],
        path: Path,
        *,
        disk: Disk | None = None,
        earlier: Earlier | None = None,
        attempts_max: int = ATTEMPTS_MAX,
        pause_seconds: Callable[[int], float] = pause_seconds,
    ) -> None:
        self.tables = {table.name: table for table in tables}
        self.source = f"/nodes/{origin}"
        self.lives = Decider(bus, LIVES, source=self.source, earlier=earlier)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._troubles: dict[str, str] = {}
        self.bus = bus
        self._earlier = earlier
        self._reader = Reader(log, origin, tables)
        self._path = path
        self._disk = disk or Disk()
        self._deciders: dict[str, Decider] = {}
        self._terms = Terms(
            bus,
            self.source,
            asyncio.Semaphore(AT_ONCE_MAX),
            self._decider_of,
            self._note,
            pause_seconds,
            attempts_max,
        )
        self._lanes = Lanes()
        self._place = Place()
        self._begun: Start | None = None
        self._position = 0
        self._early: deque[str] = deque(maxlen=EARLY_MAX)  # re-driven before this knew that they are parked
        self._is_saved = True
        self._saved_at = 0.0
        self._grown = asyncio.Event()
        self._grown.set()

    def wake(self) -> None:
        """Say that the log has grown. Call it on the event loop."""
        self._grown.set()

    def hasten(self, *, attempts_max: int) -> None:
        """Try so often, and without pauses: for who tests reactions and has no time."""
        self._terms = self._terms._replace(attempts_max=attempts_max, pause_seconds=lambda _: 0.0)

    def parked(self) -> list[Held]:
        """What is parked, in the order of the log."""
        return self._lanes.parked()

    @property
    def trouble(self) -> str:
        """What keeps it, or some of its lanes, from going on; empty if nothing does."""
        return "; ".join(self._troubles.values())

    @property
    def position(self) -> int:
        """Up to where the log was read."""
        return self._position

    @property
    def has_begun(self) -> bool:
        """Whether it knows where to go on: what happens from now on is answered."""
        return self._begun is not None

    @property
    def is_idle(self) -> bool:
        """Whether everything that the log has is done, or parked."""
        at_work = any(lane.task or lane.waiting or (lane.behind and not lane.parked) for lane in self._lanes)
        return self._begun is not None and self._position == self._reader.end and not at_work

    async def run(self) -> None:
        """React until cancelled; what goes wrong with log or disk is tried again, and told in `trouble`."""
        try:
            await self._insist("starting", self._begin)
            while True:
                await self._growth()
                await self._insist("reading", self._read_on)
                await self._save_if_due()
        finally:
            await self._stop()

    async def _begin(self) -> None:
        place = await asyncio.to_thread(read_place, self._path, self._disk)
        tables = list(self.tables.values())
        begun = await asyncio.to_thread(start, place, self._reader, tables)
        if begun.new:
            on_bus = {name: await self._installed(name, begun.end) for name in begun.new}
            begun = await asyncio.to_thread(start, place, self._reader, tables, on_bus)
        # Written before anything is answered: whatever ends the process then, nothing from here on is left out.
        await asyncio.to_thread(write_place, self._path, begun.place, self._disk)
        self._begun, self._place, self._position = begun, begun.place, begun.place.reached
        for held in begun.place.held:
            self._restore(held)

    async def _installed(self, name: str, after: int) -> int:
        """Say that the reaction is there from `after` on, unless the bus has that already; returns what it has.

        An earlier start said so that ended before it had noted where it was, and before the log heard of it.
        """
        entity = Entity(KIND, name)
        history = await self.bus.history(entity, facts=["installed"])
        for event in events_in(history):
            if isinstance(fact := event.payload(), ReactionInstalled):
                return fact.after
        said = Event.of(ReactionInstalled(after=after), subject=name, source=self.source)
        await self.bus.append([said], expected={entity: history.sequence})
        return after

    def _restore(self, held: Held) -> None:
        assert self._begun is not None
        table = self.tables.get(held.table)
        if table is None:
            logger.warning("no table of reactions is named %s any more; what was parked there stays so", held.table)
            table = self.tables[held.table] = Reactions(held.table, {})
        lane = self._lanes.get(table, held.entity, held.after)
        lane.restore(held)
        lane.doubtful = self._begun.end
        self._go_on(lane)

    # Reading

    async def _read_on(self) -> None:
        assert self._begun is not None
        while self._position < (end := self._reader.end):
            await self._room()
            chunk = await asyncio.to_thread(self._reader.chunk, self._position, end)
            for found in chunk.found:
                if isinstance(found, Met):
                    self._meet(found)
                elif found.n > self._begun.end:
                    self._hear(found)
            if chunk.dead and not self._place.dead_from:
                self._place = msgspec.structs.replace(self._place, dead_from=chunk.dead)
            self._position = chunk.position
            self._is_saved = False

    def _meet(self, met: Met) -> None:
        assert self._begun is not None
        for table in met.tables:
            lane = self._lanes.get(table, met.entity, met.n - 1)
            if met.n > lane.after:
                lane.doubtful = max(lane.doubtful, self._begun.end)
                lane.take(met.n)
                self._go_on(lane)

    def _hear(self, told: Told) -> None:
        """Of what others say about reactions, what concerns parked ones."""
        if not isinstance(told.fact, ReactionRedriven | ReactionDiscarded):
            return
        lane = self._lanes.with_parked(told.id)
        if lane is None:
            self._early.append(told.id)
        else:
            lane.resume()
            self._go_on(lane)

    async def _room(self) -> None:
        while self._lanes.waiting >= WAITING_EVENTS_MAX:
            await asyncio.sleep(ROOM_SECONDS)

    # Lanes

    def _go_on(self, lane: Lane) -> None:
        if lane.task is None and not lane.parked and (lane.waiting or lane.behind):
            lane.task = asyncio.create_task(self._work_off(lane), name=f"{lane.table.name} {lane.entity}")

    async def _work_off(self, lane: Lane) -> None:
        try:
            while not lane.parked and (lane.waiting or lane.behind):
                await self._insist(f"{lane.table.name} {lane.entity}", lambda: self._next(lane))
        finally:
            lane.task = None
            self._lanes.forget_if_level(lane)
            self._grown.set()  # where it is may have moved

    async def _next(self, lane: Lane) -> None:
        if not lane.waiting:
            return await self._load(lane)
        n = lane.waiting[0]
        record = await asyncio.to_thread(self._reader.log.get, self._reader.origin, n)
        assert record is not None, "what was read once is in the log"
        cause = cause_of(record)
        for named in lane.table.of(cause.data):
            held = await self._react(lane, cause._replace(reaction=named.name), named)
            if held is not None:
                lane.park(held)
                if held.id in self._early:  # once: if it is parked again, nobody has asked for that
                    self._early.remove(held.id)
                    lane.resume()
                return None
        lane.waiting.popleft()
        lane.after = n
        return None

    async def _load(self, lane: Lane) -> None:
        """Have the lane's next events wait, from the log; what the log gains meanwhile, too."""
        position = self._position
        read = self._reader.of_entity
        found = await asyncio.to_thread(read, lane.table, lane.entity, lane.after, position, LANE_EVENTS_MAX)
        lane.waiting.extend(found)
        lane.behind = len(found) >= LANE_EVENTS_MAX or self._position > position

    async def _react(self, lane: Lane, cause: Cause, named: Named) -> Held | None:
        """Do one reaction; what is to be said of it where it is parked."""
        assert self._begun is not None
        life_id = reaction_id(cause.id, named.name)
        if cause.n <= self._begun.installed.get(named.name, 0) or life_id in self._begun.done:
            return None
        attempts = self._begun.attempts.pop(life_id, 0)
        drive = Drive(self._terms, cause, named, attempts=attempts, doubtful=cause.n <= lane.doubtful)
        outcome = await drive.run()
        self._note(named.name, outcome.standing)
        if outcome.standing != "parked":
            return None
        return Held(
            lane.table.name,
            *lane.entity,
            after=cause.n - 1,
            n=cause.n,
            id=life_id,
            reaction=named.name,
            error=outcome.error,
            attempts=outcome.attempts,
            since=datetime.now(UTC).isoformat(),
            is_parked=True,
        )

    def _decider_of(self, ask: Ask) -> Decider:
        context = ask.context
        if context.name not in self._deciders:
            self._deciders[context.name] = Decider(self.bus, context, source=self.source, earlier=self._earlier)
        return self._deciders[context.name]

    def _note(self, reaction: str, outcome: str) -> None:
        self.counts[reaction, outcome] += 1

    # Upkeep

    async def _insist(self, what: str, work: Callable[[], Awaitable[Any]]) -> None:
        """Do it, however often it takes."""
        while True:
            try:
                await work()
                self._troubles.pop(what, None)
                return
            except Exception as error:
                self._troubles[what] = f"{type(error).__name__}: {error}"
                logger.exception("reactions (%s) can't go on; trying again", what)
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _growth(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if self._is_saved else SAVE_SECONDS):
                await self._grown.wait()
        self._grown.clear()

    async def _save_if_due(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._is_saved and now - self._saved_at >= SAVE_SECONDS:
            self._saved_at, self._is_saved = now, True
            try:
                await asyncio.to_thread(write_place, self._path, self._place_now(), self._disk)
            except OSError as error:
                logger.warning("where the reactions are could not be written down: %s", error)

    async def _stop(self) -> None:
        tasks = [lane.task for lane in self._lanes if lane.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        if self._begun is not None and not self._is_saved:
            with contextlib.suppress(OSError):
                write_place(self._path, self._place_now(), self._disk)

    def _place_now(self) -> Place:
        reached, held = self._lanes.reached(self._position), self._lanes.held()
        return msgspec.structs.replace(self._place, reached=reached, held=held)
