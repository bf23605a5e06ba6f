"""Proficiency at a node: ratings that are kept level with the read models, and what is told of them.

The outcomes are taken in in the order of time, whatever order they came in, so that two nodes with the same events
have the same ratings. One that comes late, or that somebody judges later, changes what is to be told from there on: so
the latest outcomes are taken in anew each time, and all of them where one is later than that.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..handlers.proficiency import Gap, Rating, Ratings, gaps_of_agents, gaps_of_colony
from ..projections import Answer, Leash, ReadModels, TablesOutdated

OUTCOMES_AT_ONCE_MAX = 100_000
# How many outcomes may lie behind one that comes late, before all are taken in anew.
LATE_OUTCOMES_MAX = 2_000
# How often ratings are brought level at most, and which share of the time that may take.
REFRESH_SECONDS = 1.0
REFRESH_SHARE_MAX = 0.1
ROWS_MAX = 100_000
US_PER_DAY = 86_400e6

SQL = Path(__file__).parent / "sql"
OUTCOMES = (SQL / "proficiency_outcomes.sql").read_text("utf-8")
OBSERVED = (SQL / "proficiency.sql").read_text("utf-8")
SKILLS_OF_AGENTS = (SQL / "skills_of_agents.sql").read_text("utf-8")

logger = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where an outcome stands among all: when it was, in microseconds since 1970, and of which work of whose."""

    moment: int
    work: str = ""
    agent_id: str = ""
    skill: str = ""


BEGINNING = Place(-(2**63))


class Settled:
    """The ratings up to a place. `outcomes` and `mark` tell whether what is up to there has changed since."""

    def __init__(self) -> None:
        self.ratings = Ratings()
        self.place = BEGINNING
        self.outcomes = 0
        self.mark = 0

    def take(self, rows: list[dict[str, Any]]) -> None:
        """Take further outcomes in, for good."""
        for row in rows:
            take(self.ratings, row)
            self.outcomes += 1
            self.mark ^= row["mark"]
        if rows:
            self.place = _place_of(rows[-1])


class Proficiency:
    """The ratings that come of the outcomes in some read models. Methods may be called from any thread."""

    def __init__(self, models: ReadModels) -> None:
        self._models = models
        self._settled = Settled()
        self._ratings = Ratings()
        self._stamp: str | None = None
        self._levelling = threading.Lock()

    def lookup(self, agent_id: str, skill: str) -> Rating:
        """How good the agent is at the skill right now, by outcomes up to a moment ago. Asks nobody, and is quick."""
        return self._ratings.lookup(agent_id, skill, day_of(datetime.now(UTC)))

    def level(self, leash: Leash | None = None) -> Ratings:
        """The ratings that come of what the read models hold now; not to be changed. Blocks.

        Raises `QueryFailed` or `QueryNotAdmitted`.
        """
        with self._levelling:
            stamp = self._models.stamp()
            if stamp != self._stamp:
                self._ratings = self._anew(leash)
                self._stamp = stamp
            return self._ratings

    async def run(self) -> None:
        """Keep the ratings level with the read models until cancelled."""
        while True:
            began = time.monotonic()
            try:
                await asyncio.to_thread(self.level)
            except TablesOutdated:
                pass  # a rebuild is under way, and the ratings are as they were before
            except Exception as error:  # whatever it is: ratings that nobody brings level any more would tell nobody
                logger.warning("ratings are not brought level with the read models; trying again", exc_info=error)
            await asyncio.sleep(max(REFRESH_SECONDS, (time.monotonic() - began) / REFRESH_SHARE_MAX))

    def _anew(self, leash: Leash | None) -> Ratings:
        """Where what was taken in is judged again while the rest is read, that counts the next time: to begin over and
        over would never end while many are at work.
        """
        is_from_scratch = False
        while True:
            answer = self._models.sql(OUTCOMES, self._settled.place._asdict(), limit=OUTCOMES_AT_ONCE_MAX, leash=leash)
            settled, mark, *_ = answer.rows[0]
            if not is_from_scratch and (settled, mark) != (self._settled.outcomes, self._settled.mark):
                self._settled, is_from_scratch = Settled(), True
                continue
            latest = _behind(answer)
            if answer.truncated:
                self._settled.take(latest)
                continue
            if len(latest) > 2 * LATE_OUTCOMES_MAX:
                self._settled.take(latest[:-LATE_OUTCOMES_MAX])
                latest = latest[-LATE_OUTCOMES_MAX:]
            ratings = self._settled.ratings.copy()
            for row in latest:
                take(ratings, row)
            return ratings


class AgentSkill(msgspec.Struct, frozen=True, kw_only=True):
    """An agent at a skill: its rating, and what was observed of it. Nulls: there is nothing to tell that from."""

    agent_id: str
    skill: str
    rating: float
    low: float
    high: float
    uncertainty: float
    outcomes: int = 0
    attempts: int = 0
    successes: int = 0
    success_rate: float | None = None
    judgements: int = 0
    mean_score: float | None = None
    trend: float | None = None
    time_invested_seconds: float = 0.0
    last_at: datetime | None = None


class Listing(msgspec.Struct, frozen=True):
    """Agents and skills as of `now`. `truncated`: there are more than these."""

    now: datetime
    ratings: list[AgentSkill]
    truncated: bool = False


class Gaps(msgspec.Struct, frozen=True):
    """Gaps as of `now`, the greatest need first. `truncated`: there are more than these."""

    now: datetime
    gaps: list[Gap]
    truncated: bool = False


def listing(
    models: ReadModels,
    ratings: Ratings,
    *,
    now: datetime,
    agent_id: str | None = None,
    skill: str | None = None,
    limit: int = 1_000,
    leash: Leash | None = None,
) -> Listing:
    """All that is known, or what is of that agent and at that skill: of one skill, who is best comes first. Blocks.

    Where both are named there is a row, also if it never did that. Raises as `ReadModels.sql` does.
    """
    asked = {"agent_id": agent_id, "skill": skill}
    answer = models.sql(OBSERVED, asked, limit=limit if skill is None else ROWS_MAX, leash=leash)
    observed: list[dict[str, Any]] = answer.records()
    if not observed and agent_id is not None and skill is not None:
        observed = [asked]
    rows = [_rated(ratings, one, day_of(now)) for one in observed]
    if skill is not None:
        rows.sort(key=lambda row: (-row.rating, row.agent_id))
    return Listing(now, rows[:limit], answer.truncated or len(rows) > limit)


def gaps(
    models: ReadModels,
    ratings: Ratings,
    *,
    now: datetime,
    of_colony: bool = False,
    agent_id: str | None = None,
    skill: str | None = None,
    limit: int = 1_000,
    leash: Leash | None = None,
) -> Gaps:
    """The gaps of agents that may be there, or of the colony that they are. Blocks. Raises as `ReadModels.sql` does."""

    def lookup(agent_id: str, skill: str) -> Rating:
        return ratings.lookup(agent_id, skill, day_of(now))

    skills = skills_of_agents(models, agent_id=agent_id, skill=skill, leash=leash)
    found = (gaps_of_colony if of_colony else gaps_of_agents)(skills, lookup)
    return Gaps(now, found[:limit], len(found) > limit)


def skills_of_agents(
    models: ReadModels, *, agent_id: str | None = None, skill: str | None = None, leash: Leash | None = None
) -> Mapping[str, list[str]]:
    """The skills that each agent says it has, or has shown, of those that may be there. Blocks."""
    asked = {"agent_id": agent_id, "skill": skill}
    rows = models.sql(SKILLS_OF_AGENTS, asked, limit=ROWS_MAX, leash=leash).records()
    return {row["agent_id"]: row["skills"] for row in rows}


def day_of(time: datetime) -> float:
    """The time as days since 1970, in parts."""
    return time.timestamp() * 1e6 / US_PER_DAY


def outcomes_of(models: ReadModels, leash: Leash | None = None) -> Iterator[dict[str, Any]]:
    """All outcomes in their order, as rows for `take`. Raises as `ReadModels.sql` does."""
    place, is_truncated = BEGINNING, True
    while is_truncated:
        answer = models.sql(OUTCOMES, place._asdict(), limit=OUTCOMES_AT_ONCE_MAX, leash=leash)
        rows, is_truncated = _behind(answer), answer.truncated
        yield from rows
        place = _place_of(rows[-1]) if rows else place


def take(ratings: Ratings, row: dict[str, Any]) -> None:
    """Take in an outcome as it was read."""
    ratings.take(row["agent_id"], row["skill"], row["score"], row["moment"] / US_PER_DAY, row["task_id"])


def _behind(answer: Answer) -> list[dict[str, Any]]:
    """The outcomes behind the place that was asked for."""
    return [row for row in answer.records() if row["work"] is not None]


def _place_of(row: dict[str, Any]) -> Place:
    return Place(*(row[name] for name in Place._fields))


def _rated(ratings: Ratings, observed: dict[str, Any], day: float) -> AgentSkill:
    rating = ratings.lookup(observed["agent_id"], observed["skill"], day)
    told = {name: value for name, value in observed.items() if name in AgentSkill.__struct_fields__}
    return msgspec.convert(msgspec.to_builtins(rating) | told, AgentSkill)
