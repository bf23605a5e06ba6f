"""Every way to reach a peer gives the same answers: one suite, over HTTP and NATS, on one running node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from rookery.eventstore import Log
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.ops.syncing import HttpPeer, LogPeer, NatsPeer, Peer, PeerRefused, PeerUnreachable, Pull
from rookery.schemas import InvalidInput, encode

SEGMENT_EVENTS = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(folder: Path) -> Iterator[NodeProcess]:
    """A node with some sealed segments, and some lines more."""
    with (
        node_process(folder, f"--segment-events-max={SEGMENT_EVENTS}") as running,
        Client(running.node.url) as client,
    ):
        client.publish([encode(event) for event in workload.events(350)])
        while client.get("/hobby/archive")["origins"]["local"]["hot"]["segments"] < 3:
            pass
        yield running


@pytest.fixture
def there(node: NodeProcess, folder: Path) -> Iterator[LogPeer]:
    """What the node has, read from its folder."""
    with Log.open(folder / "log", writable=False) as log:
        yield LogPeer(log, own="local")


@pytest.fixture(params=["http", "nats"])
async def peer(request: pytest.FixtureRequest, node: NodeProcess) -> AsyncIterator[Any]:
    """The node, as another one reaches it."""
    found = HttpPeer(node.node.url) if request.param == "http" else NatsPeer(f"{node.node.nats_url}/local")
    async with aclosing(found):
        yield found


async def test_it_offers_what_the_log_has(peer: Peer, there: LogPeer) -> None:
    assert await peer.offer() == await there.offer()


async def test_it_answers_what_the_log_answers(peer: Peer, there: LogPeer) -> None:
    assert await peer.chains("local", [1, 7, 300]) == await there.chains("local", [1, 7, 300])
    for after in (0, SEGMENT_EVENTS):
        assert await peer.manifest("local", after) == await there.manifest("local", after)
        segment = await there.segment("local", after + 1, 10**6)
        assert await peer.segment("local", after + 1, len(segment)) == segment
    for after, up_to in ((0, 10), (95, 120), (SEGMENT_EVENTS, 300)):
        assert await peer.lines("local", after, up_to) == await there.lines("local", after, up_to)


async def test_what_it_does_not_have_it_refuses(peer: Peer) -> None:
    for question in (
        peer.chains("local", [10**6]),
        peer.segment("local", 2, 10**6),
        peer.lines("elsewhere", 0, 10),
    ):
        with pytest.raises(PeerRefused):
            await question


async def test_a_log_that_pulls_from_it_gets_the_same_files(peer: Peer, folder: Path, tmp_path: Path) -> None:
    with Log.open(tmp_path / "here", own=()) as here:
        pulled = await Pull(here, peer, ()).run()
        assert pulled.wrong == []
        assert pulled.segments >= 3
        for path in (folder / "log" / "local").glob("*.zst"):
            assert (tmp_path / "here" / "local" / path.name).read_bytes() == path.read_bytes()
        again = await Pull(here, peer, ()).run()
        assert (again.events, again.segments) == ({}, 0)


async def test_one_that_is_not_there_is_unreachable(node: NodeProcess) -> None:
    for peer in (HttpPeer("http://127.0.0.1:1"), NatsPeer("nats://127.0.0.1:1/local")):
        async with aclosing(peer):
            with pytest.raises(PeerUnreachable):
                await peer.offer()
    async with aclosing(NatsPeer(f"{node.node.nats_url}/nobody")) as nobody:
        with pytest.raises(PeerUnreachable, match="nobody serves"):
            await nobody.offer()


@pytest.mark.parametrize("url", ["nats://host:4222", "nats://host:4222/", "local", "ftp://host/local", "nats:///local"])
def test_what_is_no_peer_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="NODE"):
        NatsPeer(url)


async def test_a_node_can_be_had_to_pull(node: NodeProcess) -> None:
    async with aclosing(NatsPeer(f"{node.node.nats_url}/local")) as peer:
        pulled, other = await asyncio.gather(peer.have_it_pull("nats:///local"), peer.offer())
        assert (pulled.events, pulled.wrong, pulled.peer) == ({}, [], "nats:///local")
        assert other.own == "local"
