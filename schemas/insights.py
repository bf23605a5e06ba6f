"""Insights: what an agent, or somebody looking on, learnt from the work."""

from __future__ import annotations

from .registry import EventData, event_type
from .vocabulary import AgentId, Name, RunId, Score, Skill


@event_type("insight.recorded")
class InsightRecorded(EventData, frozen=True, kw_only=True):
    """Something worth knowing, in words. `confidence` is the teller's own, from 0 to 1."""

    kind: Name
    text: str
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    skill: Skill | None = None
    confidence: Score | None = None
    tags: list[str] = []
