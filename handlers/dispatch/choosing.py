"""Choosing: who of all that could do a task is to have it, and what spoke for that one.

    score = (rating + EXPLORATION x uncertainty) - LOAD_WEIGHT x load - COST_WEIGHT x cost

The rating is the agent's at the skill, from 0 to 1. Its uncertainty, half of the interval in which the rating is held
to lie, is added in part: of two that are rated alike, the one of whom less is known is tried, and so becomes known.
The load is the share of its places that are taken. The cost is what a run of the agent's cost so far, bent to between
0 and 1, where COST_HALF_USD is a half; it is a half as well where nobody knows it, since unknown is not free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

EXPLORATION = 0.25
LOAD_WEIGHT = 0.5
COST_WEIGHT = 0.25
COST_HALF_USD = 0.10

ASSIGNMENTS_MAX = 5


class Skilled(NamedTuple):
    """How good somebody is held to be at a skill, and how far that may be from the truth. At first, nobody knows."""

    rating: float = 0.5
    uncertainty: float = 0.5


class Candidate(NamedTuple):
    """An agent as one task sees it. `assignments` are those that it has in hand, or that wait for it by name."""

    agent_id: str
    is_alive: bool
    is_able: bool
    assignments: int
    assignments_max: int = ASSIGNMENTS_MAX
    skilled: Skilled = Skilled()
    cost_usd: float | None = None

    @property
    def is_eligible(self) -> bool:
        """Whether it may be given the task at all."""
        return self.is_alive and self.is_able and self.assignments < self.assignments_max


class Score(NamedTuple):
    """What somebody's score is, and what it was made of: `quality - load - cost`, each weighed already."""

    total: float
    quality: float
    load: float
    cost: float


class Choice(NamedTuple):
    """Who was chosen, for what reasons, and among how many that were eligible."""

    candidate: Candidate
    score: Score
    eligible: int

    def told(self) -> dict[str, Any]:
        """The choice as `assignment.created` carries it."""
        one = self.candidate
        return {
            "agent_id": one.agent_id,
            "score": round(self.score.total, 6),
            "quality": round(self.score.quality, 6),
            "load": round(self.score.load, 6),
            "cost": round(self.score.cost, 6),
            "rating": round(one.skilled.rating, 6),
            "uncertainty": round(one.skilled.uncertainty, 6),
            "assignments": one.assignments,
            "assignments_max": one.assignments_max,
            "cost_usd": one.cost_usd,
            "eligible": self.eligible,
        }


def score_of(candidate: Candidate) -> Score:
    """How much speaks for a candidate; whether it is eligible is another question."""
    skilled, cost_usd = candidate.skilled, candidate.cost_usd
    quality = skilled.rating + EXPLORATION * skilled.uncertainty
    load = LOAD_WEIGHT * candidate.assignments / candidate.assignments_max if candidate.assignments_max else LOAD_WEIGHT
    cost = COST_WEIGHT * (0.5 if cost_usd is None else cost_usd / (cost_usd + COST_HALF_USD))
    return Score(quality - load - cost, quality, load, cost)


def rank(candidate: Candidate) -> tuple[float, int, str]:
    """What candidates are sorted by, the best first. Of equals, the one with less to do; then in the order of ids.

    Ratings age by the second, which is no difference that should decide.
    """
    return -round(score_of(candidate).total, 3), candidate.assignments, candidate.agent_id


def best(candidates: Iterable[Candidate], *, excluded: Collection[str] = ()) -> Choice | None:
    """The best of those that are eligible, if there is any."""
    eligible = [one for one in candidates if one.is_eligible and one.agent_id not in excluded]
    if not eligible:
        return None
    chosen = min(eligible, key=rank)
    return Choice(chosen, score_of(chosen), len(eligible))
