"""Gaps: what an agent or the colony is weak at, or unknown at."""

from __future__ import annotations

from rookery.handlers.proficiency import Outcome, Ratings, gaps_of_agents, gaps_of_colony


def known() -> Ratings:
    """Ada is good at lint and bad at test; bea is bad at both; nobody has ever written."""
    ratings = Ratings()
    for _ in range(40):
        ratings.fold([Outcome("ada", "lint", 1.0, 0.0), Outcome("ada", "test", 0.0, 0.0)])
        ratings.fold([Outcome("bea", "lint", 0.0, 0.0), Outcome("bea", "test", 0.0, 0.0)])
    return ratings


SKILLS = {"ada": ["lint", "test", "write"], "bea": ["lint", "test"]}


def test_an_agent_is_weak_at_what_it_fails_at_and_unknown_at_what_it_never_did() -> None:
    found = {(gap.agent_id, gap.skill): gap.kind for gap in gaps_of_agents(SKILLS, known().lookup)}
    assert found == {
        ("ada", "test"): "weak",
        ("ada", "write"): "unknown",
        ("bea", "lint"): "weak",
        ("bea", "test"): "weak",
    }


def test_the_colony_has_no_gap_where_one_agent_is_good() -> None:
    found = {(gap.agent_id, gap.skill): gap.kind for gap in gaps_of_colony(SKILLS, known().lookup)}
    assert found == {(None, "test"): "weak", (None, "write"): "unknown"}


def test_the_greatest_need_comes_first() -> None:
    needs = [gap.need for gap in gaps_of_agents(SKILLS, known().lookup)]
    assert needs == sorted(needs, reverse=True)
    assert all(0 <= need <= 1 for need in needs)


def test_a_gap_closes_with_success() -> None:
    ratings = known()
    ratings.fold([Outcome("bea", "test", 1.0, 1.0)] * 60)
    assert ("bea", "test") not in {(gap.agent_id, gap.skill) for gap in gaps_of_agents(SKILLS, ratings.lookup)}
