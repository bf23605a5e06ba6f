"""Runs: one agent, or a crew of them, at work on one task from start to end, and the messages on the way."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import (
    PERSONAL,
    AgentId,
    AssignmentId,
    Error,
    Labels,
    Name,
    Reason,
    Reward,
    RunId,
    Score,
    Seconds,
    Skill,
    Step,
)

MessageRole = Annotated[
    Literal["system", "user", "assistant", "tool"], Meta(description="Whose turn it was, as in chat APIs.")
]
Clock = Annotated[
    Literal["wall", "none"],
    Meta(description="`none`: the run's times only put its events in order, as in records that kept no times."),
]
TaskId = Annotated[Name, Meta(description="The task's id, as in a benchmark.")]
Task = Annotated[str, Meta(description="The task, in words."), PERSONAL]
Progress = Annotated[str, Meta(description="Where the work stands, in words."), PERSONAL]
Fraction = Annotated[Score, Meta(description="How much of it is done, from 0 to 1.")]
Success = Annotated[bool, Meta(description="Whether the task was achieved.")]
Output = Annotated[str, Meta(description="What came of it."), PERSONAL]
Judge = Annotated[str, Meta(description="Who found it."), PERSONAL]
Content = Annotated[str, Meta(description="What was said."), PERSONAL]
ToolCallId = Annotated[str, Meta(description="The tool call that this answers.")]


@event_type("run.started")
class RunStarted(EventData, frozen=True, kw_only=True):
    """Work on a task began."""

    agent_id: AgentId | None = None
    task_id: TaskId | None = None
    task: Task | None = None
    skill: Skill | None = None
    parent_run_id: RunId | None = None
    assignment_id: AssignmentId | None = None
    clock: Clock = "wall"
    metadata: Labels | None = None


@event_type("run.progressed")
class RunProgressed(EventData, frozen=True, kw_only=True):
    """Where the work stands. `progress` goes from 0 to 1, where that can be told."""

    text: Progress
    progress: Fraction | None = None
    agent_id: AgentId | None = None


@event_type("run.completed")
class RunCompleted(EventData, frozen=True, kw_only=True):
    """Work on the task ended by itself. `success` and `reward` say what it was worth, where that is known."""

    agent_id: AgentId | None = None
    skill: Skill | None = None
    success: Success | None = None
    reward: Reward | None = None
    duration_seconds: Seconds | None = None
    output: Output | None = None
    assignment_id: AssignmentId | None = None
    task_id: TaskId | None = None


@event_type("run.failed")
class RunFailed(EventData, frozen=True, kw_only=True):
    """Work on the task broke off, or its result is known to be wrong."""

    agent_id: AgentId | None = None
    skill: Skill | None = None
    error: Error
    reward: Reward | None = None
    duration_seconds: Seconds | None = None
    assignment_id: AssignmentId | None = None
    task_id: TaskId | None = None


@event_type("run.cancelled")
class RunCancelled(EventData, frozen=True, kw_only=True):
    """Somebody called the run off."""

    reason: Reason | None = None


@event_type("run.failure_attributed")
class RunFailureAttributed(EventData, frozen=True, kw_only=True):
    """Somebody found the decisive mistake of a failed run: whose it was, at which step, and why."""

    agent_id: AgentId
    step: Step
    reason: Reason
    attributed_by: Judge | None = None


@event_type("message.recorded")
class MessageRecorded(EventData, frozen=True, kw_only=True):
    """One turn of a run's conversation. `step` counts them from 0."""

    run_id: RunId
    step: Step
    role: MessageRole
    agent_id: AgentId | None = None
    content: Content | None = None
    tool_call_id: ToolCallId | None = None
