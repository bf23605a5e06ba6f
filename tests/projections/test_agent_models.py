"""Who is in the colony and who is meant to be, and what came of each agent's work, checked by hand."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from rookery.handlers.fleet import (
    AGENTS,
    AgentRecord,
    Declare,
    Evict,
    Expire,
    Register,
    Revive,
    Suspect,
    Unregister,
    Update,
)
from rookery.handlers.reactions import Command, Happened
from rookery.schemas import (
    AgentDeclared,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    AssignmentCompleted,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    LlmCallCompleted,
    RookeryError,
)

from .colony import Colony, fact

DECLARED = AgentDeclared(name="Coder", role="coder", capabilities=["code"], catalogue="swarm")


class TestWhoIsMeantToBeThere:
    def test_is_known_before_it_comes(self, colony: Colony) -> None:
        colony.given(fact(DECLARED, "a", 5))
        agent = colony.record("agents")
        assert (agent["state"], agent["name"], agent["capabilities"], agent["catalogue"]) == (
            "declared",
            "Coder",
            ["code"],
            "swarm",
        )
        assert agent["state_since"] == "2026-11-20T12:00:05.000000Z"
        assert (agent["registered_at"], agent["last_seen_at"], agent["incarnation"]) == (None, None, None)

    def test_is_what_it_says_of_itself_once_it_has_come(self, colony: Colony) -> None:
        colony.given(
            fact(AgentRegistered(name="Own", incarnation=1), "a", 1),
            fact(DECLARED, "a", 5),
            fact(DECLARED, "b", 1),
            fact(AgentRegistered(name="Own", incarnation=1), "b", 5),
            fact(AgentStateChanged(state="expired", incarnation=1), "b", 6),
            fact(DECLARED, "b", 9),
        )
        rows = colony.rows("agents", "agent_id", "name", "role", "state", "catalogue")
        assert rows == [("a", "Own", None, "alive", "swarm"), ("b", "Own", None, "expired", "swarm")]

    def test_is_declared_again_after_it_has_left_and_no_more_than_that(self, colony: Colony) -> None:
        colony.given(
            fact(AgentRegistered(name="Own", incarnation=1), "a", 1),
            fact(AgentUnregistered(incarnation=1), "a", 2),
            fact(DECLARED, "a", 3),
            fact(DECLARED, "left", 1),
            fact(AgentUnregistered(), "left", 2),
        )
        rows = colony.rows("agents", "agent_id", "name", "state")
        assert rows == [("a", "Coder", "declared"), ("left", "Coder", "unregistered")]

    def test_can_be_changed_while_it_is_no_more_than_declared(self, colony: Colony) -> None:
        colony.given(fact(DECLARED, "a", 1), fact(AgentUpdated(name="Mender", role="mender"), "a", 2))
        assert colony.rows("agents", "name", "role", "state") == [("Mender", "mender", "declared")]


class TestWhatCameOfItsWork:
    def test_is_counted_by_how_it_ended(self, colony: Colony) -> None:
        for name in ("done", "half", "broke", "late", "open"):
            colony.append([fact(AssignmentStarted(agent_id="a"), name, 0)])
        colony.given(
            fact(AssignmentCompleted(agent_id="a", score=1.0), "done", 10),
            fact(AssignmentCompleted(agent_id="a", score=0.5, duration_seconds=2), "half", 99),
            fact(AssignmentFailed(agent_id="a", error="x", duration_seconds=6), "broke", 99),
            fact(AssignmentTimedOut(agent_id="a"), "late", 30),
        )
        stats = colony.record("agent_stats")
        counts = ("begun", "running", "completed", "failed", "timed_out", "cancelled", "released")
        assert [stats[name] for name in counts] == [5, 1, 2, 1, 1, 0, 0]
        assert (stats["success_rate"], stats["mean_score"]) == (0.5, 0.75)
        assert (stats["mean_seconds"], stats["median_seconds"]) == (12.0, 8.0)
        assert stats["p95_seconds"] == pytest.approx(27.0)
        assert stats["last_ended_at"] == "2026-11-20T12:01:39.000000Z"

    def test_is_the_same_to_the_last_bit_in_whatever_order_the_rows_lie(self, colony: Colony) -> None:
        seconds = [3600.0, *(0.1 + n / 1000 for n in range(200))]
        for agent_id, told in (("a", seconds), ("b", seconds[::-1])):
            done = [AssignmentCompleted(agent_id=agent_id, score=one / 3600, duration_seconds=one) for one in told]
            colony.given(*(fact(one, f"{agent_id}-{number}", number % 60) for number, one in enumerate(done)))
        (_, *of_a), (_, *of_b) = colony.rows("agent_stats", "agent_id", "mean_score", "mean_seconds", "median_seconds")
        assert of_a == of_b

    def test_counts_for_both_where_it_went_from_one_to_another(self, colony: Colony) -> None:
        colony.given(
            fact(AssignmentStarted(agent_id="dead"), "as", 0),
            fact(AssignmentReleased(agent_id="dead", reason="expired"), "as", 5),
            fact(AssignmentStarted(agent_id="b"), "as", 6),
            fact(AssignmentCompleted(agent_id="b"), "as", 8),
        )
        rows = colony.rows("agent_stats", "agent_id", "begun", "running", "completed", "released", "mean_seconds")
        assert rows == [("b", 1, 0, 1, 0, 2.0), ("dead", 1, 0, 0, 1, None)]

    def test_that_was_given_back_and_taken_up_again_is_in_hand(self, colony: Colony) -> None:
        colony.given(
            fact(AssignmentStarted(agent_id="a"), "as", 0),
            fact(AssignmentReleased(agent_id="a"), "as", 5),
            fact(AssignmentStarted(agent_id="a"), "as", 6),
        )
        assert colony.rows("agent_stats", "begun", "running", "released") == [(2, 1, 1)]

    def test_ends_once(self, colony: Colony) -> None:
        colony.given(
            fact(AssignmentFailed(agent_id="a", error="x"), "as", 8),
            fact(AssignmentCompleted(agent_id="a"), "as", 7),
        )
        assert colony.rows("agent_stats", "completed", "failed", "success_rate") == [(0, 1, 0.0)]

    def test_is_found_by_its_agent_and_what_is_asked_of_it(self, colony: Colony) -> None:
        call = LlmCallCompleted(agent_id="a", provider="openai", request_model="m", cost_usd="1")
        colony.given(fact(AssignmentStarted(agent_id="a"), "x", 1), fact(call, "c", 2))
        asked = "select agent_id from agent_stats where agent_id = 'a' and begun = 1 and llm_calls = 1"
        assert colony.projections.sql(asked).records() == [{"agent_id": "a"}]

    def test_costs_what_its_calls_cost(self, colony: Colony) -> None:
        call = {"provider": "p", "request_model": "m", "input_tokens": 7, "cost_usd": "0.1"}
        colony.given(
            fact(LlmCallCompleted(agent_id="a", **call), "1", 1),
            fact(LlmCallCompleted(agent_id="a", **{**call, "cost_usd": "0.2"}), "2", 1),
            fact(LlmCallCompleted(**call), "3", 1),
        )
        assert colony.rows("agent_stats", "agent_id", "begun", "llm_calls", "cost_usd", "success_rate") == [
            ("a", 0, 2, "0.3", None)
        ]


class TestWhatIsDecided:
    """The read model and the registry fold the same events: whatever commands come, they say the same of an agent."""

    COMMANDS = (
        Register(role="r"),
        Register(name="again", again=True),
        Declare(name="Declared", role="d", catalogue="swarm"),
        Declare(name="Declared", tier="system", capabilities=["c"]),
        Update(role="u"),
        Update(role=None, capabilities=["x"]),
        Unregister(),
    )
    MOVES = (Suspect, Revive, Expire, Evict)

    @pytest.mark.parametrize("seed", range(3))
    def test_is_what_is_shown(self, colony: Colony, seed: int) -> None:
        chance = random.Random(seed)
        records = {f"agent-{n}": AgentRecord() for n in range(60)}
        for second in range(12):
            for agent_id, record in records.items():
                moved = chance.choice(self.MOVES)(incarnation=record.incarnation or 1)
                data = chance.choice([*self.COMMANDS, moved])
                command = Command.of(data, subject=agent_id, source="/people/x")
                with suppress(RookeryError):
                    for place, told in enumerate(AGENTS.decide(command, records[agent_id])):
                        event = fact(told, agent_id, second + place / 10)
                        records[agent_id] = AGENTS.evolve(records[agent_id], Happened(told, event.time))
                        colony.append([event])
        colony.projections.catch_up()
        shown = colony.rows("agents", "agent_id", "state", "incarnation", "name", "role", "tier", "capabilities")
        assert {agent_id: tuple(rest) for agent_id, *rest in shown} == {
            agent_id: (
                record.state,
                record.incarnation or None,
                *(getattr(record.particulars, name) for name in ("name", "role", "tier", "capabilities")),
            )
            for agent_id, record in records.items()
            if record.particulars is not None
        }
