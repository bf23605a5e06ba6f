"""Claims: what an agent says of an assignment by itself, with no command, held against how the assignment stands."""

from __future__ import annotations

from ...schemas import AssignmentStarted, EventData
from .errors import AssignmentOver, NotTheHolder
from .lifecycle import Assignment


def refuse_claim(assignment_id: str, claim: EventData, assignment: Assignment, *, claimant: str) -> None:
    """Raise `AssignmentOver` or `NotTheHolder` for what is another's to say, or is said too late.

    Of an assignment that this colony never gave, anything may be told. One that nobody has begun yet may be ended by
    whom it is for: not every program tells when it begins.
    """
    if assignment.status == "unknown":
        return
    if assignment.is_over:
        raise AssignmentOver(assignment_id, assignment.status, assignment.agent_id)
    agent_id = getattr(claim, "agent_id", None) or claimant
    is_free = assignment.status == "pending" and assignment.attempts == 0
    if isinstance(claim, AssignmentStarted) or is_free:
        if assignment.bound_to not in (None, agent_id):
            raise NotTheHolder(assignment_id, agent_id, assignment.bound_to)
    elif not assignment.is_held_by(agent_id):
        raise NotTheHolder(assignment_id, agent_id, assignment.holder)
