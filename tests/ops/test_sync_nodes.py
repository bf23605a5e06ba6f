"""Nodes as people run them: they copy over HTTP, by a bundle, and by themselves, and answer the same afterwards."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rookery.eventstore import Log
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.cli import main
from rookery.ops.client import Client
from rookery.ops.syncing import HttpPeer, PeerError, Pull
from rookery.projections import Projections
from rookery.schemas import encode

EVENTS = 700


def node(stack: ExitStack, folder: Path, name: str, *options: str) -> NodeProcess:
    return stack.enter_context(node_process(folder / name, f"--origin={name}", "--segment-events-max=200", *options))


def until(holds: Callable[[], bool]) -> None:
    while not holds():
        pass


def held_of_east(client: Client) -> Any:
    """How far a node has what east tells."""
    return client.get("/sync/vector")["origins"].get("east")


def files(folder: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "log").glob("*/*ndjson*")}
    return {name: data for name, data in sorted(found.items()) if data}


def digests(folder: Path) -> dict[str, str]:
    with Log.open(folder / "log") as log, Projections.open(folder / "projections.duckdb", log) as projections:
        projections.catch_up()
        return projections.digests()


def test_two_nodes_and_one_that_was_fed_by_a_bundle_are_the_same(tmp_path: Path) -> None:
    with ExitStack() as stack:
        east = node(stack, tmp_path, "east")
        west = node(stack, tmp_path, "west", f"--peers={east.node.url}", "--sync-seconds=0.1")
        asked = stack.enter_context(Client(east.node.url))
        also = stack.enter_context(Client(west.node.url))
        asked.publish([encode(event) for event in workload.events(EVENTS)])
        until(lambda: held_of_east(also) == held_of_east(asked))  # where sealing goes on beside
        assert also.get("/status")["subsystems"]["sync"]["state"] == "ready"
        assert b"rookery_sync_lag_events" in also.fetch("GET", "/metrics").content
        assert main(["sync", west.node.url, "--url", east.node.url]) == 0
        until(lambda: also.get("/query/runs", limit=1)["rows"] == asked.get("/query/runs", limit=1)["rows"])
    assert main(["sync", str(tmp_path / "west"), "--data", str(tmp_path / "east"), "--origin", "east"]) == 0
    assert main(["sync", str(tmp_path / "east"), "--data", str(tmp_path / "west"), "--origin", "west"]) == 0
    bundle = str(tmp_path / "all.bundle")
    assert main(["bundle", "export", bundle, "--data", str(tmp_path / "west")]) == 0
    assert main(["bundle", "import", bundle, "--data", str(tmp_path / "north"), "--origin", "north"]) == 0
    assert files(tmp_path / "east") == files(tmp_path / "west") == files(tmp_path / "north")
    assert digests(tmp_path / "east") == digests(tmp_path / "west") == digests(tmp_path / "north")


def test_a_node_that_was_restored_takes_its_own_history_back_when_it_starts(tmp_path: Path) -> None:
    made = [encode(event) for event in workload.events(400)]
    with ExitStack() as stack:
        west = node(stack, tmp_path, "west")
        with ExitStack() as first:
            east = node(first, tmp_path, "east")
            with Client(east.node.url) as client:
                client.publish(made[:100])
                assert main(["backup", str(tmp_path / "backup"), "--data", str(tmp_path / "east")]) == 0
                client.publish(made[100:])
            assert main(["sync", east.node.url, "--pull", "--url", west.node.url]) == 0
        assert main(["restore", str(tmp_path / "backup"), "--data", str(tmp_path / "again")]) == 0
        again = stack.enter_context(
            node_process(
                tmp_path / "again",
                "--origin=east",
                "--segment-events-max=200",
                f"--peers={west.node.url}",
                "--sync-seconds=60",
            )
        )
        with Client(again.node.url) as client:
            taken = client.publish(made)
            assert (taken["new"], taken["duplicates"]) == (0, 400)
        assert main(["sync", again.node.url, "--pull", "--url", west.node.url]) == 0


@pytest.fixture(scope="module")
def east(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A node with some sealed segments: where it answers, and its folder."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:
        running = node(stack, folder, "east")
        with Client(running.node.url) as client:
            client.publish([encode(event) for event in workload.events(EVENTS)])
            until(lambda: client.get("/sync/vector")["origins"]["east"]["sealed"] == 600)
        yield running.node.url, folder / "east"


@contextmanager
def cut_after(url: str, bytes_max: int) -> Iterator[str]:
    """A way to the node that breaks off, each time, after so many bytes of its answers."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, socket.create_connection((host, int(port))) as upstream:
                    pass_on(client, upstream, bytes_max)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def pass_on(client: socket.socket, upstream: socket.socket, left: int) -> None:
    while request := client.recv(65_536):
        upstream.sendall(request)
        upstream.settimeout(0.2)
        try:
            while answer := upstream.recv(65_536):
                client.sendall(answer[:left])
                left -= len(answer)
                if left <= 0:
                    return
        except (TimeoutError, OSError):
            pass


@pytest.mark.parametrize("bytes_max", [0, 10, 200, 700, 5_000, 20_000, 30_000])
def test_a_connection_that_is_cut_anywhere_costs_nothing_but_time(
    east: tuple[str, Path], tmp_path: Path, bytes_max: int
) -> None:
    url, folder = east

    async def pull(log: Log, url: str) -> list[str]:
        async with aclosing(HttpPeer(url)) as peer:
            return (await Pull(log, peer, ("west",)).run()).wrong

    with Log.open(tmp_path / "log", own=("west",)) as log:
        with cut_after(url, bytes_max) as cut, pytest.raises(PeerError):
            asyncio.run(pull(log, cut))
        assert asyncio.run(pull(log, url)) == []
        mirrored = {path.name: path.read_bytes() for path in (tmp_path / "log" / "east").glob("*ndjson*")}
        home = {path.name: path.read_bytes() for path in (folder / "log" / "east").glob("*ndjson*")}
        assert mirrored == home


def test_what_is_no_rookery_is_no_peer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert main(["sync", url, "--data", str(tmp_path / "data"), "--pull"]) == 1
    assert f"the peer {url} can't be reached: it answered 501, and not as Rookery does" in capfd.readouterr().err
