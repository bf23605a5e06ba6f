"""Hosts on this machine that answer as a test says: agents, and such as only say that they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest

Answer = tuple[int, dict[str, str], bytes]


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Host:
    """A host on a free port. `routes` says what it answers, by the beginning of the path, the first that fits."""

    def __init__(self) -> None:
        self.routes: dict[str, Answer | Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, path: str, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.routes[path] = (status, headers, body)

    def serve_agent(self, path: str = "/a2a") -> None:
        """An agent that has no task, at `path`."""

        def answer(asked: Asked) -> Answer:
            error = {"code": -32001, "message": "Task not found"}
            return 200, {}, json.dumps({"jsonrpc": "2.0", "id": json.loads(asked.body)["id"], "error": error}).encode()

        self.routes[path] = answer

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        asked = Asked(method, path, headers, body)
        self.asked.append(asked)
        fitting = [answer for beginning, answer in self.routes.items() if path.startswith(beginning)]
        found = fitting[0] if fitting else (404, {}, b"<html>nobody</html>")
        status, more, content = found if isinstance(found, tuple) else found(asked)
        more = {"content-length": str(len(content)), "connection": "close"} | more
        told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{told}\r\n".encode() + content)
        writer.close()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    found = Host()
    server = await asyncio.start_server(found.handle, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    async with server:
        yield found


@pytest.fixture
def card(host: Host) -> dict[str, Any]:
    """What an honest agent at `host` says of itself."""
    return {
        "name": "Painter",
        "description": "Paints.",
        "version": "3",
        "supportedInterfaces": [
            {"url": f"{host.url}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
        ],
        "capabilities": {"streaming": True},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["image/png"],
        "skills": [{"id": "paint.portrait", "name": "Portraits", "description": "Paints a face.", "tags": ["paint"]}],
    }
