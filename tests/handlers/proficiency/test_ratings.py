"""Ratings: what an outcome does to them, what idle time does, and that batches don't matter."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.handlers.proficiency import Outcome, Prior, Rating, Ratings

AGENTS = st.sampled_from(["ada", "bea", "cyd"])
SKILLS = st.sampled_from(["lint", "test"])
TASKS = st.sampled_from([None, "t-1", "t-2"])
SCORES = st.sampled_from([0.0, 1.0]) | st.floats(0, 1)


@st.composite
def histories(draw: st.DrawFn, most: int = 30) -> list[Outcome]:
    """Outcomes in the order of time."""
    days = sorted(draw(st.lists(st.floats(0, 1_000), max_size=most)))
    return [Outcome(draw(AGENTS), draw(SKILLS), draw(SCORES), day, draw(TASKS)) for day in days]


def after(history: list[Outcome]) -> Ratings:
    ratings = Ratings()
    ratings.fold(history)
    return ratings


@given(histories(), AGENTS, SKILLS, TASKS)
def test_a_success_never_lowers_a_rating_and_a_failure_never_raises_one(
    history: list[Outcome], agent: str, skill: str, task: str | None
) -> None:
    ratings = after(history)
    day = max(ratings.day, 0.0)
    before = ratings.lookup(agent, skill, day)
    better, worse = ratings.copy(), ratings.copy()
    better.take(agent, skill, 1.0, day, task)
    worse.take(agent, skill, 0.0, day, task)
    assert worse.lookup(agent, skill).rating < before.rating < better.lookup(agent, skill).rating


@given(histories(), AGENTS, SKILLS, TASKS, SCORES)
def test_an_outcome_makes_a_rating_surer(
    history: list[Outcome], agent: str, skill: str, task: str | None, score: float
) -> None:
    ratings = after(history)
    day = max(ratings.day, 0.0)
    before = ratings.lookup(agent, skill, day)
    ratings.take(agent, skill, score, day, task)
    now = ratings.lookup(agent, skill)
    assert now.uncertainty < before.uncertainty
    assert now.outcomes == before.outcomes + 1


@given(histories(), AGENTS, SKILLS, st.floats(0, 500), st.floats(0, 500))
def test_idle_time_makes_a_rating_less_sure_but_never_less_sure_than_at_first(
    history: list[Outcome], agent: str, skill: str, days: float, more_days: float
) -> None:
    ratings = after(history)
    begin = max(ratings.day, 0.0)
    now, later, at_last = (ratings.lookup(agent, skill, begin + idle) for idle in (0.0, days, days + more_days))
    stranger = ratings.lookup("nobody", skill, begin)
    assert now.uncertainty <= later.uncertainty <= at_last.uncertainty <= stranger.uncertainty + 1e-12


def test_ten_idle_days_widen_a_rating_and_leave_it_where_it_is() -> None:
    ratings = after([Outcome("ada", "lint", 1.0, 0.0)] * 9)
    now, later = ratings.lookup("ada", "lint", 0.0), ratings.lookup("ada", "lint", 10.0)
    assert later.uncertainty > now.uncertainty
    assert later.low < now.low
    assert later.rating == pytest.approx(now.rating, abs=0.02)


@given(histories(), st.integers(0, 30))
def test_batches_make_no_difference(history: list[Outcome], cut: int) -> None:
    ratings = after(history[:cut])
    further = ratings.copy()
    further.fold(history[cut:])
    assert vars(further) == vars(after(history))
    assert vars(ratings) == vars(after(history[:cut])), "what was copied stays as it was"


@given(histories(), AGENTS, SKILLS)
def test_a_rating_is_a_chance_within_its_bounds(history: list[Outcome], agent: str, skill: str) -> None:
    rating = after(history).lookup(agent, skill, 2_000.0)
    assert 0 <= rating.low <= rating.rating <= rating.high <= 1
    assert math.isfinite(rating.uncertainty)


def test_who_is_good_elsewhere_is_expected_to_be_good_here() -> None:
    ratings = after([Outcome("ada", "lint", 1.0, 0.0)] * 9 + [Outcome("bea", "lint", 0.0, 0.0)] * 9)
    ada, nobody, bea = (ratings.lookup(agent, "test").rating for agent in ("ada", "nobody", "bea"))
    assert bea < nobody < ada


def test_a_failure_at_what_all_fail_at_says_less_of_an_agent() -> None:
    hard = [Outcome(f"agent-{index}", "test", 0.0, 0.0, "hard") for index in range(20)]
    easy = [Outcome(f"agent-{index}", "test", 1.0, 0.0, "easy") for index in range(20)]
    at_hard, at_easy = after(hard + easy), after(hard + easy)
    at_hard.take("ada", "test", 0.0, 0.0, "hard")
    at_easy.take("ada", "test", 0.0, 0.0, "easy")
    assert at_easy.lookup("ada", "test").rating < at_hard.lookup("ada", "test").rating


def test_the_first_step_is_what_the_formula_gives_by_hand() -> None:
    # One success at prior variances 1, 0 and 0: the mean chance is 1/2, the logit moves by c/2 and the variance by
    # c^2/4, with c = 1/sqrt(1 + pi/8).
    ratings = Ratings(Prior(colony=1.0, colony_floor=0.0, skill=0.0, skill_floor=0.0, agent=0.0, agent_skill=0.0))
    assert ratings.take("ada", "lint", 1.0, 0.0) == 0.5
    shrink = 1 / math.sqrt(1 + math.pi / 8)
    assert ratings.lookup("ada", "lint") == Rating.of(shrink / 2, 1 - shrink**2 / 4, 1)


def test_long_luck_stays_finite() -> None:
    ratings = after([Outcome("ada", "lint", 1.0, float(day)) for day in range(5_000)])
    assert 0.99 < ratings.lookup("ada", "lint").rating < 1


def test_a_rating_is_what_the_whole_integral_gives_within_two_hundredths() -> None:
    """The filter's normal distribution, beside Bayes' rule worked out on a grid of logits."""
    variance, score = 2.0, [1.0, 1.0, 0.0, 1.0]
    grid = [step / 100 for step in range(-1_500, 1_501)]
    weights = [math.exp(-logit * logit / (2 * variance)) for logit in grid]
    for one in score:
        chances = [1 / (1 + math.exp(-logit)) for logit in grid]
        weights = [w * (p if one else 1 - p) for w, p in zip(weights, chances, strict=True)]
    total = sum(weights)
    mean = sum(w * logit for w, logit in zip(weights, grid, strict=True)) / total
    chance = sum(w / (1 + math.exp(-logit)) for w, logit in zip(weights, grid, strict=True)) / total
    spread = math.sqrt(sum(w * (logit - mean) ** 2 for w, logit in zip(weights, grid, strict=True)) / total)
    nothing = Prior(colony=variance, colony_floor=0.0, skill=0.0, skill_floor=0.0, agent=0.0, agent_skill=0.0)
    ratings = Ratings(nothing)
    ratings.fold(Outcome("ada", "lint", one, 0.0) for one in score)
    found = ratings.lookup("ada", "lint")
    assert found.rating == pytest.approx(chance, abs=0.02)
    assert found.uncertainty == pytest.approx(spread, rel=0.05)
