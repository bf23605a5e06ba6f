"""Assignments: a task of a kind, given to an agent, and how it ended."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import INT64_MAX, PERSONAL, AgentId, Error, Labels, Name, Reason, RunId, Score, Seconds, Skill

Kind = Annotated[Name, Meta(description="What is to be done: the capability that it takes, as in `code.review`.")]
Input = Annotated[Any, Meta(description="What to work on."), PERSONAL]
Result = Annotated[Any, Meta(description="What came of it."), PERSONAL]
Attempt = Annotated[int, Meta(ge=1, le=INT64_MAX, description="Which attempt at it, counted from 1.")]
AttemptsMax = Annotated[int, Meta(ge=1, le=20, description="How often it is tried at most, where the task says so.")]
Deadline = Annotated[
    Seconds, Meta(description="How long after it was given it times out, whoever has it, in seconds; waiting counts.")
]
Chosen = Annotated[
    dict[str, Any],
    Meta(description="Where an agent was chosen for it: which one, its score, and what that was made of."),
]


@event_type("assignment.created")
class AssignmentCreated(EventData, frozen=True, kw_only=True):
    """A task was given to an agent, or to whoever is best at it where no agent is named."""

    kind: Kind
    agent_id: AgentId | None = None
    skill: Skill | None = None
    timeout_seconds: Seconds | None = None
    input: Input = None
    metadata: Labels | None = None
    deadline_seconds: Deadline | None = None
    attempts_max: AttemptsMax | None = None
    chosen: Chosen | None = None


@event_type("assignment.started")
class AssignmentStarted(EventData, frozen=True, kw_only=True):
    """An agent took the task up."""

    agent_id: AgentId
    run_id: RunId | None = None
    attempt: Attempt | None = None


@event_type("assignment.released")
class AssignmentReleased(EventData, frozen=True, kw_only=True):
    """The agent no longer has the task, and nothing has come of it: it waits for whoever takes it up next."""

    agent_id: AgentId
    attempt: Attempt | None = None
    reason: Reason | None = None


@event_type("assignment.completed")
class AssignmentCompleted(EventData, frozen=True, kw_only=True):
    """The task is done. `score` says how well, where somebody judged it."""

    agent_id: AgentId
    skill: Skill | None = None
    score: Score | None = None
    duration_seconds: Seconds | None = None
    result: Result = None


@event_type("assignment.failed")
class AssignmentFailed(EventData, frozen=True, kw_only=True):
    """The agent gave the task up."""

    agent_id: AgentId
    skill: Skill | None = None
    error: Error
    duration_seconds: Seconds | None = None


@event_type("assignment.timed_out")
class AssignmentTimedOut(EventData, frozen=True, kw_only=True):
    """The task was not done in its time."""

    agent_id: AgentId | None = None
    skill: Skill | None = None
    duration_seconds: Seconds | None = None


@event_type("assignment.cancelled")
class AssignmentCancelled(EventData, frozen=True, kw_only=True):
    """Somebody called the task off; `agent_id` is who had begun it, where somebody had."""

    reason: Reason | None = None
    agent_id: AgentId | None = None
