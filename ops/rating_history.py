"""How a rating came about: what it was at the end of each day, by the outcomes up to then."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec

from ..handlers.proficiency import Rating, Ratings
from ..projections import Leash, ReadModels
from .proficiency import US_PER_DAY, day_of, outcomes_of, take

DAYS_MAX = 366
EPOCH = date(1970, 1, 1)


class RatingOfDay(Rating, frozen=True, kw_only=True):
    """The rating at the end of a day in UTC; on the last, at that moment."""

    day: date


class RatingHistory(msgspec.Struct, frozen=True):
    """An agent's ratings at a skill as of `now`, day by day from its first outcome on, the oldest first."""

    now: datetime
    agent_id: str
    skill: str
    days: list[RatingOfDay]


def rating_history(
    models: ReadModels, agent_id: str, skill: str, *, now: datetime, days: int = 30, leash: Leash | None = None
) -> RatingHistory:
    """The ratings at the end of the last days, and right now. Goes through all outcomes. Blocks.

    Raises as `ReadModels.sql` does.
    """
    ratings, found = Ratings(), list[RatingOfDay]()

    def tell(day: date, end: float) -> None:
        rating = ratings.lookup(agent_id, skill, end)
        if rating.outcomes:
            found.append(RatingOfDay(day=day, **msgspec.structs.asdict(rating)))

    ends = deque(_ends(now, days))
    for row in outcomes_of(models, leash):
        while ends and row["moment"] / US_PER_DAY >= ends[0][1]:
            tell(*ends.popleft())
        take(ratings, row)
    for day, end in ends:
        tell(day, end)
    return RatingHistory(now, agent_id, skill, found)


def _ends(now: datetime, days: int) -> Iterator[tuple[date, float]]:
    """Each of the last days with its end, as days since 1970. What comes with `now` belongs to the last."""
    for back in range(days - 1, 0, -1):
        day = now.astimezone(UTC).date() - timedelta(days=back)
        yield day, float((day - EPOCH).days + 1)
    yield now.astimezone(UTC).date(), math.nextafter(day_of(now), math.inf)
