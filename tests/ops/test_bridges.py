"""A node bridges the agents that registered with an endpoint which its settings allow, and no others."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rookery.bus import MemoryBus
from rookery.eventstore import LogDamaged
from rookery.handlers.fleet import AGENTS, Register
from rookery.handlers.fleet.beats import fence_subject
from rookery.handlers.reactions import Command
from rookery.handlers.transports import Endpoint
from rookery.ops.bench.node_process import node_process
from rookery.ops.bridges import LOOK_SECONDS, Bridges, allows
from rookery.ops.client import Client
from rookery.ops.data_folder import DataFolder
from rookery.ops.health import Health
from rookery.ops.node import running_node
from rookery.ops.settings import Settings
from rookery.projections import Folded

from ..handlers.transports.conftest import HERE, is_alive, program

RPC = program("rpc_agent")


@pytest.mark.parametrize(
    ("allowed", "transport", "address", "is_allowed"),
    [
        ("http://h:1/tasks", "rest", "http://h:1/tasks", True),
        ("http://h:1/tasks", "rest", "http://h:1/tasks/2", False),
        ("http://h:1/*", "rest", "http://h:1/tasks/2", True),
        ("http://h:1/*", "mcp", "http://h:1/mcp", True),
        ("http://h:1/*", "rest", "http://h:11/tasks", False),
        ("http://h/*", "rest", "http://h.evil.example/tasks", False),
        ("http://h:1/a/*", "rest", "http://h:1/a/../admin", False),
        ("http://h:1/a/*", "rest", "http://h:1/a/%2e%2e/admin", False),
        ("python /srv/*", "rpc", "python /srv/agent.py", False),
        ("python /srv/agent.py", "rpc", "python /srv/agent.py", True),
        ("python /srv/agent.py", "rpc", "python /srv/agent.py --steal", False),
        ("/srv/tasks", "file", "/srv/tasks", True),
        ("/srv/*", "file", "/srv/tasks", False),
    ],
)
def test_only_what_is_listed_is_invoked(allowed: str, transport: str, address: str, is_allowed: bool) -> None:
    assert allows([allowed], Endpoint.of(transport, address)) == is_allowed


class FailingOnce(Bridges):
    """Bridges whose first look fails, and whose second waits to be let go on."""

    def __init__(self, node: Any, error: Exception) -> None:
        super().__init__(node, [RPC])
        self.looks = 0
        self.go_on = asyncio.Event()
        self._error = error

    async def _look(self) -> None:
        self.looks += 1
        if self.looks == 1:
            raise self._error
        await self.go_on.wait()


@pytest.mark.parametrize(
    "error", [LogDamaged(Path("log"), "a line is torn", "restore it"), OSError("no such disk"), KeyError("agent_id")]
)
async def test_a_look_that_fails_is_told_and_is_not_the_last(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.bridges.LOOK_SECONDS", 0)
    monkeypatch.setattr("rookery.ops.bridges.LOOK_SECONDS_MAX", 0)
    still = SimpleNamespace(vector=dict[str, int])
    async with MemoryBus() as bus, asyncio.timeout(20):
        node = SimpleNamespace(bus=bus, growth=asyncio.Event(), projections=still, log=still)
        bridges, health = FailingOnce(node, error), Health()
        running = asyncio.create_task(bridges.run())
        while bridges.looks < 2 and not running.done():
            await asyncio.sleep(0)
        bridges.tell(health)
        told = health.subsystems["bridges"]
        assert (running.done(), told.state) == (False, "degraded")
        assert str(error) in told.detail
        assert health.is_ready, "a node can do without"
        bridges.go_on.set()
        while health.subsystems["bridges"].state != "ready":
            await asyncio.sleep(0)
            bridges.tell(health)
        running.cancel()
        await asyncio.wait([running])


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that isn't there until a test puts it there."""
    return tmp_path_factory.mktemp("mortal") / "agent.py"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, mortal: Path) -> Iterator[Client]:
    allowed = f"--bridges={RPC};{command_of(mortal)}"
    with node_process(tmp_path_factory.mktemp("node"), allowed) as node, Client(node.node.url) as client:
        yield client


def command_of(script: Path) -> str:
    return shlex.join([sys.executable, "-S", str(script)])


def told(client: Client, path: str, body: dict[str, Any]) -> Any:
    return client.post(path, msgspec.json.encode(body))


def register(client: Client, agent_id: str, endpoint: str, **more: Any) -> None:
    particulars = {"agent_id": agent_id, "name": agent_id, "transport": "rpc", "endpoint": endpoint}
    told(client, "/agents", particulars | {"heartbeat_interval_seconds": 0.5, **more})


def done(client: Client, **wanted: Any) -> Any:
    given = told(client, "/assignments", wanted)
    return client.get(f"/assignments/{given['assignment_id']}", wait_seconds=30)


def until(condition: Any) -> None:
    while not condition():
        time.sleep(0.05)


def test_a_registered_agent_is_at_work_until_it_is_struck_off(client: Client) -> None:
    register(client, "linter", RPC, capabilities=["pid", "echo"], metadata={"team": "tools"}, role="linter")
    first = done(client, capability="pid", agent_id="linter")
    assert (first["status"], first["agent_id"]) == ("completed", "linter")
    again = done(client, capability="pid")
    assert again["result"] == first["result"]
    until(lambda: client.get("/agents/linter")["state"] == "alive")  # a beat that is late makes a suspect for a moment
    agent = client.get("/agents/linter")
    assert (agent["endpoint"], agent["role"]) == (RPC, "linter")
    assert agent["metadata"] == {"team": "tools"}
    client.delete("/agents/linter")
    until(lambda: not is_alive(first["result"]["pid"]))


def test_one_that_cannot_be_reached_is_declared_dead_and_lives_again_when_it_can(client: Client, mortal: Path) -> None:
    shutil.copy(HERE / "rpc_agent.py", mortal)
    register(client, "mortal", command_of(mortal), capabilities=["pid", "die"])
    first = done(client, capability="pid", agent_id="mortal")
    mortal.unlink()
    os.kill(first["result"]["pid"], signal.SIGKILL)
    until(lambda: client.get("/agents/mortal")["state"] == "expired")
    until(lambda: "mortal: rpc agent" in client.get("/health")["subsystems"]["bridges"]["detail"])
    waiting = told(client, "/assignments", {"capability": "pid"})
    shutil.copy(HERE / "rpc_agent.py", mortal)
    second = client.get(f"/assignments/{waiting['assignment_id']}", wait_seconds=30)
    assert second["status"] == "completed"
    until(lambda: client.get("/agents/mortal")["state"] == "alive")
    client.delete("/agents/mortal")


def test_changing_it_changes_what_it_is_given(client: Client) -> None:
    register(client, "changing", RPC, capabilities=["echo"])
    assert done(client, capability="echo", input=1, agent_id="changing")["result"] == 1
    register(client, "changing", RPC, capabilities=["task"], again=True)
    assert done(client, capability="task", input=2)["result"]["agent_id"] == "changing"
    client.delete("/agents/changing")


async def test_what_it_is_changed_to_is_not_undone_by_who_has_not_heard_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=tmp_path, port=0, nats_port=0, bridges=(RPC,))
    with DataFolder(tmp_path) as folder:
        async with running_node(folder, settings) as node:
            catch_up, held_up = node.projections.catch_up, threading.Lock()

            def catch_up_unless_held_up() -> Folded:
                with held_up:
                    return catch_up()

            monkeypatch.setattr(node.projections, "catch_up", catch_up_unless_held_up)

            async def register(*capabilities: str, again: bool = False) -> None:
                asked = Register(capabilities=[*capabilities], transport="rpc", endpoint=RPC, again=again)
                await node.reactions.handle(AGENTS, Command.of(asked, subject="changing", source="/people/ada"))

            async def incarnation() -> int:
                return (await node.reactions.state(AGENTS, "changing")).incarnation

            await register("echo")
            while await incarnation() < 2:  # now the bridge has registered
                await asyncio.sleep(0.01)
            bridge = node.edges[1]._bridges["changing"][1]
            with held_up:
                await register("task", again=True)
                await node.bus.send(fence_subject("changing"), b"{}")  # as at its next beat
                await asyncio.wait([bridge])
                await asyncio.sleep(2 * LOOK_SECONDS)  # whoever looks meanwhile knows nothing of the change
            while await incarnation() < 4:
                await asyncio.sleep(0.01)
            told = (await node.reactions.state(AGENTS, "changing")).particulars
            assert told is not None
            assert told.capabilities == ["task"]


def test_one_that_is_declared_is_at_work_when_it_can_be(client: Client) -> None:
    agent = {
        "id": "meant",
        "name": "Meant",
        "description": "Says it again.",
        "role": "echoer",
        "capabilities": ["echo"],
    }
    agents = [agent | {"transport": "rpc", "endpoint": RPC}]
    told(client, "/agents/catalogue", {"name": "test", "version": "1", "agents": agents})
    until(lambda: client.get("/agents/meant")["state"] == "alive")
    assert done(client, capability="echo", input=1, agent_id="meant")["result"] == 1
    client.delete("/agents/meant")


def test_what_is_not_listed_is_not_started_and_health_says_so(client: Client, tmp_path: Path) -> None:
    trace = tmp_path / "started"
    register(client, "thief", f"touch {trace}", capabilities=["steal"])
    until(lambda: "thief" in client.get("/health")["subsystems"]["bridges"]["detail"])
    detail = client.get("/health")["subsystems"]["bridges"]["detail"]
    assert "is not among the node's setting `bridges`" in detail
    assert not trace.exists()
    client.delete("/agents/thief")
    until(lambda: "thief" not in client.get("/health")["subsystems"]["bridges"]["detail"])
