"""An assignment's life: given, begun, released and begun again, and ended once.

    pending ──start──► running ──complete, fail, time_out──► completed, failed, timed_out
       ▲                  │
       └─────release──────┘        cancel, give_up, time_out: from pending and running

Whoever has begun it holds it, until it is released or begun by another: the work queue hands it to one at a time, so
who is handed it takes it over. Only the holder can say what came of it, and the first end counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from ...schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    EventData,
)
from ...schemas.assignments import Result
from ...schemas.vocabulary import AgentId, RunId, Score, Seconds, Skill
from ..reactions import Command, CommandData, Context, Happened
from .errors import AssignmentOver, NotTheHolder, UnknownAssignment

Status = Literal["unknown", "pending", "running", "completed", "failed", "timed_out", "cancelled"]
OPEN: tuple[Status, ...] = ("pending", "running")

_ENDS: dict[type[EventData], Status] = {
    AssignmentCompleted: "completed",
    AssignmentFailed: "failed",
    AssignmentTimedOut: "timed_out",
    AssignmentCancelled: "cancelled",
}


class Start(CommandData, frozen=True, kw_only=True):
    """Begin it, as the next attempt. Who is handed it takes it over from whoever had it."""

    agent_id: AgentId
    run_id: RunId | None = None


class Complete(CommandData, frozen=True, kw_only=True):
    """It is done. `run_id` says in which attempt, where the agent knows."""

    agent_id: AgentId
    run_id: RunId | None = None
    skill: Skill | None = None
    score: Score | None = None
    duration_seconds: Seconds | None = None
    result: Result = None


class Fail(CommandData, frozen=True, kw_only=True):
    """It failed for good: nobody is to try again."""

    agent_id: AgentId
    run_id: RunId | None = None
    skill: Skill | None = None
    error: str
    duration_seconds: Seconds | None = None


class TimeOut(CommandData, frozen=True, kw_only=True):
    """Its time is up: its attempt's, where one is named, or else that of the whole assignment.

    One attempt's time being up says nothing of the next: then nothing happens.
    """

    agent_id: AgentId | None = None
    run_id: RunId | None = None
    attempt: int | None = None
    skill: Skill | None = None
    duration_seconds: Seconds | None = None


class Release(CommandData, frozen=True, kw_only=True):
    """Take it out of an agent's hands: it is dead, or gives it back. If it isn't in them, nothing happens."""

    agent_id: AgentId
    run_id: RunId | None = None
    reason: str | None = None


class Cancel(CommandData, frozen=True):
    """Call the work off: nobody is to begin it, and who has begun it is to stop."""

    reason: str | None = None


class GiveUp(CommandData, frozen=True, kw_only=True):
    """Nobody is to try any more, says whoever was handed it: its attempts are used up, all without a word."""

    agent_id: AgentId
    skill: Skill | None = None
    error: str


class Assignment(NamedTuple):
    """How an assignment stands. `agent_id` has it, or is the one it is given to; `attempts` counts those begun.

    `run_id` is the latest attempt's run, and `tried_by` who made it, also when it was released since.
    `bound_to` is the agent that it was given to by name, and is for no other; `is_chosen`: that one was chosen for it,
    and it is for others, too, once it was released.
    """

    status: Status = "unknown"
    agent_id: str | None = None
    run_id: str | None = None
    attempts: int = 0
    tried_by: str | None = None
    bound_to: str | None = None
    is_chosen: bool = False
    created: AssignmentCreated | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        return self.status not in ("unknown", *OPEN)

    @property
    def holder(self) -> str | None:
        """Who has it in hand."""
        return self.agent_id if self.status == "running" else None

    def is_held_by(self, agent_id: str, run_id: str | None = None) -> bool:
        """Whether the agent has it in hand; in this very run, where one is named."""
        return self.status == "running" and self.agent_id == agent_id and run_id in (None, self.run_id)


def decide(command: Command, assignment: Assignment) -> Sequence[EventData]:
    """Raises `UnknownAssignment`, `AssignmentOver` or `NotTheHolder`; what is so already is left as it is."""
    asked = command.data
    if assignment.status == "unknown":
        raise UnknownAssignment(command.subject)
    if isinstance(asked, Release):
        return _released(asked, assignment)
    if isinstance(asked, Cancel) and assignment.status == "cancelled":
        return []
    if assignment.is_over:
        raise AssignmentOver(command.subject, assignment.status, assignment.agent_id)
    match asked:
        case Start():
            return _started(command.subject, asked, assignment)
        case Complete() | Fail():
            return [_ended(command.subject, asked, assignment)]
        case TimeOut():
            return _timed_out(asked, assignment)
        case GiveUp():
            by = assignment.tried_by or asked.agent_id
            return [AssignmentFailed(agent_id=by, skill=asked.skill, error=asked.error)]
        case _:
            return [AssignmentCancelled(reason=asked.reason, agent_id=assignment.holder)]


def _started(assignment_id: str, asked: Start, assignment: Assignment) -> Sequence[EventData]:
    if assignment.bound_to not in (None, asked.agent_id):
        raise NotTheHolder(assignment_id, asked.agent_id, assignment.bound_to)
    if asked.run_id is not None and assignment.is_held_by(asked.agent_id, asked.run_id):
        return []
    return [AssignmentStarted(agent_id=asked.agent_id, run_id=asked.run_id, attempt=assignment.attempts + 1)]


def _ended(assignment_id: str, asked: Complete | Fail, assignment: Assignment) -> EventData:
    if not assignment.is_held_by(asked.agent_id, asked.run_id):
        raise NotTheHolder(assignment_id, asked.agent_id, assignment.holder)
    told: dict[str, Any] = {
        "agent_id": asked.agent_id,
        "skill": asked.skill or (assignment.created.skill if assignment.created else None),
        "duration_seconds": asked.duration_seconds,
    }
    if isinstance(asked, Fail):
        return AssignmentFailed(error=asked.error, **told)
    return AssignmentCompleted(score=asked.score, result=asked.result, **told)


def _timed_out(asked: TimeOut, assignment: Assignment) -> Sequence[EventData]:
    is_anothers = asked.agent_id is not None and not assignment.is_held_by(asked.agent_id, asked.run_id)
    is_past = asked.attempt is not None and (assignment.status != "running" or asked.attempt != assignment.attempts)
    if is_anothers or is_past:
        return []
    skill = asked.skill or (assignment.created.skill if assignment.created else None)
    return [AssignmentTimedOut(agent_id=assignment.holder, skill=skill, duration_seconds=asked.duration_seconds)]


def _released(asked: Release, assignment: Assignment) -> Sequence[EventData]:
    is_held = assignment.is_held_by(asked.agent_id, asked.run_id)
    waits_for_it = assignment.status == "pending" and assignment.is_chosen and assignment.bound_to == asked.agent_id
    if not (is_held or waits_for_it):
        return []
    attempt = assignment.attempts if is_held else None
    return [AssignmentReleased(agent_id=asked.agent_id, attempt=attempt, reason=asked.reason)]


def evolve(assignment: Assignment, fact: Happened) -> Assignment:
    """The first end counts, and so does the first creation."""
    if assignment.is_over:
        return assignment
    match data := fact.data:
        case AssignmentCreated():
            return _created(assignment, data, fact.time)
        case AssignmentStarted():
            return assignment._replace(
                status="running",
                agent_id=data.agent_id,
                run_id=data.run_id,
                tried_by=data.agent_id,
                attempts=max(assignment.attempts + 1, data.attempt or 0),
                started_at=fact.time,
            )
        case AssignmentReleased():
            return _given_back(assignment, data)
        case _ if status := _ENDS.get(type(data)):
            return assignment._replace(status=status, agent_id=getattr(data, "agent_id", None) or assignment.agent_id)
        case _:
            return assignment


def _created(assignment: Assignment, data: AssignmentCreated, time: datetime) -> Assignment:
    if assignment.created is not None:
        return assignment
    return assignment._replace(
        status="pending" if assignment.status == "unknown" else assignment.status,
        agent_id=assignment.agent_id or data.agent_id,
        bound_to=data.agent_id,
        is_chosen=data.agent_id is not None and data.chosen is not None,
        created=data,
        created_at=time,
    )


def _given_back(assignment: Assignment, data: AssignmentReleased) -> Assignment:
    """It waits again: for whom it was given to by name, or, where that one was chosen only, for anybody."""
    if assignment.agent_id != data.agent_id or assignment.status not in OPEN:
        return assignment
    bound_to = None if assignment.is_chosen else assignment.bound_to
    return assignment._replace(status="pending", agent_id=bound_to, bound_to=bound_to, is_chosen=False)


ASSIGNMENTS = Context(
    "assignments",
    "assignment",
    {
        "start": Start,
        "complete": Complete,
        "fail": Fail,
        "time_out": TimeOut,
        "release": Release,
        "cancel": Cancel,
        "give_up": GiveUp,
    },
    Assignment,
    decide,
    evolve,
)
