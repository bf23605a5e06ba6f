"""A bridged agent is at work like any other: its tasks are attempts, its failures are tried again, its death shows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rookery import Colony
from rookery.bus import Bus, CommandRefused, NoResponder
from rookery.handlers.agent import InvalidAgent, NameTaken, TaskFailed
from rookery.handlers.fleet import AGENTS, AgentGone, Register, Unregister
from rookery.handlers.fleet.beats import fence_subject, probe_subject
from rookery.handlers.fleet.registry import HEARTBEAT_SECONDS_MIN
from rookery.handlers.reactions import Command, CommandData, Decider
from rookery.handlers.transports import Bridge, Endpoint, InvalidEndpoint, Transports, registration
from rookery.schemas import AgentRegistered
from rookery.tests.ports import vacant_port
from starlette.types import Receive, Scope, Send

from ..agent.conftest import events_on
from .conftest import RestAgent, is_alive, program, served

RPC = Endpoint.of("rpc", program("rpc_agent"))


@asynccontextmanager
async def bridged(
    bus: Bus, transports: Transports, endpoint: Endpoint, *capabilities: str, heartbeat_seconds: float | None = None
) -> AsyncIterator[Bridge]:
    """With a short interval the endpoint is asked often, and on a busy machine may fail to answer within it."""
    told = registration(endpoint, capabilities, name="Bridged", role="tester")
    if heartbeat_seconds is not None:
        told = msgspec.structs.replace(told, heartbeat_interval_seconds=heartbeat_seconds)
    bridge = Bridge("bridged", told, transports)
    running = asyncio.create_task(bridge.run(bus))
    try:
        yield bridge
    finally:
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled(), running.exception()


@pytest.fixture
def colony(memory_bus: Bus) -> Colony:
    return Colony(memory_bus, name="test")


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def test_its_tasks_are_done_in_its_name_and_told_of(
    memory_bus: Bus, transports: Transports, colony: Colony
) -> None:
    async with bridged(memory_bus, transports, RPC, "task", "echo"):
        first = await colony.assign("task", {"a": 1}, id="as-1", timeout_seconds=30)
        told = await colony.result(first)
        named = await colony.assign("echo", "by name", agent_id="bridged")
        assert await colony.result(named) == "by name"
    assert (told["id"], told["input"], told["agent_id"], told["attempt"]) == ("as-1", {"a": 1}, "bridged", 1)
    assert 0 < told["timeout_seconds"] <= 30
    (registered,) = await events_on(memory_bus, "agent.registered")
    data = registered.payload()
    assert isinstance(data, AgentRegistered)
    assert (data.name, data.role, data.transport, data.endpoint) == ("Bridged", "tester", "rpc", RPC.address)
    ended = (await events_on(memory_bus, "run.completed"))[0]
    assert ended.traceparent
    assert told["traceparent"].split("-")[1] == ended.traceparent.split("-")[1]


async def test_a_failure_is_tried_again_and_a_refusal_is_not(
    memory_bus: Bus, transports: Transports, colony: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.handlers.transports.bridge.RETRY_SECONDS", 0.0)
    async with bridged(memory_bus, transports, RPC, "die", "fly"):
        with pytest.raises(TaskFailed, match="out of cheese"):
            await colony.result(await colony.assign("die", id="as-die"))
        with pytest.raises(TaskFailed, match="no method fly"):
            await colony.result(await colony.assign("fly", id="as-fly"))
    runs = [event.payload() for event in await events_on(memory_bus, "run.started")]
    tried = [run.assignment_id for run in runs]  # type: ignore[attr-defined]
    assert (tried.count("as-die"), tried.count("as-fly")) == (3, 1)


async def test_a_task_that_takes_too_long_is_let_go_of(memory_bus: Bus, transports: Transports, colony: Colony) -> None:
    async with bridged(memory_bus, transports, RPC, "hang"):
        with pytest.raises(TaskFailed, match="not done in its time"):
            await colony.result(await colony.assign("hang", timeout_seconds=0.2))


async def test_it_is_at_work_only_while_its_endpoint_answers(
    memory_bus: Bus, transports: Transports, colony: Colony
) -> None:
    async def registrations() -> int:
        return len(await events_on(memory_bus, "agent.registered"))

    with vacant_port() as port:
        endpoint = Endpoint.of("rest", f"http://127.0.0.1:{port}/tasks")
        async with bridged(memory_bus, transports, endpoint, "echo", heartbeat_seconds=0.1) as bridge:
            await until(lambda: "can't be reached" in bridge.reason)
            waiting = await colony.assign("echo", "later")
            assert await registrations() == 0
            async with served(RestAgent(), port=port):
                assert await colony.result(waiting) == "later"
                await until(lambda: bridge.is_reached)
            await until(lambda: "can't be reached" in bridge.reason)
            before, again = await registrations(), await colony.assign("echo", "again")
            async with served(RestAgent(), port=port):
                assert await colony.result(again) == "again"
        assert await registrations() > before > 0
    assert await events_on(memory_bus, "agent.unregistered") == []


class Busy(RestAgent):
    """It does one thing at a time: while it is at a task, or stuck, it answers nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_after = 0
        self.is_stuck = False
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD" and self.is_stuck:
            self.asked_after += 1
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if scope["method"] == "POST":
            self.is_stuck = True
            await self.may_end.wait()
        await super().__call__(scope, receive, send)


async def test_one_that_is_too_busy_to_answer_is_alive_for_as_long_as_it_has_a_task(
    memory_bus: Bus, transports: Transports, colony: Colony
) -> None:
    agent = Busy()
    async with (
        served(agent) as url,
        bridged(memory_bus, transports, Endpoint.of("rest", url), "echo", heartbeat_seconds=0.1) as bridge,
    ):
        task = await colony.assign("echo", "at last")
        await until(lambda: agent.is_stuck)
        registered = await events_on(memory_bus, "agent.registered")
        await until(lambda: agent.asked_after > 2)
        assert bridge.is_reached
        agent.may_end.set()
        assert await colony.result(task) == "at last"
        await until(lambda: not bridge.is_reached)
    assert await events_on(memory_bus, "agent.registered") == registered


async def test_a_probe_asks_the_endpoint(memory_bus: Bus, transports: Transports) -> None:
    async with served(RestAgent()) as url:
        told = registration(Endpoint.of("rest", url), ["echo"], name="Bridged")
        running = asyncio.create_task(Bridge("bridged", told, transports).run(memory_bus))
        while True:  # until it is at work
            with contextlib.suppress(NoResponder):
                await memory_bus.request(probe_subject("bridged"), b"")
                break
            await asyncio.sleep(0.01)
    with pytest.raises(CommandRefused, match="can't be reached"):
        await memory_bus.request(probe_subject("bridged"), b"")
    running.cancel()
    await asyncio.wait([running])


async def test_a_bridge_that_ends_leaves_no_process(memory_bus: Bus, transports: Transports, colony: Colony) -> None:
    async with bridged(memory_bus, transports, RPC, "pid"):
        pid = (await colony.result(await colony.assign("pid")))["pid"]
        assert is_alive(pid)
    assert not is_alive(pid)


async def test_two_bridges_of_one_agent_are_one_agent(memory_bus: Bus, colony: Colony) -> None:
    async with Transports() as one, Transports() as two, bridged(memory_bus, one, RPC, "echo") as first:
        await until(lambda: first.is_reached)
        assert await colony.result(await colony.assign("echo", 1)) == 1
        async with bridged(memory_bus, two, RPC, "echo") as second:
            await until(lambda: "at work already" in second.reason)
            assert not second.is_reached


@pytest.mark.parametrize("command", [Unregister(), Register(name="another", again=True)])
async def test_one_that_is_struck_off_or_registered_otherwise_is_not_brought_back(
    memory_bus: Bus, transports: Transports, command: CommandData
) -> None:
    registry = Decider(memory_bus, AGENTS, source="/people/operator")
    bridge = Bridge("bridged", registration(RPC, ["echo"], name="Bridged"), transports)
    running = asyncio.create_task(bridge.run(memory_bus))
    await until(lambda: bridge.is_reached)
    while (await registry.look("bridged"))[0].state != "alive":
        await asyncio.sleep(0.01)
    await registry.handle(Command.of(command, subject="bridged", source="/people/operator"))
    await memory_bus.send(fence_subject("bridged"), b"")  # as the node's watch does
    with pytest.raises((AgentGone, NameTaken)):
        await running
    assert not bridge.is_reached
    state = (await registry.look("bridged"))[0]
    assert (state.state, state.incarnation) in (("unregistered", 1), ("alive", 2))


def test_what_cannot_be_bridged_says_why(tmp_path: Path) -> None:
    with pytest.raises(InvalidEndpoint):
        Bridge("b", AgentRegistered(name="b", transport="rest", capabilities=["echo"]), Transports())
    with pytest.raises(InvalidAgent, match="capabilities"):
        Bridge("b", AgentRegistered(name="b", transport="file", endpoint=str(tmp_path)), Transports())


def test_one_that_says_it_beats_all_the_time_is_asked_no_more_often_than_agents_may_beat() -> None:
    told = msgspec.structs.replace(registration(RPC, ["echo"], name="Bridged"), heartbeat_interval_seconds=1e-6)
    bridge = Bridge("bridged", told, Transports())
    assert bridge._profile.heartbeat_seconds == HEARTBEAT_SECONDS_MIN
    assert bridge.is_of(told)
