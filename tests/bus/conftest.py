"""Both buses, and a wire between the bus and its server that a test can cut, or make deaf in one direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from rookery.bus import Bus
from rookery.ops.nats_server import NatsServer


class Wire:
    """A TCP proxy to nats-server. `deaf`: what the server says is lost. `cut()` ends every connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connections: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.deaf = False

    @property
    def url(self) -> str:
        assert self._listener is not None
        return f"nats://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def cut(self) -> None:
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await self.cut()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as both_ways:
                both_ways.create_task(self._pump(reader, server_writer, from_server=False))
                both_ways.create_task(self._pump(server_reader, writer, from_server=True))
        except* OSError:
            pass
        finally:
            writer.close()
            server_writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, from_server: bool) -> None:
        while chunk := await source.read(65_536):
            if not (from_server and self.deaf):
                sink.write(chunk)
                await sink.drain()
        raise ConnectionResetError


@pytest.fixture
async def wire(nats_server: NatsServer) -> AsyncIterator[Wire]:
    proxy = Wire(nats_server.port)
    await proxy.open()
    yield proxy
    await proxy.close()


@pytest.fixture(params=["memory_bus", "nats_bus"])
def bus(request: pytest.FixtureRequest) -> Bus:
    """Each bus in turn, for the contract suite."""
    found: Bus = request.getfixturevalue(request.param)
    return found
