"""Memories: what an agent wants to have at hand again."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import PERSONAL, AgentId, Name, RunId, Tags

Memory = Annotated[str, Meta(description="What to remember."), PERSONAL]
Key = Annotated[Name, Meta(description="The name that it is found by.")]


@event_type("memory.recorded")
class MemoryRecorded(EventData, frozen=True, kw_only=True):
    """An agent wants to know this later: in its own words, found again by `key` where it has one."""

    text: Memory
    key: Key | None = None
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    tags: Tags = []
