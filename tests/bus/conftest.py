"""Both buses, and a wire between the bus and its server that a test can cut, or make deaf in one direction."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from rookery.bus import Bus, NatsBus
from rookery.bus.connection import servers_in
from rookery.ops.nats_server import NatsServer
from rookery.ops.settings import Settings
from rookery.ops.topology import sites, write_cluster
from rookery.tests.sites import Servers, free_addresses

# Of JetStream, whose answers wait for the disk: nats-py's own half a second is nothing that anybody promises.
ANSWER_SECONDS_MAX = 20.0


async def asked(client: Client, subject: str, question: object = None) -> dict[str, Any]:
    """What JetStream's API answers."""
    payload = b"" if question is None else json.dumps(question).encode()
    answer = await client.request(f"$JS.API.{subject}", payload, timeout=ANSWER_SECONDS_MAX)
    found: dict[str, Any] = json.loads(answer.data)
    return found


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


@pytest.fixture
def bus(request: pytest.FixtureRequest) -> Bus:
    """Each bus in turn, for the contract suite."""
    found: Bus = request.getfixturevalue(request.param)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The contract suite runs over both buses; over a cluster what matters most there, or, when asked, all of it."""
    if "bus" in metafunc.fixturenames:
        buses = ["memory_bus", "nats_bus"]
        everything = os.environ.get("ROOKERY_TEST_CLUSTER") == "all"
        if everything or metafunc.definition.get_closest_marker("on_cluster"):
            buses.append("cluster_bus")
        metafunc.parametrize("bus", buses, indirect=True)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Three nats-servers, configured as `rookery topology cluster` does it (5 s until they have a leader)."""
    folder = tmp_path_factory.mktemp("cluster")
    addresses = free_addresses(3)
    write_cluster(folder, "colony", sites([f"{name}={at}" for name, at in zip("abc", addresses, strict=True)]), [])
    servers = Servers(folder, "abc")
    servers.start()
    yield servers
    servers.close()


@pytest.fixture
async def cluster_bus(cluster: Servers) -> AsyncIterator[NatsBus]:
    """The bus on the cluster, where all is kept by three servers; the cluster is left empty, and whole."""
    async with await connected(cluster) as bus:
        yield bus
    cluster.start()
    await empty(cluster)
    gc.collect()  # what nats-py left of its attempts at servers that were gone closes while there is a loop for it


async def connected(servers: Servers, **options: Any) -> NatsBus:
    """A bus on the cluster, once the servers agree who leads."""
    folder = servers.folder / "colony"
    url = Settings.load(environment={}, folder=folder).nats_url
    assert url is not None
    return await NatsBus.connect(
        url, credentials=folder / "keys" / "node.nk", replicas=3, timeout_seconds=60, **options
    )


async def empty(servers: Servers) -> None:
    """Delete every stream."""
    folder = servers.folder / "colony"
    urls = servers_in(Settings.load(environment={}, folder=folder).nats_url or "")
    client = await nats.connect(urls, nkeys_seed=str(folder / "keys" / "node.nk"))
    context = client.jetstream(timeout=30)
    for info in await context.streams_info():
        await context.delete_stream(info.config.name)
    await client.close()
