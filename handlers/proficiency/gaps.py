"""Gaps: at which skills an agent, or the colony as a whole, is weak or unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from .rating import Lookup, Rating

# Below this chance of success, an agent is weak at a skill.
WEAK = 0.5
# Where the chance may be anywhere in an interval as wide as this, it is unknown; so is what was never done.
UNKNOWN = 0.5

GapKind = Literal["unknown", "weak"]


class Gap(msgspec.Struct, frozen=True):
    """A skill that an agent, or without `agent_id` the colony, has no good hold of.

    `need` says how much practice would tell or change: it is 1 less the rating's lower bound, so that what is known to
    be bad and what may be bad both come before what is known to be good. `rating` is the agent's; of the colony, its
    best agent's.
    """

    agent_id: str | None
    skill: str
    kind: GapKind
    need: float
    rating: Rating


def gaps_of_agents(skills: Mapping[str, Iterable[str]], lookup: Lookup) -> list[Gap]:
    """The gaps of each agent, among the skills that it is meant to have; the greatest need first."""
    found = [
        gap
        for agent_id, names in skills.items()
        for name in names
        if (gap := _gap(agent_id, name, lookup(agent_id, name)))
    ]
    return sorted(found, key=_by_need)


def gaps_of_colony(skills: Mapping[str, Iterable[str]], lookup: Lookup) -> list[Gap]:
    """The skills that every agent which is meant to have them has a gap at; the greatest need first."""
    gaps: dict[str, list[Gap | None]] = {}
    for agent_id, names in skills.items():
        for name in names:
            gaps.setdefault(name, []).append(_gap(None, name, lookup(agent_id, name)))
    found = [min(filter(None, of), key=_by_merit) for of in gaps.values() if None not in of]
    return sorted(found, key=_by_need)


def _gap(agent_id: str | None, skill: str, rating: Rating) -> Gap | None:
    kind: GapKind
    if rating.outcomes == 0 or rating.high - rating.low > UNKNOWN:
        kind = "unknown"
    elif rating.rating < WEAK:
        kind = "weak"
    else:
        return None
    return Gap(agent_id, skill, kind, 1 - rating.low, rating)


def _by_merit(gap: Gap) -> tuple[float, float]:
    return -gap.rating.low, -gap.rating.rating


def _by_need(gap: Gap) -> tuple[float, str, str]:
    return -gap.need, gap.skill, gap.agent_id or ""
