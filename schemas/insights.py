"""Insights: what an agent, or somebody looking on, learnt from the work."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import PERSONAL, AgentId, Name, RunId, Score, Skill, Tags

InsightKind = Annotated[Name, Meta(description="What kind of insight it is, as in `lesson`.")]
Insight = Annotated[str, Meta(description="What was learnt."), PERSONAL]


@event_type("insight.recorded")
class InsightRecorded(EventData, frozen=True, kw_only=True):
    """Something worth knowing, in words. `confidence` is the teller's own, from 0 to 1."""

    kind: InsightKind
    text: Insight
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    skill: Skill | None = None
    confidence: Score | None = None
    tags: Tags = []
