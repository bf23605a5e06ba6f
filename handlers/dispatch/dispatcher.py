"""The dispatcher: follows the log, knows what is open and who could do it, and sees to what nobody else does.

It ends what is overdue, takes their work out of dead agents' hands and has it handed to others, and tells agents to
stop what was called off. All that it knows comes from the log, and is made again from it at each start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime

from ...bus import Bus
from ...eventstore import Log, Record
from ...schemas import (
    Event,
    InvalidEvent,
    RookeryError,
    all_types,
    decode,
    derived_id,
)
from ..agent.assigning import is_to_be_given
from ..assignments import AssignmentOver, TimeOut, UnknownAssignment
from ..proficiency import Lookup
from ..reactions import Command, Decider, Happened
from .board import Board, Due
from .candidates import Candidates
from .choosing import ASSIGNMENTS_MAX
from .hands import HANDED_SECONDS, Hands
from .side_by_side import each
from .strays import is_as_given, strays_of

TYPES = frozenset(known.name for known in all_types() if known.name.startswith(("agent.", "assignment.")))
CHUNK_EVENTS_MAX = 2_000
# So many of them are taken in before others have their turn.
HEARD_AT_ONCE_MAX = 100
TROUBLE_SECONDS = 1.0
IDLE_SECONDS_MAX = 60.0
HEARD_SECONDS_MAX = 1.0
RANK_SECONDS = 10.0
# What can't be given at the start, because the bus is away or full, is looked for again, after twice as long each time.
STRAYS_SECONDS = 10.0
STRAYS_SECONDS_MAX = 600.0

logger = logging.getLogger(__name__)


class Dispatcher:
    """Of one node, over its own origin's log. `run` it, `wake` it when the log has grown, and add its `reactions`.

    `lookup` tells how good agents are. `pool` names the agent that stands in for capabilities which nobody alive has,
    and `offered` those that it has.
    """

    def __init__(
        self,
        log: Log,
        bus: Bus,
        origin: str,
        *,
        assignments_max: int = ASSIGNMENTS_MAX,
        lookup: Lookup | None = None,
        pool: str = "",
        offered: Iterable[str] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.board = Board()
        self.candidates = Candidates(assignments_max=assignments_max, lookup=lookup, pool=[pool] if pool else [])
        self.pool = pool
        self._offered = frozenset(offered)
        self._log = log
        self._bus = bus
        self._origin = origin
        self._source = f"/nodes/{origin}"
        self._clock = clock
        self._troubles: dict[str, str] = {}
        self.set_aside = 0  # facts of the log that nothing could be made of
        self._position = 0
        self._heard = 0
        self._begun = asyncio.Event()
        self._no_strays = asyncio.Event()
        self._moved = asyncio.Condition()
        self._grown = asyncio.Event()
        self._grown.set()
        self._hands = Hands(bus, self, source=self._source, clock=clock)
        self.reactions = self._hands.reactions

    def wake(self) -> None:
        """Say that the log has grown. Call it on the event loop."""
        self._grown.set()

    async def until_begun(self) -> None:
        """Wait until what the log had at the start is known here."""
        await self._begun.wait()

    async def until_no_strays(self) -> None:
        """Wait until what was recorded before the start, and waited nowhere, is given."""
        await self._no_strays.wait()

    async def until(self, n: int) -> None:
        """Wait until everything up to that line of the log is known here."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._position >= n)

    async def until_level(self) -> None:
        """Wait until all that the log has by now is known here."""
        await self.until(self._log.vector().get(self._origin, 0))

    async def until_heard(self, sequence: int) -> None:
        """Wait until what the bus has up to there is known here, or for so long as ingest may take for it at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEARD_SECONDS_MAX), self._moved:
                await self._moved.wait_for(lambda: self._heard >= sequence)

    async def run(self, decider: Decider) -> None:
        """Follow the log until cancelled, and have `decider`, of assignments, end what is overdue."""
        beside = [
            asyncio.create_task(self._rank_on(), name="rank agents"),
            asyncio.create_task(self._give_strays(decider), name="give what was only recorded"),
        ]
        try:
            await self._follow(decider)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def _rank_on(self) -> None:
        """Ratings change with what agents do and with time, and nobody says so: look at all of them now and then."""
        while True:
            await asyncio.sleep(RANK_SECONDS)
            for agent_id in self.candidates.agents():
                try:
                    self.candidates.rank(agent_id)
                except Exception:
                    logger.exception("agent %s can't be ranked", agent_id)
                await asyncio.sleep(0)

    async def _give_strays(self, decider: Decider) -> None:
        """Once all that was there at the start is known: give what was recorded and never came to wait anywhere."""
        await self.until_begun()

        async def give(assignment_id: str) -> None:
            known = self.board.open.get(assignment_id)
            event = await self.given(known.given_n) if known else None
            if event is None or not is_to_be_given(event):
                return
            state, _ = await decider.look(assignment_id)  # it may have been begun and ended since it was looked for
            if is_as_given(state):
                await self._bus.give(event)
                logger.warning("assignment %s was recorded and waited nowhere: it is given now", assignment_id)

        async def look() -> None:
            await each(await strays_of(self._bus, self.board), give)

        pause_seconds = STRAYS_SECONDS
        while not await self._well("give work that waits nowhere", look()):
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, STRAYS_SECONDS_MAX)
        self._no_strays.set()

    async def _follow(self, decider: Decider) -> None:
        while True:
            self._grown.clear()
            has_read = await self._well("read the log", self._read_on())
            if has_read:
                self._begun.set()
            await self._well("end what is overdue", self._time_out(decider))
            await self._well("hand over again what nobody began", self._hands.hand_over_again())
            if not has_read:
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_seconds()):
                    await self._grown.wait()

    async def _well(self, what: str, work: Awaitable[None]) -> bool:
        """Whether that could be done. If not, the rest is done nevertheless, and this is tried again."""
        try:
            await work
        except Exception as error:
            foreseen = isinstance(error, RookeryError)
            logger.warning("the dispatcher can't %s; trying again", what, exc_info=None if foreseen else error)
            self._troubles[what] = f"it can't {what}: {error or type(error).__name__}"
            return False
        self._troubles.pop(what, None)
        return True

    @property
    def trouble(self) -> str:
        """What is wrong, and since the node began was; empty: nothing."""
        found = list(self._troubles.values())
        if self.set_aside:
            noun = "event" if self.set_aside == 1 else "events"
            found.append(f"{self.set_aside:,} {noun} could not be taken in, and the log of the program says why")
        return "; ".join(found)

    def stands_in(self, kind: str) -> bool:
        """Whether the pool is to have work of a kind: it offers that, and nobody alive does."""
        return kind in self._offered and not self.candidates.anybody_can(kind)

    # Knowing

    async def _read_on(self) -> None:
        while True:
            heard = self._log.bus_sequence(self._origin)
            end = self._log.vector().get(self._origin, 0)
            records = await asyncio.to_thread(self._read, end) if end > self._position else []
            for number, record in enumerate(records, 1):
                self._hear_or_set_aside(record)
                if number % HEARD_AT_ONCE_MAX == 0:
                    await asyncio.sleep(0)
            async with self._moved:
                is_all = len(records) < CHUNK_EVENTS_MAX
                self._position = end if is_all else records[-1].n
                self._heard = max(self._heard, heard) if is_all else self._heard
                self._moved.notify_all()
            if is_all:
                return

    def _read(self, end: int) -> list[Record]:
        after, up_to = {self._origin: self._position}, {self._origin: end}
        return list(self._log.search(types=TYPES, after=after, up_to=up_to, limit=CHUNK_EVENTS_MAX))

    def _hear_or_set_aside(self, record: Record) -> None:
        """What nothing can be made of keeps nobody from hearing the rest."""
        try:
            self._hear(record)
        except Exception:
            logger.exception("event %d of %s could not be taken in, and is set aside", record.n, self._origin)
            self.set_aside += 1

    def _hear(self, record: Record) -> None:
        if record.letter is not None:
            return
        try:
            event = decode(record.payload)
            fact = Happened(event.payload(), record.recorded_time)
        except InvalidEvent:  # the log lists it as a dead letter
            return
        if event.entity == "agent":
            self.candidates.hear(event.subject, record.sequence, fact)
        else:
            after = self.board.hear(event.subject, record.n, fact)
            self.candidates.hold(event.subject, None if after.is_over else after.agent_id)

    async def given(self, n: int) -> Event:
        """The event at a line of the log that was read before."""
        record = await asyncio.to_thread(self._log.get, self._origin, n)
        assert record is not None, "what was read once is in the log"
        return decode(record.payload)

    # Time

    def _idle_seconds(self) -> float:
        longest = HANDED_SECONDS if self._hands.has_any else IDLE_SECONDS_MAX
        due = self.board.next_due
        return longest if due is None else min(max((due - self._clock()).total_seconds(), 0), longest)

    async def _time_out(self, decider: Decider) -> None:
        now = self._clock()

        async def end(due: Due) -> None:
            if due.assignment_id not in self.board.open:
                return  # both of its times are up, and the first has shown that it is over
            try:
                await decider.handle(self._timed_out(due, now))
            except (AssignmentOver, UnknownAssignment):
                self.board.forget(due.assignment_id)
                self.candidates.hold(due.assignment_id, None)

        await each(self.board.due(now), end)

    def _timed_out(self, due: Due, now: datetime) -> Command:
        began_at = self.board.open[due.assignment_id].assignment.started_at
        duration = None if began_at is None or due.attempt is None else max((now - began_at).total_seconds(), 0)
        attempt = "whole" if due.attempt is None else str(due.attempt)
        return Command(
            subject=due.assignment_id,
            data=TimeOut(attempt=due.attempt, duration_seconds=duration),
            source=self._source,
            id=derived_id(due.assignment_id, "timed out", attempt),
            time=now,
        )
