"""The end of an attempt: what is told of the run and of the assignment, in one append that the dead can't make.

The append expects the assignment as it was begun, and the agent as it was registered. Where one of them has moved on,
both are looked at again: who no longer holds the assignment, or was declared dead meanwhile, commits nothing.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ...bus import AlreadyPublished, ConcurrencyConflict, Entity
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
    """Tell the end, all of it or nothing.

    Raises `Fenced`, `AssignmentOver` or `NotTheHolder`, and then nothing is told; `InvalidEvent`, `EventTooLarge`,
    `Contended`, or `BusUnavailable` after a quarter of an hour.
    """
    agent_id = run.profile.agent_id
    assignment, agent = Entity("assignment", assignment_id), Entity("agent", agent_id)
    told = checked(run.says(end.run, subject=run.id, id=derived_id(run.id, "ended")))
    for _ in range(CONFLICTS_MAX):
        claimed = _claimed(run, assignment_id, begun.assignment, end.claim)
        try:
            expected = {assignment: begun.sequence, agent: life.sequence(agent_id)}
            await appended(run.bus, [told, claimed], expected)
            return
        except ConcurrencyConflict:
            await insisting(life.membership.look)
            begun = Begun(*await insisting(partial(_assignments(run).look, assignment_id)))
        except AlreadyPublished:  # another has told that this run was lost
            raise NotTheHolder(assignment_id, agent_id, None) from None
    raise Contended(assignment, CONFLICTS_MAX)


def _claimed(run: Run, assignment_id: str, assignment: Assignment, claim: Claim) -> Event:
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
