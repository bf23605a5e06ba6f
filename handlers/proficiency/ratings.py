"""Ratings of agents at skills, told from the outcomes of their work in the order of time.

The logit of success is a sum: the colony's level, the skill's, the agent's, the agent's at this skill, less the task's
difficulty. Each part is known as a normal distribution. An outcome moves every part towards what it says, those that
are known least most, and makes each surer. An agent of whom nothing is known at a skill thus begins where it is
elsewhere, and where others are at that skill; idle time makes what is known of an agent less sure again.

That is a Rasch model (G. Rasch, 1960) whose parts are filtered with an assumed density, or Elo's rule (R. Pelánek,
"Applications of the Elo rating system in adaptive educational systems", Computers & Education 98, 2016) with the step
that the uncertainty asks for in the place of a constant.
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
    agent: float = 0.6
    agent_per_day: float = 0.01
    agent_skill: float = 0.4
    agent_skill_per_day: float = 0.01
    task: float = 0.8


Part = tuple[float, float]
"""The mean and the variance of one part of the logit."""


class Ratings:
    """What is known after some outcomes. The same outcomes in the same order give the same ratings, however batched."""

    def __init__(self, prior: Prior | None = None) -> None:
        self.prior = prior or Prior()
        self.day = -math.inf  # of the last outcome
        self._colony: Part = (0.0, self.prior.colony)
        self._skills: dict[str, Part] = {}
        self._tasks: dict[tuple[str, str], Part] = {}
        self._agents: dict[str, Part] = {}
        self._agent_skills: dict[tuple[str, str], Part] = {}
        self._agent_days: dict[str, float] = {}  # of each one's last outcome
        self._agent_skill_days: dict[tuple[str, str], float] = {}
        self._outcomes: dict[tuple[str, str], int] = {}

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
        colony, level, ability, knack = self._parts(agent_id, skill, day)
        logit = colony[0] + level[0] + ability[0] + knack[0]
        variance = colony[1] + level[1] + ability[1] + knack[1]
        if task is not None:
            ease = self._tasks.get((skill, task), (0.0, self.prior.task))
            logit += ease[0]
            variance += ease[1]
        shrink = 1 / math.sqrt(1 + MODERATION * variance)
        expected = logistic(logit * shrink)
        step, told = shrink * (score - expected), shrink * shrink * expected * (1 - expected)
        if task is not None:
            self._tasks[skill, task] = _moved(ease, step, told)
        self._colony = _moved(colony, step, told, self.prior.colony_floor)
        self._skills[skill] = _moved(level, step, told, self.prior.skill_floor)
        self._agents[agent_id] = _moved(ability, step, told)
        self._agent_skills[agent_id, skill] = _moved(knack, step, told)
        self._agent_days[agent_id] = self._agent_skill_days[agent_id, skill] = self.day = day
        self._outcomes[agent_id, skill] = self._outcomes.get((agent_id, skill), 0) + 1
        return expected

    def lookup(self, agent_id: str, skill: str, day: float | None = None) -> Rating:
        """The agent's rating at the skill, on that day or that of the last outcome: anybody's, at anything."""
        parts = self._parts(agent_id, skill, self.day if day is None else day)
        logit, variance = (sum(values) for values in zip(*parts, strict=True))
        return Rating.of(logit, variance, self._outcomes.get((agent_id, skill), 0))

    def _parts(self, agent_id: str, skill: str, day: float) -> tuple[Part, Part, Part, Part]:
        """What is known on that day of the colony, the skill, the agent, and the agent at this skill."""
        prior, pair = self.prior, (agent_id, skill)
        ability = self._agents.get(agent_id, (0.0, prior.agent))
        knack = self._agent_skills.get(pair, (0.0, prior.agent_skill))
        idle_days = day - self._agent_days.get(agent_id, day)
        if idle_days > 0:
            ability = ability[0], min(ability[1] + prior.agent_per_day * idle_days, prior.agent)
        idle_days = day - self._agent_skill_days.get(pair, day)
        if idle_days > 0:
            knack = knack[0], min(knack[1] + prior.agent_skill_per_day * idle_days, prior.agent_skill)
        return self._colony, self._skills.get(skill, (0.0, prior.skill)), ability, knack


def _moved(part: Part, step: float, told: float, floor: float = 0.0) -> Part:
    """The part after an outcome: further by the step the less sure it was, and surer by what it told."""
    mean, variance = part
    return mean + variance * step, max(variance - variance * variance * told, floor)
