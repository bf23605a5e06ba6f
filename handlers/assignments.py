"""Assignments: calling work off that nobody has begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    AssignmentTimedOut,
    EventData,
    RookeryError,
)
from .reactions import Command, CommandData, Context, Happened

Status = Literal["unknown", "pending", "running", "completed", "failed", "timed_out", "cancelled"]

_STATUSES: dict[type, Status] = {
    AssignmentCreated: "pending",
    AssignmentStarted: "running",
    AssignmentCompleted: "completed",
    AssignmentFailed: "failed",
    AssignmentTimedOut: "timed_out",
    AssignmentCancelled: "cancelled",
}


class UnknownAssignment(RookeryError):
    """No assignment has this id."""

    def __init__(self, assignment_id: str) -> None:
        self.assignment_id = assignment_id
        super().__init__(f"no assignment is called {assignment_id!r}")


class NotWaiting(RookeryError):
    """An assignment that somebody has begun, or that is over, can't be called off."""

    def __init__(self, assignment_id: str, status: str, agent_id: str | None) -> None:
        self.assignment_id = assignment_id
        self.status = status
        self.agent_id = agent_id
        by = f", by {agent_id}" if agent_id and status == "running" else ""
        super().__init__(f"assignment {assignment_id} is {status.replace('_', ' ')}{by}: what waits can be called off")


class Cancel(CommandData, frozen=True):
    """Call the work off: nobody is to begin it."""

    reason: str | None = None


class Assignment(NamedTuple):
    """How an assignment stands, and who has it."""

    status: Status = "unknown"
    agent_id: str | None = None


def decide(command: Command, assignment: Assignment) -> Sequence[EventData]:
    """What was called off already stays so. Raises `UnknownAssignment` or `NotWaiting`."""
    if assignment.status == "unknown":
        raise UnknownAssignment(command.subject)
    if assignment.status == "cancelled":
        return []
    if assignment.status != "pending":
        raise NotWaiting(command.subject, assignment.status, assignment.agent_id)
    return [AssignmentCancelled(reason=command.data.reason)]


def evolve(assignment: Assignment, fact: Happened) -> Assignment:
    """The first end counts."""
    status = _STATUSES.get(type(fact.data))
    if status is None or assignment.status not in ("unknown", "pending", "running"):
        return assignment
    if status == "pending" and assignment.status != "unknown":
        return assignment
    return Assignment(status, getattr(fact.data, "agent_id", None) or assignment.agent_id)


ASSIGNMENTS = Context("assignments", "assignment", {"cancel": Cancel}, Assignment, decide, evolve)
