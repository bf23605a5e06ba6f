"""The best agent is chosen by rating, load and cost, says why, and is found as quickly among ten thousand."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.handlers.dispatch import Candidate, Candidates, Skilled, best, score_of
from rookery.handlers.dispatch.candidates import RANKED_AT_ONCE_MAX
from rookery.handlers.fleet import AgentRecord
from rookery.handlers.proficiency import Rating, Ratings
from rookery.handlers.reactions import Happened
from rookery.handlers.reactions.scenario import NOON
from rookery.schemas import AgentRegistered, AgentStateChanged, AgentUnregistered, EventData

SURE = Skilled(0.9, 0.05)


def able(agent_id: str, **how: object) -> Candidate:
    return Candidate(agent_id, True, True, 0)._replace(**how)


def chosen(*candidates: Candidate) -> str | None:
    found = best(candidates)
    return found.candidate.agent_id if found else None


class TestThePureChoice:
    def test_the_better_one_is_chosen(self) -> None:
        assert chosen(able("a"), able("b", skilled=SURE)) == "b"

    def test_of_two_rated_alike_the_less_known_is_tried(self) -> None:
        assert chosen(able("a", skilled=SURE), able("b", skilled=Skilled(0.9, 0.3))) == "b"

    def test_who_is_busy_yields_to_who_is_almost_as_good(self) -> None:
        busy = able("a", skilled=SURE, assignments=4)
        assert chosen(busy, able("b", skilled=Skilled(0.8, 0.05))) == "b"
        assert chosen(busy, able("b", skilled=Skilled(0.2, 0.05))) == "a"

    def test_of_two_alike_the_cheaper_is_chosen_and_unknown_is_not_free(self) -> None:
        assert chosen(able("a", cost_usd=5.0), able("b", cost_usd=0.01)) == "b"
        assert chosen(able("a"), able("b", cost_usd=0.01)) == "b"
        assert chosen(able("a", cost_usd=5.0), able("b")) == "b"

    def test_of_equals_the_first_by_name_is_chosen(self) -> None:
        assert chosen(able("b"), able("a")) == "a"

    @pytest.mark.parametrize("how", [{"is_alive": False}, {"is_able": False}, {"assignments": 5}])
    def test_who_is_dead_unable_or_full_is_not_chosen(self, how: dict[str, object]) -> None:
        assert chosen(able("a", skilled=SURE)._replace(**how)) is None

    def test_who_is_excluded_is_not_chosen(self) -> None:
        assert best([able("a")], excluded={"a"}) is None

    def test_the_choice_says_what_it_was_made_of(self) -> None:
        found = best([able("a", skilled=SURE, assignments=1, cost_usd=0.1), able("b")])
        assert found is not None
        told = found.told()
        assert told["score"] == pytest.approx(told["quality"] - told["load"] - told["cost"])
        assert (told["agent_id"], told["rating"], told["assignments"], told["eligible"]) == ("a", 0.9, 1, 2)


def registered(*capabilities: str, places: int | None = None) -> Happened:
    return Happened(AgentRegistered(name="x", capabilities=list(capabilities), assignments_max=places), NOON)


def happened(data: EventData) -> Happened:
    return Happened(data, NOON)


class TestTheTable:
    def test_only_the_living_are_chosen(self) -> None:
        table = Candidates()
        table.hear("a", 1, registered("lint"))
        assert table.choose("lint")
        for state in ("suspect", "expired"):
            table.hear("a", 2, happened(AgentStateChanged(state=state)))
            assert table.choose("lint") is None
            assert not table.anybody_can("lint")

    def test_at_most_so_many_at_once_and_an_agent_may_say_otherwise(self) -> None:
        table = Candidates(assignments_max=2)
        table.hear("a", 1, registered("lint"))
        table.hear("b", 2, registered("lint", places=1))
        given_to = list[str]()
        while choice := table.choose("lint"):
            given_to.append(choice.candidate.agent_id)
            table.hold(f"as-{len(given_to)}", choice.candidate.agent_id)
        assert sorted(given_to) == ["a", "a", "b"]
        table.hold("as-1", None)
        again = table.choose("lint")
        assert again is not None
        assert again.candidate.agent_id == given_to[0]

    def test_the_pool_is_for_what_nobody_else_can_do(self) -> None:
        table = Candidates(pool=["local-1"])
        table.hear("local-1", 1, registered("lint"))
        assert table.choose("lint") is None
        assert not table.anybody_can("lint")

    def test_who_has_left_is_forgotten(self) -> None:
        table = Candidates()
        table.hear("a", 1, registered("lint"))
        table.hold("as-1", "a")
        table.hear("a", 2, happened(AgentUnregistered()))
        assert len(table) == 1
        table.hold("as-1", None)
        assert len(table) == 0
        assert table.choose("lint") is None

    def test_what_the_bus_knows_already_comes_before_what_was_heard(self) -> None:
        table = Candidates()
        table.hear("a", 1, registered("lint"))
        table.see("a", 7, AgentRecord("expired", 1, AgentRegistered(name="a", capabilities=["lint"]), NOON))
        assert table.choose("lint") is None
        assert table.sequence("a") == 7


agents, kinds = st.sampled_from("abcde"), st.sampled_from(["lint", "test"])
UNKNOWN = Rating(0.5, 0.0, 1.0, 0.5, 0)
ratings = st.sampled_from([Rating(0.1, 0.1, 0.1, 0.0, 9), Rating(0.9, 0.9, 0.9, 0.0, 9), Rating(0.5, 0.2, 0.8, 0.3, 3)])
steps = st.one_of(
    st.tuples(st.just("register"), agents, st.lists(kinds, max_size=2), st.none() | st.integers(1, 3)),
    st.tuples(st.just("state"), agents, st.sampled_from(["alive", "suspect", "expired", "evicted"])),
    st.tuples(st.just("leave"), agents),
    st.tuples(st.just("rate"), agents, kinds, ratings),
    st.tuples(st.just("price"), agents, st.sampled_from([0.01, 0.1, 3.0])),
    st.tuples(st.just("hold"), st.integers(0, 9), st.none() | agents),
    st.tuples(st.just("choose"), kinds, kinds, st.sets(agents, max_size=2)),
)


@settings(deadline=None)
@given(st.lists(steps, max_size=60))
def test_the_ranking_chooses_as_the_pure_function_does(history: list[tuple]) -> None:
    known: dict[tuple[str, str], Rating] = {}
    table = Candidates(assignments_max=2, lookup=lambda agent_id, skill: known.get((agent_id, skill), UNKNOWN))
    for number, (what, *rest) in enumerate(history, 1):
        match what:
            case "register":
                table.hear(rest[0], number, registered(*rest[1], places=rest[2]))
            case "state":
                table.hear(rest[0], number, happened(AgentStateChanged(state=rest[1])))
            case "leave":
                table.hear(rest[0], number, happened(AgentUnregistered()))
            case "rate":
                known[rest[0], rest[1]] = rest[2]
                table.rank(rest[0])
            case "price":
                table.price(*rest)
            case "hold":
                table.hold(str(rest[0]), rest[1])
            case "choose":
                kind, skill, excluded = rest
                expected = best(table.candidates(kind, skill), excluded=excluded)
                assert table.choose(kind, skill, excluded=excluded) == expected
    for kind in ("lint", "test"):
        found = table.choose(kind)
        assert found == best(table.candidates(kind))
        assert found is None or found.score == score_of(found.candidate)
        assert table.anybody_can(kind) == any(one.is_alive for one in table.candidates(kind))


def test_who_is_gone_leaves_nothing_behind() -> None:
    known = Candidates()
    for number in range(50):
        told = AgentRegistered(name="x", capabilities=[f"skill-{number}"])
        known.hear(f"a{number}", 1, Happened(told, NOON))
        known.price(f"a{number}", 0.1)
        assert known.choose(f"skill-{number}")
        known.hear(f"a{number}", 2, Happened(AgentUnregistered(), NOON))
    kept = {name: len(value) for name, value in vars(known).items() if isinstance(value, dict) and value}
    assert kept == {}


class TestRankingMany:
    async def test_others_have_their_turn_and_what_they_tell_counts(self) -> None:
        """While agents are ranked, some are heard of: the ranking is as if they had been ranked thereafter."""
        table, count = Candidates(), 3 * RANKED_AT_ONCE_MAX
        for number in range(count):
            table.hear(f"a-{number:03}", 1, registered("lint"))
        making = asyncio.create_task(table.be_ready("lint", "go"))
        await asyncio.sleep(0)
        assert not making.done()
        for number in range(count):
            table.hold(f"as-{number}", f"a-{number:03}")
        table.hold("as-7", None)
        table.hear("late", 1, registered("lint"))
        table.hold("as-late", "late")
        for number in (0, count - 1):
            table.hear(f"a-{number:03}", 2, happened(AgentUnregistered()))
        await making
        choice = table.choose("lint", "go")
        assert choice == best(table.candidates("lint", "go"))
        assert choice is not None
        assert (choice.candidate.agent_id, choice.eligible) == ("a-007", count - 1)

    async def test_who_asks_for_the_same_meanwhile_waits_for_it_and_it_is_made_once(self) -> None:
        looked = list[str]()

        def lookup(agent_id: str, skill: str) -> Rating:
            looked.append(agent_id)
            return Ratings().lookup(agent_id, skill, 0)

        table, count = Candidates(lookup=lookup), 2 * RANKED_AT_ONCE_MAX
        for number in range(count):
            table.hear(f"a-{number}", 1, registered("lint"))
        first, *others = (asyncio.create_task(table.be_ready("lint")) for _ in range(5))
        await asyncio.sleep(0)
        others[0].cancel()
        await asyncio.wait([first, *others])
        assert len(looked) == count

    async def test_who_gives_up_leaves_no_half_a_ranking(self) -> None:
        table = Candidates()
        for number in range(2 * RANKED_AT_ONCE_MAX):
            table.hear(f"a-{number}", 1, registered("lint"))
        making = asyncio.create_task(table.be_ready("lint"))
        await asyncio.sleep(0)
        making.cancel()
        await asyncio.wait([making])
        choice = table.choose("lint")
        assert choice is not None
        assert choice.eligible == 2 * RANKED_AT_ONCE_MAX
