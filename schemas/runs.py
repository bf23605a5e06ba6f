"""Runs: one agent, or a crew of them, at work on one task from start to end, and the messages on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import AgentId, AssignmentId, Count, Labels, Name, Reward, RunId, Score, Seconds, Skill

MessageRole = Annotated[
    Literal["system", "user", "assistant", "tool"], Meta(description="Whose turn it was, as in chat APIs.")
]


Clock = Annotated[
    Literal["wall", "none"],
    Meta(description="`none`: the run's times only put its events in order, as in records that kept no times."),
]


@event_type("run.started")
class RunStarted(EventData, frozen=True, kw_only=True):
    """Work on a task began."""

    agent_id: AgentId | None = None
    task_id: Name | None = None
    task: str | None = None
    skill: Skill | None = None
    parent_run_id: RunId | None = None
    assignment_id: AssignmentId | None = None
    clock: Clock = "wall"
    metadata: Labels | None = None


@event_type("run.progressed")
class RunProgressed(EventData, frozen=True, kw_only=True):
    """Where the work stands. `progress` goes from 0 to 1, where that can be told."""

    text: str
    progress: Score | None = None
    agent_id: AgentId | None = None


@event_type("run.completed")
class RunCompleted(EventData, frozen=True, kw_only=True):
    """Work on the task ended by itself. `success` and `reward` say what it was worth, where that is known."""

    agent_id: AgentId | None = None
    skill: Skill | None = None
    success: bool | None = None
    reward: Reward | None = None
    duration_seconds: Seconds | None = None
    output: str | None = None


@event_type("run.failed")
class RunFailed(EventData, frozen=True, kw_only=True):
    """Work on the task broke off, or its result is known to be wrong."""

    agent_id: AgentId | None = None
    skill: Skill | None = None
    error: str
    reward: Reward | None = None
    duration_seconds: Seconds | None = None


@event_type("run.cancelled")
class RunCancelled(EventData, frozen=True, kw_only=True):
    """Somebody called the run off."""

    reason: str | None = None


@event_type("run.failure_attributed")
class RunFailureAttributed(EventData, frozen=True, kw_only=True):
    """Somebody found the decisive mistake of a failed run: whose it was, at which step, and why."""

    agent_id: AgentId
    step: Count
    reason: str
    attributed_by: str | None = None


@event_type("message.recorded")
class MessageRecorded(EventData, frozen=True, kw_only=True):
    """One turn of a run's conversation. `step` counts them from 0."""

    run_id: RunId
    step: Count
    role: MessageRole
    agent_id: AgentId | None = None
    content: str | None = None
    tool_call_id: str | None = None
