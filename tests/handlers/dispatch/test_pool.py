"""The local pool does with commands what is given to it by name, and what waits for anybody while nobody else can."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rookery import Colony, TaskFailed
from rookery.bus import MemoryBus
from rookery.handlers.dispatch import POOL, CommandUnusable, commands_in, pool_of, serve_pool

from .conftest import ABLE, EXPIRED, LINT, nothing_waits, take
from .conftest import Colony as World

PYTHON = f"{sys.executable} -c"
COMMANDS = commands_in(
    (
        f"count={PYTHON} 'import json, sys; print(len(json.load(sys.stdin)))'",
        f"shout={PYTHON} 'import sys; print(sys.stdin.read().upper())'",
        f"fail={PYTHON} 'import sys; sys.exit(\"no such path\")'",
        "gone=/nowhere/at-all",
        "babble=yes",
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


async def test_a_command_that_prints_without_an_end_fails_and_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.handlers.agent.attempt.RETRY_SECONDS_MAX", 0.01)
    with pytest.raises(TaskFailed, match="printed more than the 262,144 bytes"):
        await result("babble", None)


async def test_a_command_whose_time_is_up_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Who writes to a pipe holds it open for as long as it lives."""
    pipe = tmp_path / "held"
    os.mkfifo(pipe)
    commands = {"wait": ["sh", "-c", f"exec 3>{pipe}; sleep 30; true"]}
    let_go = asyncio.create_task(asyncio.to_thread(pipe.read_bytes))
    async with MemoryBus() as bus, pool_of(commands).serving(bus):
        colony = Colony(bus, name="test")
        given = await colony.assign("wait", agent_id=POOL, timeout_seconds=0.5)
        with pytest.raises(TaskFailed, match="not done in its time"):
            await colony.result(given)
        async with asyncio.timeout(20):
            assert await asyncio.shield(let_go) == b""


async def test_by_itself_it_takes_nothing_that_is_for_anybody() -> None:
    async with MemoryBus() as bus, pool_of(COMMANDS).serving(bus):
        await Colony(bus, name="test").assign("count", [1])
        assert not await nothing_waits(bus, "count")


@pytest.fixture
async def standing_in(colony: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The pool beside the dispatcher, which knows of one agent."""
    monkeypatch.setattr("rookery.handlers.dispatch.pool.LOOK_SECONDS", 0.01)
    await colony.happen(ABLE, "a")
    await colony.act()
    assert colony.dispatcher
    serving = asyncio.create_task(serve_pool(colony.bus, {"lint": [sys.executable, "-c", ""]}, colony.dispatcher))
    yield
    serving.cancel()
    await asyncio.wait([serving])


@pytest.mark.usefixtures("standing_in")
class TestStandingIn:
    async def test_what_waits_when_the_last_who_could_do_it_dies_is_done(self, colony: World) -> None:
        await colony.give(LINT)
        await colony.act()
        await asyncio.sleep(0.05)
        assert colony.told("assignment.started") == []
        await colony.happen(EXPIRED, "a")
        [done] = await colony.until_told("assignment.completed")
        assert (done.subject, done.source) == ("as-1", f"/agents/{POOL}")

    async def test_once_somebody_can_it_takes_no_more(self, colony: World) -> None:
        await colony.happen(EXPIRED, "a")
        await colony.give(LINT)
        await colony.until_told("assignment.completed")
        await colony.happen(ABLE, "b")
        await colony.act()
        while any("stand in at" in task.get_name() for task in asyncio.all_tasks()):
            await asyncio.sleep(0.005)
        await colony.give(LINT, "as-2")
        await asyncio.sleep(0.05)
        assert (await take(colony.bus)).event.subject == "as-2"


@pytest.mark.parametrize("wrong", ["count=", "count='"])
def test_what_is_no_command_is_refused(wrong: str) -> None:
    with pytest.raises(CommandUnusable, match="count"):
        commands_in((wrong,))
