"""Ratings of agents at skills, told from the outcomes of their work in the order of time.

The logit of success is a sum: the colony's level, the skill's, the agent's, the agent's at this skill, less the task's
difficulty. Each part is known as a normal distribution. An outcome moves every part towards what it says, those that
are known least most, and makes each surer. An agent of whom nothing is known at a skill thus begins where it is
elsewhere, and where others are at that skill; idle time makes what is known of an agent less sure again.

That is a Rasch model (G. Rasch, 1960) whose parts are filtered with an assumed density, or Elo's rule (R. Pelánek,
"Applications of the Elo rating system in adaptive educational systems", Computers & Education 98, 2016) with the step
that the uncertainty asks for in the place of a constant. docs/adr/0035 has it beside others, measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from .rating import MODERATION, Rating, logistic


class Outcome(NamedTuple):
    """What came of one piece of work: `score` from 0, failed, to 1, done; `day` counts days since 1970, in parts."""

    agent_id: str
    skill: str
    score: float
    day: float
    task: str | None = None


class Prior(NamedTuple):
    """How far the parts of a logit are from 0 before anything is known of them: variances, in logits squared.

    What is known of an agent becomes less sure by so much `per_day` of idle time, up to the variance at first. Of the
    colony's level and a skill's, which change with who is there, nobody gets surer than `floor`.
    """

    colony: float = 1.0
    colony_floor: float = 0.001
    skill: float = 0.5
    skill_floor: float = 0.003
    agent: float = 0.8
    agent_per_day: float = 0.01
    agent_skill: float = 0.4
    agent_skill_per_day: float = 0.01
    task: float = 1.2


Part = tuple[float, float]
"""The mean and the variance of one part of the logit."""

Dated = tuple[float, float, float, int]
"""The same, with the day of the last outcome and how many there were."""


class Ratings:
    """What is known after some outcomes. The same outcomes in the same order give the same ratings, however batched."""

    def __init__(self, prior: Prior | None = None) -> None:
        self.prior = prior or Prior()
        self.day = -math.inf  # of the last outcome
        self._colony: Part = (0.0, self.prior.colony)
        self._skills: dict[str, Part] = {}
        self._tasks: dict[tuple[str, str], Part] = {}
        self._agents: dict[str, Dated] = {}
        self._agent_skills: dict[tuple[str, str], Dated] = {}

    def copy(self) -> Ratings:
        """The same, to go on from by itself."""
        twin = Ratings(self.prior)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, dict) else value)
        return twin

    def fold(self, outcomes: Iterable[Outcome]) -> None:
        """Take outcomes in, which are in the order of time, and behind those before."""
        for outcome in outcomes:
            self.take(*outcome)

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """Take one outcome in; what its score was expected to be, by all before it."""
        prior, pair = self.prior, (agent_id, skill)
        colony, colony_variance = self._colony
        level, level_variance = self._skills.get(skill) or (0.0, prior.skill)
        ability, ability_variance, of_agent = _aged(self._agents.get(agent_id), prior.agent, prior.agent_per_day, day)
        knack, knack_variance, of_pair = _aged(
            self._agent_skills.get(pair), prior.agent_skill, prior.agent_skill_per_day, day
        )
        ease, ease_variance = (0.0, 0.0) if task is None else self._tasks.get((skill, task)) or (0.0, prior.task)
        variance = colony_variance + level_variance + ability_variance + knack_variance + ease_variance
        shrink = 1 / math.sqrt(1 + MODERATION * variance)
        expected = logistic(shrink * (colony + level + ability + knack + ease))
        # Each part moves by the step the less sure it was, and gets surer by what the outcome told.
        step, told = shrink * (score - expected), shrink * shrink * expected * (1 - expected)
        self._colony = (
            colony + colony_variance * step,
            max(colony_variance * (1 - colony_variance * told), prior.colony_floor),
        )
        self._skills[skill] = (
            level + level_variance * step,
            max(level_variance * (1 - level_variance * told), prior.skill_floor),
        )
        self._agents[agent_id] = (
            ability + ability_variance * step,
            ability_variance * (1 - ability_variance * told),
            day,
            of_agent + 1,
        )
        self._agent_skills[pair] = (
            knack + knack_variance * step,
            knack_variance * (1 - knack_variance * told),
            day,
            of_pair + 1,
        )
        if task is not None:
            self._tasks[skill, task] = ease + ease_variance * step, ease_variance * (1 - ease_variance * told)
        self.day = day
        return expected

    def lookup(self, agent_id: str, skill: str, day: float | None = None) -> Rating:
        """The agent's rating at the skill, on that day or that of the last outcome: anybody's, at anything."""
        prior = self.prior
        day = self.day if day is None else day
        colony, colony_variance = self._colony
        level, level_variance = self._skills.get(skill) or (0.0, prior.skill)
        ability, ability_variance, _ = _aged(self._agents.get(agent_id), prior.agent, prior.agent_per_day, day)
        known = self._agent_skills.get((agent_id, skill))
        knack, knack_variance, outcomes = _aged(known, prior.agent_skill, prior.agent_skill_per_day, day)
        variance = colony_variance + level_variance + ability_variance + knack_variance
        return Rating.of(colony + level + ability + knack, variance, outcomes)


def _aged(known: Dated | None, variance_at_first: float, per_day: float, day: float) -> tuple[float, float, int]:
    """What is known of a part on a day: mean, variance and how many outcomes told it. Idle days make it less sure."""
    if known is None:
        return 0.0, variance_at_first, 0
    mean, variance, last_day, outcomes = known
    if day > last_day:
        variance = min(variance + per_day * (day - last_day), variance_at_first)
    return mean, variance, outcomes
