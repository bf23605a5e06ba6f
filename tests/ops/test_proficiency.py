"""Ratings at a node: the same for the same events, whatever order and batches they came in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.handlers.proficiency import Rating, Ratings
from rookery.ops import proficiency
from rookery.ops.proficiency import Proficiency, day_of, gaps, listing
from rookery.ops.rating_history import rating_history
from rookery.projections import Answer, Leash
from rookery.schemas import (
    AgentRegistered,
    AgentUnregistered,
    AssignmentCompleted,
    AssignmentFailed,
    Event,
    FeedbackGiven,
    RunCompleted,
)
from rookery.tests.projections.colony import Colony, at, fact

DAY = 24 * 3_600
NOW = at(30 * DAY)
AGENTS, SKILLS = ["ada", "bea"], ["lint", "test"]

names = st.fixed_dictionaries({"agent_id": st.sampled_from(AGENTS), "skill": st.sampled_from(SKILLS)})
works = st.sampled_from(["w-1", "w-2", "w-3"])
scores = st.sampled_from([0.0, 0.3, 1.0])


@st.composite
def outcomes(draw: st.DrawFn) -> Event:
    whose: dict[str, Any] = draw(names)
    what = draw(
        st.sampled_from(
            [
                lambda: AssignmentCompleted(**whose, score=draw(st.none() | scores)),
                lambda: AssignmentFailed(**whose, error="x"),
                lambda: RunCompleted(**whose, reward=draw(scores), task_id=draw(st.none() | st.just("t"))),
                lambda: FeedbackGiven(kind="score", **whose, score=draw(scores), run_id=draw(st.none() | works)),
            ]
        )
    )
    return fact(what(), draw(works), draw(st.integers(0, 20)) * DAY / 2)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / str(number) for number in count())


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    with Colony(tmp_path / "colony") as colony:
        yield colony


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that a few outcomes reach."""
    monkeypatch.setattr(proficiency, "OUTCOMES_AT_ONCE_MAX", 4)
    monkeypatch.setattr(proficiency, "LATE_OUTCOMES_MAX", 1)


def told_at_once(ratings: Ratings) -> dict[tuple[str, str], Rating]:
    return {(agent, skill): ratings.lookup(agent, skill, day_of(NOW)) for agent in AGENTS for skill in SKILLS}


@pytest.mark.usefixtures("few")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(outcomes(), min_size=1, max_size=12), st.data())
def test_any_interleaving_and_any_batching_give_the_same_ratings_as_a_rebuild(
    folders: Iterator[Path], events: list[Event], data: st.DataObject
) -> None:
    origins = [data.draw(st.sampled_from(["east", "west"])) for _ in events]
    with Colony(next(folders)) as live, Colony(next(folders)) as again:
        kept = Proficiency(live.projections)
        for origin, event in zip(origins, events, strict=True):
            live.given(event, origin=origin)
            kept.level()
        for origin in ("west", "east"):
            again.append([event for event, its in zip(events, origins, strict=True) if its == origin], origin)
        again.given()
        assert told_at_once(kept.level()) == told_at_once(Proficiency(again.projections).level())
        live.projections.rebuild()
        assert told_at_once(kept.level()) == told_at_once(Proficiency(again.projections).level())


def test_ratings_are_those_of_the_outcomes_in_the_order_of_time(colony: Colony) -> None:
    whose = {"agent_id": "ada", "skill": "lint"}
    colony.given(
        fact(RunCompleted(**whose, reward=1, task_id="t"), "a-late", DAY),
        fact(RunCompleted(**whose, reward=0), "b-early"),
    )
    expected = Ratings()
    expected.take("ada", "lint", 0.0, day_of(at(0)))
    expected.take("ada", "lint", 1.0, day_of(at(DAY)), "t")
    assert told_at_once(Proficiency(colony.projections).level()) == told_at_once(expected)


@pytest.mark.usefixtures("few")
def test_what_comes_later_than_can_be_waited_for_is_told_anew(colony: Colony) -> None:
    whose = {"agent_id": "ada", "skill": "lint"}
    colony.given(*(fact(RunCompleted(**whose, success=index % 2 > 0), f"r-{index}", index) for index in range(9)))
    kept = Proficiency(colony.projections)
    before = kept.level()
    colony.given(fact(RunCompleted(**whose, success=True), "forgotten", -60))
    now = told_at_once(kept.level())
    assert now != told_at_once(before)
    colony.given(fact(FeedbackGiven(kind="score", **whose, run_id="r-0", score=1.0), "f", 60))
    judged = told_at_once(kept.level())
    assert judged != now
    assert judged == told_at_once(Proficiency(colony.projections).level())


@pytest.mark.usefixtures("few")
def test_ratings_are_told_however_often_what_is_old_is_judged_and_are_right_when_it_no_longer_is(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = {"agent_id": "ada", "skill": "lint"}
    colony.given(*(fact(RunCompleted(**whose, success=True), f"r-{index}", index) for index in range(9)))
    kept, ask, numbers = Proficiency(colony.projections), colony.projections.sql, iter(range(99))

    def judged_meanwhile(*args: Any, **how: Any) -> Answer:
        answer = ask(*args, **how)
        number = next(numbers)
        judged = FeedbackGiven(kind="score", **whose, run_id="r-0", score=number / 99)
        colony.given(fact(judged, f"f-{number}", 60))
        return answer

    with monkeypatch.context() as while_asking:
        while_asking.setattr(colony.projections, "sql", judged_meanwhile)
        assert kept.level().lookup("ada", "lint").outcomes == 9
    assert told_at_once(kept.level()) == told_at_once(Proficiency(colony.projections).level())


def test_a_listing_has_the_best_first_and_whoever_is_asked_for_by_name(colony: Colony) -> None:
    colony.given(
        *(fact(RunCompleted(agent_id="bea", skill="lint", success=True), f"b-{index}", index) for index in range(9)),
        *(fact(RunCompleted(agent_id="ada", skill="lint", success=False), f"a-{index}", index) for index in range(9)),
    )
    ratings = Proficiency(colony.projections).level()
    assert [one.agent_id for one in listing(colony.projections, ratings, now=NOW).ratings] == ["ada", "bea"]
    found = listing(colony.projections, ratings, now=NOW, skill="lint", limit=1)
    assert ([one.agent_id for one in found.ratings], found.truncated) == (["bea"], True)
    assert (found.ratings[0].outcomes, found.ratings[0].success_rate) == (9, 1.0)
    (new,) = listing(colony.projections, ratings, now=NOW, agent_id="cyd", skill="lint").ratings
    assert (new.outcomes, new.success_rate, new.last_at) == (0, None, None)
    assert found.ratings[0].rating > new.rating > 0


def test_gaps_are_of_agents_that_may_be_there_at_what_they_say_they_can_and_what_they_did(colony: Colony) -> None:
    colony.given(
        fact(AgentRegistered(name="ada", capabilities=["write"]), "ada"),
        fact(AgentRegistered(name="gone", capabilities=["write"]), "gone"),
        fact(AgentUnregistered(), "gone", 1),
        *(fact(RunCompleted(agent_id="ada", skill="lint", success=False), f"r-{index}", index) for index in range(30)),
    )
    ratings = Proficiency(colony.projections).level()
    found = gaps(colony.projections, ratings, now=at(60)).gaps
    assert {(gap.agent_id, gap.skill, gap.kind) for gap in found} == {
        ("ada", "lint", "weak"),
        ("ada", "write", "unknown"),
    }
    of_colony = gaps(colony.projections, ratings, now=at(60), of_colony=True, limit=1)
    assert (len(of_colony.gaps), of_colony.gaps[0].agent_id, of_colony.truncated) == (1, None, True)


def test_a_history_has_the_rating_at_the_end_of_each_day_from_the_first_outcome_on(colony: Colony) -> None:
    whose = {"agent_id": "ada", "skill": "lint"}
    days = [0, 0, 2, 3]
    colony.given(
        *(fact(RunCompleted(**whose, success=True), f"r-{index}", day * DAY) for index, day in enumerate(days))
    )
    now = at(3 * DAY)  # the moment of the last outcome
    found = rating_history(colony.projections, "ada", "lint", now=now, days=9).days
    assert [(one.day.day, one.outcomes) for one in found] == [(20, 2), (21, 2), (22, 3), (23, 4)]
    assert found[0].rating < found[2].rating < found[3].rating
    assert found[0].uncertainty < found[1].uncertainty, "a day without work makes it less sure"
    (today,) = listing(colony.projections, Proficiency(colony.projections).level(), now=now).ratings
    assert (found[-1].rating, found[-1].outcomes) == (pytest.approx(today.rating), today.outcomes)
    cut = rating_history(colony.projections, "ada", "lint", now=at(2 * DAY), days=2).days
    assert (cut[0].day.day, cut[0].outcomes) == (21, 2)
    assert rating_history(colony.projections, "bea", "lint", now=now).days == []


@pytest.mark.usefixtures("few")
def test_a_history_of_many_outcomes_is_read_in_parts(colony: Colony) -> None:
    whose = {"agent_id": "ada", "skill": "lint"}
    colony.given(*(fact(RunCompleted(**whose, success=True), f"r-{index}", index) for index in range(11)))
    (today,) = rating_history(colony.projections, "ada", "lint", now=at(60)).days
    assert today.outcomes == 11


class Stumbling(Proficiency):
    """Ratings that can't be brought level at first, for a reason that nobody foresaw."""

    levelled = 0

    def level(self, leash: Leash | None = None) -> Ratings:
        self.levelled += 1
        if self.levelled == 1:
            raise ArithmeticError("it stumbles")
        return super().level(leash)


async def test_ratings_are_brought_level_again_after_whatever_went_wrong(
    colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proficiency, "REFRESH_SECONDS", 0.01)
    colony.given(fact(AssignmentCompleted(agent_id="ada", skill="lint"), "w-1", 0))
    ratings = Stumbling(colony.projections)
    keeping = asyncio.create_task(ratings.run())
    async with asyncio.timeout(10):
        while not ratings.lookup("ada", "lint").outcomes:
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait([keeping])
