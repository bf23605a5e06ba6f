"""Feedback: what people, and judges in their stead, thought of the work."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .registry import EventData, event_type, upcaster
from .vocabulary import PERSONAL, AgentId, AssignmentId, PersonalName, RunId, Score, Skill

FeedbackKind = Annotated[
    Literal["thumb", "score", "pairwise", "edit", "comment"], Meta(description="How it was given.")
]
Stars = Annotated[int, Meta(ge=1, le=5, description="From 1, worst, to 5, best.")]
Comment = Annotated[str, Meta(description="What they said."), PERSONAL]
Giver = Annotated[PersonalName, Meta(description="Who gave it.")]


@event_type("feedback.given")
class FeedbackGivenV1(EventData, frozen=True, kw_only=True):
    """Feedback in stars, as the first version had it."""

    run_id: RunId
    stars: Stars
    comment: Comment | None = None


@event_type("feedback.given.v2")
class FeedbackGiven(EventData, frozen=True, kw_only=True):
    """Somebody judged a run, an answer or an agent. `score` is their judgement on one scale for every kind."""

    kind: FeedbackKind
    run_id: RunId | None = None
    agent_id: AgentId | None = None
    skill: Skill | None = None
    score: Score | None = None
    comment: Comment | None = None
    given_by: Giver | None = None
    assignment_id: AssignmentId | None = None


@upcaster(FeedbackGivenV1)
def stars_become_a_score(old: FeedbackGivenV1) -> FeedbackGiven:
    """One star is 0, five are 1."""
    return FeedbackGiven(kind="score", run_id=old.run_id, score=(old.stars - 1) / 4, comment=old.comment)
