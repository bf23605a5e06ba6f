"""Memories: what an agent wants to have at hand again."""

from __future__ import annotations

from .registry import EventData, event_type
from .vocabulary import AgentId, Name, RunId


@event_type("memory.recorded")
class MemoryRecorded(EventData, frozen=True, kw_only=True):
    """An agent wants to know this later: in its own words, found again by `key` where it has one."""

    text: str
    key: Name | None = None
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    tags: list[str] = []
