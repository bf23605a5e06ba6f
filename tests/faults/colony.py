"""A node and its nats-server as processes of their own, which can be killed, stopped and brought back."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from rookery.ops.data_folder import RunningNode
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer

ORIGIN = "local"
START_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 60.0
POLL_SECONDS = 0.02


class NodeGone(RuntimeError):
    """The node ended before it was ready, or did not get ready."""


def free_port() -> int:
    """A port that nobody listens on right now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


class Colony:
    """One data folder and whoever works on it. `server`: a nats-server beside the node; else it has its own.

    The ports stay the same over all lives, so that publishers find their way back.
    """

    def __init__(self, folder: Path, server: NatsServer | None = None, *options: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.server = server
        bus = [f"--nats-url={server.url}"] if server else [f"--nats-port={free_port()}"]
        self._options = [f"--data={self.data}", f"--port={free_port()}", *bus, *options]
        self._process: asyncio.subprocess.Process | None = None
        self.node: RunningNode | None = None

    @property
    def log(self) -> Path:
        """Where the log is."""
        return self.data / "log"

    @property
    def said(self) -> Path:
        """What the nodes said of themselves, one after the other."""
        return self.folder / "node.err"

    @property
    def pid(self) -> int:
        """The node's."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> RunningNode:
        """Run a node until it is ready. Raises `NodeGone`."""
        command = [sys.executable, "-m", "rookery.ops.cli", "up", "--json", *self._options]
        with self.said.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=errors, start_new_session=True
            )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise NodeGone(f"not ready within {START_SECONDS_MAX:g} s; see {self.said}") from None
        if not line:
            raise NodeGone(f"ended with {await self._process.wait()}: {self.said.read_text()[-500:]}")
        self.node = msgspec.json.decode(line, type=RunningNode)
        return self.node

    async def stop(self) -> None:
        """Ask the node to end, and end it if it doesn't."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await self._process.wait()
                return
        self._process.kill()
        await self._process.wait()

    async def server_pid(self) -> int:
        """The nats-server's, once there is one."""
        if self.server is not None:
            return self.server.pid
        while True:
            with suppress(psutil.Error):
                for child in psutil.Process(self.pid).children():
                    if child.name() == "nats-server":
                        return child.pid
            await asyncio.sleep(POLL_SECONDS)

    async def kill(self, victim: str) -> None:
        """`kill -9` the node, the nats-server, or both at once, and bring back what doesn't come back by itself."""
        assert self._process is not None
        server = await self.server_pid()
        if victim != "node":
            os.kill(server, signal.SIGKILL)
        if victim != "nats-server":
            self._process.kill()
            await self._process.wait()
        if self.server is not None and victim != "node":
            await self.server.wait()
            await self.server.restart()
        if victim != "nats-server":
            await self.start()

    async def suspend(self, victim: str, seconds: float) -> None:
        """Let the node, or the nats-server, hang for a while."""
        pid = self.pid if victim == "node" else await self.server_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    async def get(self, path: str) -> Any:
        """Ask the node; None if it doesn't answer, or is not well enough to."""
        return await self._ask("GET", path)

    async def post(self, path: str) -> Any:
        """Tell the node; None if it doesn't answer."""
        return await self._ask("POST", path)

    async def _ask(self, method: str, path: str) -> Any:
        assert self.node is not None
        async with httpx.AsyncClient(base_url=self.node.url, timeout=120, trust_env=False) as http:
            try:
                answer = await http.request(method, path)
            except httpx.TransportError:
                return None
        return answer.json() if answer.status_code < 400 else None


@asynccontextmanager
async def colony(folder: Path, *options: str, separate: bool) -> AsyncIterator[Colony]:
    """A running node, with a nats-server of its own or beside a separate one."""
    folder.mkdir(parents=True, exist_ok=True)
    server = await NatsServer.start(folder / "server", port=ANY_FREE_PORT) if separate else None
    running = Colony(folder, server, *options)
    try:
        await running.start()
        yield running
    finally:
        await running.stop()
        if server is not None:
            await server.stop()
