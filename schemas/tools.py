"""Tool calls: what an agent did to the world outside its model."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import PERSONAL, AgentId, Error, Name, Outcome, RunId, Seconds, Step

Tool = Annotated[Name, Meta(description="The tool's name.")]
Arguments = Annotated[Any, Meta(description="What it was called with."), PERSONAL]
Output = Annotated[str, Meta(description="What it answered."), PERSONAL]


@event_type("tool_call.completed")
class ToolCallCompleted(EventData, frozen=True, kw_only=True):
    """A tool was called and answered. `outcome` is absent where nobody recorded it."""

    tool: Tool
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    step: Step | None = None
    outcome: Outcome | None = None
    duration_seconds: Seconds | None = None
    arguments: Arguments = None
    output: Output | None = None
    error: Error | None = None
