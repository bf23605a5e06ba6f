"""Tool calls: what an agent did to the world outside its model."""

from __future__ import annotations

from typing import Any

from .registry import EventData, event_type
from .vocabulary import AgentId, Count, Name, Outcome, RunId, Seconds


@event_type("tool_call.completed")
class ToolCallCompleted(EventData, frozen=True, kw_only=True):
    """A tool was called and answered. `outcome` is absent where nobody recorded it."""

    tool: Name
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    step: Count | None = None
    outcome: Outcome | None = None
    duration_seconds: Seconds | None = None
    arguments: Any = None
    output: str | None = None
    error: str | None = None
