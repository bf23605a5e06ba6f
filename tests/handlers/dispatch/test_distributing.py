"""Practice goes where it is needed most, and to everybody before twice to anybody who has enough."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rookery.handlers.dispatch import Planned, Room, plan
from rookery.handlers.proficiency import Gap, Rating


def gap(agent_id: str, skill: str, need: float) -> Gap:
    return Gap(agent_id, skill, "weak", need, Rating(1 - need, 1 - need, 1 - need, 0.0, 9))


def pairs(planned: list[Planned]) -> list[tuple[str, str]]:
    return [(one.agent_id, one.skill) for one in planned]


FREE = Room(0, 5)


def test_the_greatest_need_comes_first() -> None:
    gaps = [gap("a", "lint", 0.6), gap("b", "lint", 0.9), gap("c", "lint", 0.7)]
    assert pairs(plan(gaps, dict.fromkeys("abc", FREE), 2)) == [("b", "lint"), ("c", "lint")]


def test_who_is_weak_at_everything_does_not_get_everything() -> None:
    gaps = [*(gap("a", f"s{n}", 0.9) for n in range(5)), gap("b", "s0", 0.85)]
    assert pairs(plan(gaps, dict.fromkeys("ab", FREE), 3))[:2] == [("a", "s0"), ("b", "s0")]


def test_who_is_busy_yields_and_who_is_full_or_gone_gets_nothing() -> None:
    gaps = [gap("busy", "s", 0.9), gap("free", "s", 0.8), gap("full", "s", 1.0), gap("gone", "s", 1.0)]
    rooms = {"busy": Room(4, 5), "free": FREE, "full": Room(5, 5)}
    assert pairs(plan(gaps, rooms, 9)) == [("free", "s"), ("busy", "s")]


def test_the_reasons_are_told() -> None:
    [one] = plan([gap("a", "s", 0.8)], {"a": Room(1, 5)}, 1)
    told = one.told()
    assert (told["agent_id"], told["need"], told["reason"]) == ("a", 0.8, "practice: weak")
    assert told["score"] == round(told["need"] - told["load"], 6)


agents, skills = st.sampled_from("abcd"), st.sampled_from(["s", "t", "u"])
gaps = st.lists(
    st.builds(gap, agents, skills, st.sampled_from([0.3, 0.6, 0.9])), unique_by=lambda one: (one.agent_id, one.skill)
)
rooms = st.dictionaries(agents, st.builds(Room, st.integers(0, 3), st.integers(1, 3)))


@given(gaps, rooms, st.integers(0, 12))
def test_a_plan_keeps_to_all_bounds_and_leaves_no_room_unused(
    found: list[Gap], room: dict[str, Room], count: int
) -> None:
    planned = plan(found, room, count)
    given_to = Counter(one.agent_id for one in planned)
    assert len(set(pairs(planned))) == len(planned) <= count
    for agent_id, number in given_to.items():
        assert room[agent_id].assignments + number <= room[agent_id].assignments_max
    if len(planned) < count:
        left = [one for one in found if (one.agent_id, one.skill) not in pairs(planned) and one.agent_id in room]
        assert all(
            room[one.agent_id or ""].assignments + given_to[one.agent_id or ""]
            >= room[one.agent_id or ""].assignments_max
            for one in left
        )
    assert planned == plan(list(reversed(found)), room, count)
