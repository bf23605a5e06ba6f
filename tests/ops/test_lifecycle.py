"""Starting, stopping and killing a node: ports, folders, and what is there afterwards."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.schemas import Event, RunStarted, encode

from .conftest import Rookery, command_line


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Rookery:
    """The command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROOKERY_URL", raising=False)
    return command_line(capfd)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


def runs(url: str) -> set[str]:
    with Client(url) as client:
        return {row["run_id"] for row in client.get("/query/runs")["rows"]}


def publish_runs(url: str, *names: str) -> None:
    with Client(url) as client:
        client.publish([encode(Event.of(RunStarted(), subject=name, source="/agents/a")) for name in names])


def test_a_node_in_the_background_runs_until_down(cli: Rookery) -> None:
    up = cli("up", "--detach", "--port", 0, "--nats-port", 0, "--json")
    assert up.code == 0, up.err
    node = up.json
    process = psutil.Process(node["pid"])
    family = [process, *process.children(recursive=True)]
    assert cli("status", "--json").json["events"] == 1  # found by its data folder; the event is its own start
    assert cli("down").out == "stopped\n"
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert "no node runs" in cli("down").out


@pytest.mark.parametrize("option", ["--port", "--nats-port"])
def test_a_port_in_use_is_named_with_its_option(cli: Rookery, taken_port: int, option: str) -> None:
    ports = {"--port": 0, "--nats-port": 0} | {option: taken_port}
    failed = cli("up", *(word for pair in ports.items() for word in pair))
    assert failed.code == 1
    assert f"port {taken_port}" in failed.err
    assert option in failed.err


def test_a_node_that_fails_in_the_background_says_why(cli: Rookery, taken_port: int) -> None:
    failed = cli("up", "--detach", "--port", taken_port)
    assert failed.code == 1
    assert f"port {taken_port}" in failed.err


def test_a_folder_belongs_to_one_node(cli: Rookery, tmp_path: Path) -> None:
    with node_process(tmp_path / "shared") as running:
        failed = cli("up", "--data", tmp_path / "shared", "--port", 0, "--nats-port", 0)
        assert failed.code == 1
        assert f"{running.node.url}, pid {running.process.pid}" in failed.err


def test_a_folder_that_cant_be_made_is_named(cli: Rookery, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    failed = cli("up", "--data", tmp_path / "file" / "below", "--port", 0, "--nats-port", 0)
    assert failed.code == 1
    assert "--data" in failed.err


def test_a_wrong_setting_names_where_it_was_set(cli: Rookery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOKERY_PORT", "many")
    failed = cli("up")
    assert (failed.code, "ROOKERY_PORT" in failed.err) == (2, True)


def test_a_killed_node_takes_its_server_along_and_loses_nothing(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        publish_runs(running.node.url, "run-1", "run-2")
        family = psutil.Process(running.process.pid).children(recursive=True)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        assert psutil.wait_procs(family, timeout=10)[1] == []
    with node_process(tmp_path) as running:
        assert runs(running.node.url) == {"run-1", "run-2"}
        publish_runs(running.node.url, "run-3")
        assert runs(running.node.url) == {"run-1", "run-2", "run-3"}


def test_a_killed_nats_server_comes_back_and_the_node_goes_on(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        publish_runs(running.node.url, "before")
        (server,) = psutil.Process(running.process.pid).children(recursive=True)
        server.kill()
        publish_runs(running.node.url, "after")
        assert runs(running.node.url) == {"before", "after"}


def test_a_corrupt_database_is_built_anew(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        publish_runs(running.node.url, "run-1")
    (database,) = tmp_path.glob("*.duckdb")
    database.write_bytes(b"not a database" * 1000)
    with node_process(tmp_path) as running:
        assert runs(running.node.url) == {"run-1"}


def test_termination_ends_everything_in_good_order(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        family = psutil.Process(running.process.pid).children(recursive=True)
        os.kill(running.process.pid, signal.SIGTERM)
        assert running.process.wait(timeout=20) == 0
        assert psutil.wait_procs(family, timeout=1)[1] == []
    (log,) = (tmp_path / "log" / "local").glob("*.ndjson")
    last = json.loads([line for line in log.read_text().splitlines() if "node." in line][-1])
    assert last["type"] in {"node.stopped", "node.started"}
