"""What agents' work has cost, by the read models, is what the choice goes by; health says what can't be dispatched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rookery.bus import MemoryBus
from rookery.eventstore import Log
from rookery.handlers.dispatch import Candidates, Dispatcher
from rookery.handlers.reactions import Happened
from rookery.ops.dispatching import price, tell_of
from rookery.ops.health import Health
from rookery.schemas import AgentRegistered, AssignmentStarted, LlmCallCompleted
from rookery.tests.projections.colony import Colony, at, fact

USAGE: dict[str, Any] = {"provider": "openai", "request_model": "m", "input_tokens": 1, "output_tokens": 1}


async def test_who_costs_less_is_chosen_and_what_is_not_known_whole_counts_as_unknown(tmp_path: Path) -> None:
    candidates = Candidates()
    with Colony(tmp_path / "colony") as colony:
        for agent_id in ("dear", "cheap", "half-known", "silent"):
            told = AgentRegistered(name=agent_id, capabilities=["lint"])
            candidates.hear(agent_id, 1, Happened(told, at(0)))
            colony.given(
                fact(told, agent_id, 0),
                fact(AssignmentStarted(agent_id=agent_id), f"of-{agent_id}-1", 1),
                fact(AssignmentStarted(agent_id=agent_id), f"of-{agent_id}-2", 2),
            )
        calls: list[tuple[str, str | None]] = [
            ("dear", "8"),
            ("cheap", "0.02"),
            ("half-known", "1"),
            ("half-known", None),
        ]
        for number, (agent_id, cost_usd) in enumerate(calls):
            call = LlmCallCompleted(agent_id=agent_id, cost_usd=cost_usd, **USAGE)
            colony.given(fact(call, f"call-{number}", 3))
        await price(candidates, colony.projections)
        costs = {one.agent_id: one.cost_usd for one in candidates.candidates("lint")}
        assert costs == {"cheap": 0.01, "dear": 4.0, "half-known": None, "silent": None}
        choice = candidates.choose("lint")
        assert choice is not None
        assert choice.candidate.agent_id == "cheap"
        # Nobody knows any more what its work costs, however well that was known before.
        colony.given(fact(LlmCallCompleted(agent_id="cheap", **USAGE), "call-unpriced", 4))
        await price(candidates, colony.projections)
        costs = {one.agent_id: one.cost_usd for one in candidates.candidates("lint")}
        assert costs == {"cheap": None, "dear": 4.0, "half-known": None, "silent": None}


def test_what_the_dispatcher_could_not_take_in_is_told_and_the_node_is_ready_nevertheless(tmp_path: Path) -> None:
    log, health = Log.open(tmp_path), Health()
    dispatcher = Dispatcher(log, MemoryBus(), "local")
    tell_of(dispatcher, health)
    assert health.subsystems["dispatcher"].state == "ready"
    dispatcher.set_aside = 2
    tell_of(dispatcher, health)
    told = health.subsystems["dispatcher"]
    assert (told.state, told.detail.partition(" could")[0]) == ("degraded", "2 events")
    assert health.is_ready
    log.close()
