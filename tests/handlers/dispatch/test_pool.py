"""The local pool does with commands what is given to it by name, and takes nothing that is for anybody."""

from __future__ import annotations

import sys

import pytest
from rookery import Colony, TaskFailed
from rookery.bus import MemoryBus
from rookery.handlers.dispatch import POOL, CommandUnusable, commands_in, pool_of

from .conftest import nothing_waits

PYTHON = f"{sys.executable} -c"
COMMANDS = commands_in(
    (
        f"count={PYTHON} 'import json, sys; print(len(json.load(sys.stdin)))'",
        f"shout={PYTHON} 'import sys; print(sys.stdin.read().upper())'",
        f"fail={PYTHON} 'import sys; sys.exit(\"no such path\")'",
        "gone=/nowhere/at-all",
    )
)


async def result(capability: str, given: object) -> object:
    async with MemoryBus() as bus, pool_of(COMMANDS).serving(bus):
        colony = Colony(bus, name="test")
        return await colony.result(await colony.assign(capability, given, agent_id=POOL))


async def test_a_command_gets_the_input_as_json_and_what_it_prints_is_the_result() -> None:
    assert await result("count", [1, 2, 3]) == 3
    assert await result("shout", "four") == "FOUR"


@pytest.mark.parametrize(("capability", "reason"), [("fail", "no such path"), ("gone", "can't be started")])
async def test_a_command_that_fails_says_why(capability: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.handlers.agent.attempt.RETRY_SECONDS_MAX", 0.01)
    with pytest.raises(TaskFailed, match=reason):
        await result(capability, None)


async def test_it_takes_nothing_that_is_for_anybody() -> None:
    async with MemoryBus() as bus, pool_of(COMMANDS).serving(bus):
        await Colony(bus, name="test").assign("count", [1])
        assert not await nothing_waits(bus, "count")


@pytest.mark.parametrize("wrong", ["count=", "count='"])
def test_what_is_no_command_is_refused(wrong: str) -> None:
    with pytest.raises(CommandUnusable, match="count"):
        commands_in((wrong,))
