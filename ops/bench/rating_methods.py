"""Ways to rate agents by outcomes, which proficiency is compared with: each tells what it expects, then learns.

Glicko-2 and TrueSkill are others' programs: an outcome is a game that the agent at this skill wins or loses against the
task, and in TrueSkill the agent and its skill are a team.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol

import glicko2
import trueskill

from ...handlers.proficiency import Ratings

ELO_STEP = 0.4
FORGETTING = 0.95


class Method(Protocol):
    """Takes an outcome in, and tells what score it expected. Without a task, the skill stands for it."""

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float: ...  # noqa: D102


class Elo:
    """Elo's rule with one rating for each agent and each task (A. Elo, 1978), in logits."""

    def __init__(self) -> None:
        self._agents: defaultdict[str, float] = defaultdict(float)
        self._tasks: defaultdict[str, float] = defaultdict(float)

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        against = task or skill
        expected = _logistic(self._agents[agent_id] - self._tasks[against])
        step = ELO_STEP * (score - expected)
        self._agents[agent_id] += step
        self._tasks[against] -= step
        return expected


class MultilevelElo:
    """Elo's rule for agent, agent at skill, skill and task at once (R. Pelánek, 2016); a task's step shrinks."""

    def __init__(self) -> None:
        self._means: defaultdict[Any, float] = defaultdict(float)
        self._times: defaultdict[str, int] = defaultdict(int)

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        against = task or skill
        of_task = 0.3 / (1 + 0.05 * self._times[against])
        self._times[against] += 1
        parts = {("agent", agent_id): 0.1, (agent_id, skill): 0.3, ("skill", skill): 0.05, ("task", against): of_task}
        expected = _logistic(sum(self._means[part] for part in parts))
        for part, step in parts.items():
            self._means[part] += step * (score - expected)
        return expected


class Beta:
    """The mean of a Beta posterior per agent and skill, that forgets: the prior, worth 3 outcomes, is the skill's."""

    def __init__(self, kept: float = FORGETTING) -> None:
        self._kept = kept
        self._pairs: defaultdict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
        self._skills: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (1.0, 2.0))

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        successes, outcomes = self._pairs[agent_id, skill]
        of_skill, in_skill = self._skills[skill]
        expected = (successes + 3 * of_skill / in_skill) / (outcomes + 3)
        self._pairs[agent_id, skill] = self._kept * successes + score, self._kept * outcomes + 1
        self._skills[skill] = of_skill + score, in_skill + 1
        return expected


class Jeffreys:
    """The mean of a Beta posterior per agent and skill under Jeffreys' prior: what needs nothing but sums."""

    def __init__(self) -> None:
        self._pairs: defaultdict[tuple[str, str], tuple[float, int]] = defaultdict(lambda: (0.5, 1))

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        successes, outcomes = self._pairs[agent_id, skill]
        self._pairs[agent_id, skill] = successes + score, outcomes + 1
        return successes / outcomes


class Glicko2:
    """Glicko-2 by the package glicko2 (M. Glickman, 2012), every outcome a rating period of its own."""

    def __init__(self) -> None:
        self._players: defaultdict[Any, Any] = defaultdict(glicko2.Player)

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        agent, against = self._players[agent_id, skill], self._players["task", task or skill]
        of_agent, of_task = (agent.rating, agent.rd), (against.rating, against.rd)
        agent.update_player([of_task[0]], [of_task[1]], [score])
        against.update_player([of_agent[0]], [of_agent[1]], [1 - score])
        deviation = math.hypot(of_agent[1], of_task[1]) / 173.7178
        return _logistic((of_agent[0] - of_task[0]) / 173.7178 / math.sqrt(1 + 3 * (deviation / math.pi) ** 2))


class TrueSkill:
    """TrueSkill by the package trueskill (R. Herbrich and others, 2007). Half a score and more is a win."""

    def __init__(self) -> None:
        self._game = trueskill.TrueSkill(draw_probability=0.0)
        self._players: defaultdict[Any, Any] = defaultdict(self._game.create_rating)

    def take(self, agent_id: str, skill: str, score: float, day: float, task: str | None = None) -> float:
        """See `Method`."""
        team, against = [("agent", agent_id), (agent_id, skill)], [("task", task or skill), ("skill", skill)]
        ours, theirs = ([self._players[name] for name in names] for names in (team, against))
        lead = sum(player.mu for player in ours) - sum(player.mu for player in theirs)
        spread = sum(player.sigma**2 + self._game.beta**2 for player in (*ours, *theirs))
        ranks = [0, 1] if score >= 0.5 else [1, 0]
        for names, players in zip((team, against), self._game.rate([ours, theirs], ranks=ranks), strict=True):
            self._players.update(zip(names, players, strict=True))
        return float(self._game.cdf(lead / math.sqrt(spread)))


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# In the order in which they are told of: the first is the rival of the last.
METHODS: dict[str, Callable[[], Method]] = {
    "elo": Elo,
    "multilevel_elo": MultilevelElo,
    "glicko2": Glicko2,
    "trueskill": TrueSkill,
    "beta": Jeffreys,
    "beta_forgetting": Beta,
    "rookery": Ratings,
}
