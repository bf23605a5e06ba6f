"""A rating: the chance that an agent succeeds at a task of a skill, and how far off that may be."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

# How much less than its logit says a chance is whose logit has the variance V: 1 / sqrt(1 + pi/8 V) (D. MacKay, "The
# evidence framework applied to classification networks", Neural Computation 4, 1992, equation 10).
MODERATION = math.pi / 8
WITHIN_95_PERCENT = 1.959964


class Rating(msgspec.Struct, frozen=True):
    """How good an agent is at a skill.

    `rating` is the chance that it succeeds at a task of average difficulty, from 0 to 1, and is between `low` and
    `high` with 95 % probability. `uncertainty` is the standard deviation behind both, in logits. `outcomes` are those
    of this agent at this skill: with 0, all comes from what it does elsewhere, and from what others do at the skill.
    """

    rating: float
    low: float
    high: float
    uncertainty: float
    outcomes: int

    @classmethod
    def of(cls, logit: float, variance: float, outcomes: int) -> Rating:
        """The rating of an ability that is known as a normal distribution of logits."""
        deviation = math.sqrt(variance)
        reach = WITHIN_95_PERCENT * deviation
        chance = chance_of(logit, variance)
        low, high = logistic(logit - reach), logistic(logit + reach)
        return cls(chance, min(low, chance), max(high, chance), deviation, outcomes)


Lookup = Callable[[str, str], Rating]
"""Gives the rating of an agent (the first) at a skill (the second), also where nothing is known of either."""


def chance_of(logit: float, variance: float) -> float:
    """The mean chance, where the logit is normally distributed."""
    return logistic(logit / math.sqrt(1 + MODERATION * variance))


def logistic(logit: float) -> float:
    """Between 0 and 1, and never overflows."""
    return (1 + math.tanh(logit / 2)) / 2
