"""The end of an attempt: the end of its run, which only the living can tell, and the claim, which only its holder can.

The run's end expects the agent as it was registered: who was declared dead meanwhile tells nothing. The claim expects
the assignment as it was begun: who no longer holds it has done the run for nothing. Where one has moved on, it is
looked at again.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ...bus import ConcurrencyConflict, Entity, Receipt
from ...schemas import Event, EventData, derived_id
from ..assignments import ASSIGNMENTS, Assignment, Complete, Fail, NotTheHolder, Release, TimeOut
from ..fleet import Fenced
from ..reactions import Command, Contended, Decider
from ..reactions.deciding import CONFLICTS_MAX, checked
from .membership import Membership
from .telling import Run, appended, insisting

Claim = Complete | Fail | TimeOut | Release


class Life(NamedTuple):
    """In which of its lives an agent began an attempt: only in that one can it end it."""

    membership: Membership
    incarnation: int

    def sequence(self, agent_id: str) -> int:
        """The agent's last sequence, which an append can expect. Raises `Fenced` where it lives anew by now."""
        if self.membership.incarnation != self.incarnation:
            reason = f"it has registered anew meanwhile, as incarnation {self.membership.incarnation}"
            raise Fenced(agent_id, self.incarnation, reason)
        return self.membership.sequence


class Begun(NamedTuple):
    """The assignment as it was when the attempt had begun, and its last sequence then."""

    assignment: Assignment
    sequence: int


class End(NamedTuple):
    """How an attempt ended: what is told of its run, and what it claims of the assignment."""

    run: EventData
    claim: Claim


async def commit(run: Run, life: Life, assignment_id: str, begun: Begun, end: End) -> None:
    """Tell the end of the run, and claim that of the assignment.

    Raises `Fenced`, and then nothing is told; `AssignmentOver` or `NotTheHolder`, and then no more than the end of the
    run; `InvalidEvent`, `EventTooLarge`, `Contended`, or `BusUnavailable` after a quarter of an hour.
    """
    assignment = Entity("assignment", assignment_id)
    told = checked(run.says(end.run, subject=run.id, id=derived_id(run.id, "ended")))
    claim = claimed(run, assignment_id, begun.assignment, end.claim)
    run.bus.ensure_fits(claim)
    if (await append_alive(run, life, told)).duplicate:  # another has told that this run was lost
        raise NotTheHolder(assignment_id, run.profile.agent_id, None)
    for _ in range(CONFLICTS_MAX):
        try:
            await appended(run.bus, claim, {assignment: begun.sequence})
            return
        except ConcurrencyConflict:
            begun = Begun(*await insisting(partial(_assignments(run).look, assignment_id)))
            claim = claimed(run, assignment_id, begun.assignment, end.claim)
    raise Contended(assignment, CONFLICTS_MAX)


async def append_alive(run: Run, life: Life, event: Event) -> Receipt:
    """Append what only the living can tell. Raises `Fenced`, `EventTooLarge`, `Contended` or `BusUnavailable`."""
    agent_id = run.profile.agent_id
    for _ in range(CONFLICTS_MAX):
        try:
            return await appended(run.bus, event, {Entity("agent", agent_id): life.sequence(agent_id)})
        except ConcurrencyConflict:  # it may have been suspected, or have changed its particulars
            await insisting(life.membership.look)
    raise Contended(Entity("agent", agent_id), CONFLICTS_MAX)


def claimed(run: Run, assignment_id: str, assignment: Assignment, claim: Claim) -> Event:
    """What the claim makes of the assignment, if the run still holds it. Raises as the context does."""
    agent_id = run.profile.agent_id
    command = Command.of(claim, subject=assignment_id, source=run.profile.source, id=run.id)
    told = ASSIGNMENTS.decide(command, assignment)
    if not told:
        raise NotTheHolder(assignment_id, agent_id, assignment.agent_id)
    is_end = not isinstance(claim, Release)
    event_id = derived_id(assignment_id, "ended") if is_end else derived_id(run.id, "released")
    return checked(run.says(told[0], subject=assignment_id, id=event_id))


def _assignments(run: Run) -> Decider:
    return Decider(run.bus, ASSIGNMENTS, source=run.profile.source)
