"""Declaring an agent: what can't be is refused at once, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest
from rookery import Agent, Task
from rookery.bus import MemoryBus
from rookery.handlers.agent import InvalidAgent, UnknownCapability


@pytest.mark.parametrize("name", ["", "a/b", "two words", "naïve", "x" * 129, "line\nbreak"])
def test_a_name_that_no_event_can_carry_is_refused(name: str) -> None:
    with pytest.raises(InvalidAgent, match="visible ASCII"):
        Agent(name, ["code.review"])


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"concurrency": 0}, "concurrency is from 1 to 1000, not 0"),
        ({"heartbeat_seconds": 0}, "heartbeat_seconds"),
        ({"drain_seconds": -1}, "drain_seconds"),
        ({"attempts_max": 21}, "attempts_max is from 1 to 20"),
        ({"retry_seconds": float("nan")}, "retry_seconds"),
    ],
)
def test_a_bound_out_of_bounds_is_refused(bounds: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidAgent, match=said):
        Agent("coder-7", ["code.review"], **bounds)


@pytest.mark.parametrize("capabilities", [[], ["x" * 257], ["a\tb"], [""]])
def test_capabilities_have_names(capabilities: list[str]) -> None:
    with pytest.raises(InvalidAgent):
        Agent("coder-7", capabilities)


def test_an_unknown_capability_is_refused_with_the_nearest() -> None:
    agent = Agent("coder-7", ["code.review", "code.write"])
    with pytest.raises(UnknownCapability, match=r"did you mean 'code\.review'\? \(it has: code\.review, code\.write\)"):
        agent.on("code.reveiw")


def test_a_capability_has_one_function() -> None:
    agent = Agent("coder-7", ["code.review"])
    agent.on("code.review")(lambda task: None)
    with pytest.raises(InvalidAgent, match="two functions"):
        agent.on("code.review")


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    agent = Agent("coder-7", ["code.review"])

    @agent.on("code.review", timeout_seconds=5)
    async def review(task: Task) -> str:
        return task.id

    assert review.__name__ == "review"


@pytest.mark.parametrize("timeout_seconds", [0, -1, float("inf"), float("nan")])
def test_a_handlers_timeout_is_a_time(timeout_seconds: float) -> None:
    with pytest.raises(InvalidAgent, match="timeout_seconds"):
        Agent("coder-7", ["code.review"]).on("code.review", timeout_seconds=timeout_seconds)


async def test_a_capability_without_a_function_is_refused_before_anything_is_published(memory_bus: MemoryBus) -> None:
    agent = Agent("coder-7", ["code.review", "code.write"])
    agent.on("code.review")(lambda task: None)
    with pytest.raises(InvalidAgent, match=r"no function for code\.write"):
        await agent.serve(memory_bus)
    assert (await memory_bus.state()).messages == 0


def test_the_bus_is_the_one_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOKERY_NATS_URL", "nats://elsewhere:4222")
    assert Agent("coder-7", ["x"]).nats_url == "nats://elsewhere:4222"
    assert Agent("coder-7", ["x"], nats_url="nats://here:4222").nats_url == "nats://here:4222"
    monkeypatch.delenv("ROOKERY_NATS_URL")
    assert Agent("coder-7", ["x"]).nats_url == "nats://127.0.0.1:4222"
