"""An agent on each transport: the same capabilities, well and badly, in the way that the transport has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn
from rookery import Agent
from rookery.bus import Bus
from rookery.handlers.agent import Task
from rookery.handlers.transports import Endpoint, Transports
from rookery.tests.ports import vacant_port
from starlette.types import ASGIApp, Receive, Scope, Send

from .official_a2a_agent import OfficialAgent

HERE = Path(__file__).parent
LARGE = "x" * 1_100_000


class Reached(NamedTuple):
    """Where an agent is, and where none is. `says_no`: it can say that it has no such capability."""

    transports: Transports
    endpoint: Endpoint
    absent: Endpoint
    says_no: bool = True


def program(name: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-S", str(HERE / f"{name}.py"), *arguments])


def is_alive(pid: int) -> bool:
    """Whether there is such a process, zombies left out."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def served(app: ASGIApp, lifespan: str = "off", port: int = 0) -> AsyncIterator[str]:
    """The application on a free port of this machine; its URL."""
    # asyncio turns Nagle's algorithm off only where the protocol is named.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, lifespan=lifespan, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


async def until_nobody_runs(pattern: str) -> None:
    """Wait until no process has that in its command line: what was killed takes a moment to go."""
    while True:
        looking = await asyncio.create_subprocess_exec("pgrep", "-f", "--", pattern, stdout=asyncio.subprocess.PIPE)
        if not (await looking.communicate())[0]:
            return
        await asyncio.sleep(0.01)


class RestAgent:
    """What a REST agent answers; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["method"] == "HEAD":
            await self._answer(send, 405, b"")
            return
        task = json.loads(body)
        self.asked.append(({name.decode(): value.decode() for name, value in scope["headers"]}, task))
        match task["capability"]:
            case "echo":
                await self._answer(send, 200, json.dumps(task["input"]).encode())
            case "fail":
                await self._answer(send, 500, json.dumps({"detail": "the disk\nis full"}).encode())
            case "busy":
                await self._answer(send, 429, b"later, please")
            case "hang":
                while (await receive())["type"] != "http.disconnect":
                    pass
            case "large":
                await self._answer(send, 200, json.dumps(LARGE).encode())
            case "nonsense":
                await self._answer(send, 200, b"<html>Starting up ...</html>")
            case "away":
                await self._answer(send, 302, b"", [(b"location", b"http://127.0.0.1:1/")])
            case _:
                await self._answer(send, 404, b'{"detail": "no such capability"}')

    async def _answer(self, send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]] = []) -> None:  # noqa: B006
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": status, "headers": [length, *headers]})
        await send({"type": "http.response.body", "body": body})


async def do_what_is_in(folder: Path) -> None:
    """A file agent."""
    while True:
        for path in folder.glob("*.json"):
            name = path.name.removesuffix(".json")
            if "." in name or (folder / f"{name}.taken").exists():
                continue
            (folder / f"{name}.taken").touch()
            task = json.loads(path.read_text())
            match task["capability"]:
                case "echo":
                    put(folder / f"{name}.result.json", json.dumps({"result": task["input"]}))
                case "fail":
                    put(folder / f"{name}.error.json", json.dumps({"error": "the disk\nis full"}))
                case "large":
                    put(folder / f"{name}.result.json", json.dumps({"result": LARGE}))
                case "nonsense":
                    put(folder / f"{name}.result.json", "Starting up ...")
                case "neither":
                    put(folder / f"{name}.result.json", "{}")
                case "hang":
                    pass
                case unknown:
                    put(folder / f"{name}.error.json", json.dumps({"error": f"no {unknown}"}))
        await asyncio.sleep(0.01)


def put(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}")
    beside.write_text(text)
    os.replace(beside, path)


def kit_agent() -> Agent:
    agent = Agent("echoer", ["echo", "fail", "hang", "large"], attempts_max=1, drain_seconds=0)

    @agent.on("echo")
    async def echo(task: Task) -> Any:
        return task.input

    @agent.on("fail")
    async def fail(task: Task) -> None:
        raise RuntimeError("the disk\nis full")

    @agent.on("hang")
    async def hang(task: Task) -> None:
        await asyncio.sleep(3600)

    @agent.on("large")
    async def large(task: Task) -> str:
        return LARGE

    return agent


@asynccontextmanager
async def _rest(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    with vacant_port() as port:
        async with served(RestAgent()) as url:
            absent = Endpoint.of("rest", f"http://127.0.0.1:{port}/tasks")
            yield Reached(transports, Endpoint.of("rest", f"{url}/tasks"), absent)


@asynccontextmanager
async def _rpc(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    yield Reached(transports, Endpoint.of("rpc", program("rpc_agent")), Endpoint.of("rpc", "/nowhere/agent --now"))


@asynccontextmanager
async def _mcp(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    yield Reached(transports, Endpoint.of("mcp", program("mcp_agent")), Endpoint.of("mcp", "/nowhere/server"))


@asynccontextmanager
async def _file(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    at_work = asyncio.create_task(do_what_is_in(tmp_path))
    absent = Endpoint.of("file", str(tmp_path / "nowhere"))
    yield Reached(transports, Endpoint.of("file", str(tmp_path)), absent, says_no=False)
    at_work.cancel()
    await asyncio.wait([at_work])


@asynccontextmanager
async def _nats(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    async with kit_agent().serving(bus):
        yield Reached(transports, Endpoint.of("nats", "echoer"), Endpoint.of("nats", "nobody"), says_no=False)


@asynccontextmanager
async def _a2a(transports: Transports, tmp_path: Path, bus: Bus) -> AsyncIterator[Reached]:
    agent = OfficialAgent()
    with vacant_port() as port:
        async with served(agent) as agent.url:
            absent = Endpoint.of("a2a", f"http://127.0.0.1:{port}/a2a")
            yield Reached(transports, Endpoint.of("a2a", f"{agent.url}/a2a"), absent)


WAYS = {"a2a": _a2a, "rest": _rest, "rpc": _rpc, "mcp": _mcp, "file": _file, "nats": _nats}


@pytest.fixture
async def transports(memory_bus: Bus) -> AsyncIterator[Transports]:
    async with Transports(memory_bus) as transports:
        yield transports


@pytest.fixture(params=WAYS)
async def reached(
    request: pytest.FixtureRequest, transports: Transports, tmp_path: Path, memory_bus: Bus
) -> AsyncIterator[Reached]:
    """An agent on each transport in turn."""
    async with WAYS[request.param](transports, tmp_path, memory_bus) as reached:
        yield reached
