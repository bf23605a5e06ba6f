"""Taking work out of hands that are dead, putting it where others find it, and telling who is to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from ...bus import Bus
from ...schemas import (
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AssignmentCancelled,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    agent_in,
)
from ..assignments import ASSIGNMENTS, Release, stop
from ..fleet.registry import AGENTS, DEAD
from ..reactions import Answer, Ask, Cause, Decider, Reactions
from .board import Open
from .side_by_side import each

if TYPE_CHECKING:
    from .dispatcher import Dispatcher

# What was handed over and is not begun in this time is handed over again, after twice as long each time.
HANDED_SECONDS = 3.0
HANDED_TIMES_MAX = 5


class _Handed(NamedTuple):
    """What was handed over since a line of the log released it: how often again, from whom it came, and when."""

    released_n: int
    times: int
    was: str
    at: datetime

    def is_due(self, now: datetime) -> bool:
        return (now - self.at).total_seconds() >= HANDED_SECONDS * 2.0**self.times


class Hands:
    """The reactions by which work changes hands; what they have to know, `dispatcher` knows."""

    def __init__(self, bus: Bus, dispatcher: Dispatcher, *, source: str, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self._dispatcher = dispatcher
        self._board = dispatcher.board
        self._candidates = dispatcher.candidates
        self._agents = Decider(bus, AGENTS, source=source)
        self._source = source
        self._clock = clock
        self._handed: dict[str, _Handed] = {}
        self.reactions = Reactions(
            "assignments",
            {
                AgentRegistered: [self.release_work_of_an_earlier_life],
                AgentStateChanged: [self.release_work_of_the_dead],
                AgentUnregistered: [self.release_work_of_the_dead],
                AssignmentStarted: [self.release_what_the_dead_began],
                AssignmentReleased: [self.hand_over_what_was_released],
                AssignmentCancelled: [self.stop_who_has_it],
                AssignmentTimedOut: [self.stop_who_has_it],
            },
            ready=self._until_known,
        )

    @property
    def has_any(self) -> bool:
        """Whether something that was handed over is yet to be begun."""
        return bool(self._handed)

    async def _until_known(self, cause: Cause) -> None:
        """Who is told to stop needs nothing of the dispatcher, which a long log may keep busy when the node starts."""
        if not isinstance(cause.data, AssignmentCancelled | AssignmentTimedOut):
            await self._dispatcher.until(cause.n)

    async def release_work_of_the_dead(self, cause: Cause) -> Answer:
        """Take out of its hands what an agent had when it was declared dead, or left."""
        data: AgentStateChanged | AgentUnregistered = cause.data
        if isinstance(data, AgentStateChanged) and data.state not in ("expired", "evicted"):
            return None
        state = data.state if isinstance(data, AgentStateChanged) else "unregistered"
        held = self._board.held_by(cause.entity.id, before=cause.n)
        return self._releases(cause.entity.id, held, f"{cause.entity.id} is {state}") or None

    async def release_work_of_an_earlier_life(self, cause: Cause) -> Answer:
        """Who registers anew has nothing any more of what it had in hand before."""
        held = self._board.held_by(cause.entity.id, before=cause.n)
        running = [one for one in held if self._board.open[one].assignment.status == "running"]
        return self._releases(cause.entity.id, running, f"{cause.entity.id} began a new life") or None

    async def release_what_the_dead_began(self, cause: Cause) -> Answer:
        """Take from an agent what it claimed when it was dead already: one that was frozen may not know it yet."""
        agent_id = cause.data.agent_id
        if cause.entity.id not in self._board.open or self._candidates.is_alive(agent_id):
            return None
        record, _ = await self._agents.look(agent_id)  # who never registered is nobody's to declare dead
        if record.state not in DEAD:
            return None
        return self._releases(agent_id, [cause.entity.id], f"{agent_id} was dead when it began")

    def _releases(self, agent_id: str, held: Iterable[str], reason: str) -> list[Ask]:
        found = list[Ask]()
        for assignment_id in held:
            run_id = self._board.open[assignment_id].assignment.run_id
            found.append(Ask(ASSIGNMENTS, assignment_id, Release(agent_id=agent_id, run_id=run_id, reason=reason)))
        return found

    async def hand_over_what_was_released(self, cause: Cause) -> Answer:
        """Put it where another finds it; what its agent gave back itself is there already, unless it was chosen."""
        released: AssignmentReleased = cause.data
        known = self._board.open.get(cause.entity.id)
        if known is None or known.moved_n != cause.n or known.assignment.created is None:
            return None  # it went on already
        is_own = cause.event is not None and cause.event.source == self._source
        created = known.assignment.created
        if not is_own and created.chosen is None:
            return None
        self._handed[cause.entity.id] = handed = _Handed(cause.n, 0, released.agent_id, self._clock())
        await self._hand_over(known, handed)
        return []

    async def _hand_over(self, known: Open, handed: _Handed) -> None:
        created = known.assignment.created
        assert created is not None, "it was given"
        given = await self._dispatcher.given(known.given_n)
        pool = self._dispatcher.pool if self._dispatcher.stands_in(created.kind) else None
        number = handed.released_n * HANDED_TIMES_MAX + handed.times
        await self._bus.hand_over(given, known.assignment.bound_to or pool, number=number, was=[handed.was])

    async def hand_over_again(self) -> None:
        """What nobody has begun lies with one who asked for work and then fell silent: take it out of those hands."""
        now, due = self._clock(), list[str]()
        for assignment_id, handed in list(self._handed.items()):
            known = self._board.open.get(assignment_id)
            if known is None or known.moved_n != handed.released_n or handed.times + 1 >= HANDED_TIMES_MAX:
                del self._handed[assignment_id]
            elif handed.is_due(now):
                self._handed[assignment_id] = handed._replace(times=handed.times + 1, at=now)
                if known.assignment.bound_to is None:
                    due.append(assignment_id)

        async def hand_over(assignment_id: str) -> None:
            known, handed = self._board.open[assignment_id], self._handed[assignment_id]
            created = known.assignment.created
            assert created is not None, "it was given"
            await self._candidates.be_ready(created.kind)
            if self._candidates.choose(created.kind):
                await self._hand_over(known, handed)

        await each(due, hand_over)

    async def stop_who_has_it(self, cause: Cause) -> Answer:
        """Tell the agent, where somebody else ended what it has in hand. One that isn't there needs no telling."""
        agent_id = cause.data.agent_id
        if agent_id is None or (cause.event is not None and agent_in(cause.event.source) == agent_id):
            return None
        await stop(self._bus, agent_id, cause.entity.id)
        return []
