"""What counts as an outcome, once each, and what comes of outcomes: checked by hand."""

from __future__ import annotations

from typing import Any

import pytest
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentFailed,
    AssignmentTimedOut,
    EventData,
    FeedbackGiven,
    RunCompleted,
    RunFailed,
)

from .colony import Colony, fact

DAY = 24 * 3_600.0
ADA: dict[str, Any] = {"agent_id": "ada", "skill": "lint"}
BEA: dict[str, Any] = {"agent_id": "bea", "skill": "lint"}


def outcomes(colony: Colony, *told: tuple[EventData, str]) -> dict[tuple[str, str], float]:
    """What comes of these events: the score of each piece of work and agent."""
    colony.given(*(fact(data, subject, index) for index, (data, subject) in enumerate(told)))
    return {
        (work, agent): score for work, agent, score in colony.rows("proficiency_outcomes", "work", "agent_id", "score")
    }


def test_every_outcome_that_names_agent_and_skill_counts_as_a_fraction_of_a_success(colony: Colony) -> None:
    found = outcomes(
        colony,
        (AssignmentCompleted(**ADA, duration_seconds=30), "1"),
        (AssignmentCompleted(**ADA, score=0.25), "2"),
        (AssignmentFailed(**ADA, error="x", duration_seconds=12.5), "3"),
        (AssignmentTimedOut(**ADA), "4"),
        (RunCompleted(**ADA, success=False, reward=1), "5"),
        (RunCompleted(**ADA, reward=17), "6"),
        (RunFailed(**ADA, error="x", reward=-3), "7"),
        (FeedbackGiven(kind="thumb", **ADA, score=0.75), "8"),
        (RunCompleted(**ADA), "9"),  # neither success nor reward
        (RunCompleted(agent_id="ada", success=True), "10"),  # no skill
        (AssignmentTimedOut(skill="lint"), "11"),  # nobody's
        (FeedbackGiven(kind="comment", **ADA, comment="hm"), "12"),  # no score
    )
    assert {work: score for (work, _), score in found.items()} == {
        "assignment/1": 1,
        "assignment/2": 0.25,
        "assignment/3": 0,
        "assignment/4": 0,
        "run/5": 0,
        "run/6": 1,
        "run/7": 0,
        "feedback/8": 0.75,
    }
    known = colony.record("proficiency")
    assert (known["outcomes"], known["attempts"], known["successes"], known["judgements"]) == (8, 7, 3, 1)
    assert (known["mean_score"], known["success_rate"]) == (pytest.approx(3 / 8), pytest.approx(3 / 8))
    assert known["time_invested_seconds"] == 42.5
    assert known["last_at"] == "2026-11-20T12:00:07.000000Z"


def test_an_assignment_and_the_runs_that_carry_it_out_are_one_piece_of_work(colony: Colony) -> None:
    found = outcomes(
        colony,
        (RunFailed(**ADA, error="x", assignment_id="1"), "attempt-1"),
        (AssignmentCompleted(**ADA, score=0.5), "1"),
        (RunCompleted(**ADA, success=True, reward=1, assignment_id="1"), "attempt-2"),  # told later, by a slower clock
        (RunFailed(**ADA, error="x", assignment_id="2"), "attempt-3"),
        (RunCompleted(**ADA, success=True, assignment_id="2"), "attempt-4"),
    )
    assert found == {("assignment/1", "ada"): 0.5, ("assignment/2", "ada"): 1}


def test_who_gave_an_assignment_up_has_failed_at_it_though_somebody_else_has_done_it(colony: Colony) -> None:
    found = outcomes(
        colony,
        (RunFailed(**ADA, error="x", assignment_id="1"), "attempt-1"),
        (RunFailed(**ADA, error="x", assignment_id="1"), "attempt-2"),
        (RunCompleted(**BEA, assignment_id="1"), "attempt-3"),
        (AssignmentCompleted(**BEA), "1"),
    )
    assert found == {("assignment/1", "ada"): 0, ("assignment/1", "bea"): 1}


def test_what_others_judged_outranks_what_was_reported(colony: Colony) -> None:
    found = outcomes(
        colony,
        (FeedbackGiven(kind="score", **ADA, run_id="r", score=0.25), "f-1"),  # judged before its end is known
        (RunCompleted(**ADA, success=True), "r"),
        (FeedbackGiven(kind="thumb", **ADA, run_id="r", score=0.0), "f-2"),
        (AssignmentCompleted(**ADA), "1"),
        (FeedbackGiven(kind="thumb", **ADA, assignment_id="1", run_id="r-1", score=0.0), "f-3"),
    )
    assert found == {("run/r", "ada"): 0.125, ("assignment/1", "ada"): 0}
    assert colony.rows("proficiency", "outcomes", "judgements") == [(2, 3)]
    further = {("run/r", "ada"): 0.375, ("assignment/1", "ada"): 0}  # the mean of 0.25, 0 and 0.875
    assert outcomes(colony, (FeedbackGiven(kind="score", **ADA, run_id="r", score=0.875), "f-4")) == further


def test_the_bounds_are_wilsons(colony: Colony) -> None:
    # 8 of 10: Wilson's 95 % interval is 0.490 to 0.943 (Brown, Cai and DasGupta's formula, by hand).
    for index in range(10):
        colony.append([fact(RunCompleted(**ADA, success=index < 8), f"r-{index}", index)])
    known = colony.given().record("proficiency")
    assert (known["mean_low"], known["mean_high"]) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))


def test_the_trend_compares_the_last_week_with_the_time_before(colony: Colony) -> None:
    colony.given(
        fact(RunCompleted(**ADA, success=False), "1", 0),
        fact(RunCompleted(**ADA, success=True), "2", 10 * DAY),
        fact(RunCompleted(**ADA, success=False), "3", 16 * DAY),
        fact(RunCompleted(**BEA, success=True), "4", 16 * DAY),
    )
    assert colony.rows("proficiency", "agent_id", "trend") == [("ada", 0.5), ("bea", None)]
