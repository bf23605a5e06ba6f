"""The board: every assignment that is not over, as the log tells of it, and when the time of each is up.

It is kept in memory and made again from the log at each start, and so are the time-outs: there is no second store that
could forget one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import msgspec

from ...schemas import AssignmentCreated, AssignmentStarted
from ..assignments import ASSIGNMENTS, Assignment
from ..reactions import Happened

# An agent ends its attempt itself when its time is up; the node does so for those that don't.
GRACE_SECONDS = 1.0
# A time-out that could not be told, because the bus was away, is tried again.
AGAIN_SECONDS = 5.0
# Times of what is over lie about until there are so many more than of what is open.
_TIMES_SPARE = 64
_TIMES_EACH_MAX = 2  # its attempt's, and that of the whole
_WHOLE = 0  # attempts are counted from 1


class Open(NamedTuple):
    """An assignment that is not over: the line of the log that gave it, and the one that put it where it is now."""

    assignment: Assignment
    given_n: int
    moved_n: int


class Due(NamedTuple):
    """An assignment whose time is up: that of an attempt, or, without one, that of the whole."""

    time: datetime
    assignment_id: str
    attempt: int | None

    def __str__(self) -> str:
        return f"assignment {self.assignment_id}"


class _Time(NamedTuple):
    """One that sorts, whatever it is the time of."""

    time: datetime
    assignment_id: str
    attempt: int


class Board:
    """What is open. `hear` everything that is said of assignments, in the order of the log."""

    def __init__(self) -> None:
        self.open: dict[str, Open] = {}
        self._held: dict[str, set[str]] = {}
        self._times: list[_Time] = []

    @property
    def times(self) -> int:
        """How many times are kept in mind."""
        return len(self._times)

    def hear(self, assignment_id: str, n: int, fact: Happened) -> Assignment:
        """Take the next fact about an assignment, and return how that stands now.

        Only to be given opens it: what comes late about one that is over is no work in anybody's hands.
        """
        known = self.open.get(assignment_id)
        if known is None:
            if not isinstance(fact.data, AssignmentCreated):
                return Assignment()
            known = Open(Assignment(), n, n)
        if isinstance(fact.data, AssignmentCreated):  # what is to be worked on may be large, and the log has it
            fact = fact._replace(data=msgspec.structs.replace(fact.data, input=None, metadata=None))
        after = ASSIGNMENTS.evolve(known.assignment, fact)
        if after == known.assignment:
            return after
        self._note_holder(assignment_id, known.assignment.agent_id, None if after.is_over else after.agent_id)
        if after.is_over:
            self.open.pop(assignment_id, None)
            return after
        is_given = isinstance(fact.data, AssignmentCreated)
        self.open[assignment_id] = Open(after, n if is_given else known.given_n, known.moved_n if is_given else n)
        self._note_time(assignment_id, after, fact)
        return after

    def forget(self, assignment_id: str) -> None:
        """Strike an assignment off: it is over, although what was heard here doesn't say so."""
        if known := self.open.pop(assignment_id, None):
            self._note_holder(assignment_id, known.assignment.agent_id, None)

    def held_by(self, agent_id: str, *, before: int) -> Iterator[str]:
        """The assignments that the agent had before that line of the log, or was chosen for, and still has."""
        for assignment_id in sorted(self._held.get(agent_id, ())):
            if self.open[assignment_id].moved_n < before:
                yield assignment_id

    def due(self, now: datetime) -> list[Due]:
        """Whose time is up. Each comes again after a while, until the log says that it is over."""
        found = list[_Time]()
        while self._times and self._times[0].time <= now:
            one = heappop(self._times)
            if self._is_still_due(one):
                found.append(one)
        for one in found:
            heappush(self._times, one._replace(time=now + timedelta(seconds=AGAIN_SECONDS)))
        return [Due(one.time, one.assignment_id, one.attempt or None) for one in found]

    @property
    def next_due(self) -> datetime | None:
        """When to look for what is due again; None: nothing has a time."""
        while self._times and not self._is_still_due(self._times[0]):
            heappop(self._times)
        return self._times[0].time if self._times else None

    def _is_still_due(self, one: _Time) -> bool:
        known = self.open.get(one.assignment_id)
        if known is None or one.attempt == _WHOLE:
            return known is not None
        return known.assignment.status == "running" and known.assignment.attempts == one.attempt

    def _note_holder(self, assignment_id: str, before: str | None, after: str | None) -> None:
        if before is not None and before != after:
            held = self._held.get(before, set())
            held.discard(assignment_id)
            if not held:
                self._held.pop(before, None)
        if after is not None:
            self._held.setdefault(after, set()).add(assignment_id)

    def _note_time(self, assignment_id: str, after: Assignment, fact: Happened) -> None:
        created = after.created
        if created is None:
            return
        if isinstance(fact.data, AssignmentStarted) and created.timeout_seconds is not None:
            limit = timedelta(seconds=created.timeout_seconds + GRACE_SECONDS)
            self._keep(_Time(_after(fact.time, limit), assignment_id, after.attempts))
        if isinstance(fact.data, AssignmentCreated) and created.deadline_seconds is not None:
            limit = timedelta(seconds=created.deadline_seconds)
            self._keep(_Time(_after(fact.time, limit), assignment_id, _WHOLE))

    def _keep(self, one: _Time) -> None:
        if len(self._times) >= 2 * _TIMES_EACH_MAX * len(self.open) + _TIMES_SPARE:
            self._times = [kept for kept in self._times if self._is_still_due(kept)]
            heapify(self._times)
        heappush(self._times, one)


def _after(time: datetime, limit: timedelta) -> datetime:
    """So long after a time, or as late as there is any."""
    try:
        return time + limit
    except OverflowError:
        return datetime.max.replace(tzinfo=time.tzinfo)
