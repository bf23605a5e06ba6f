"""Starting, stopping and killing a node: ports, folders, and what is there afterwards."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from math import inf
from pathlib import Path

import httpx
import psutil
import pytest
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.ops.nats_server import NatsServer
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


def started(*arguments: str) -> subprocess.Popen[bytes]:
    """A command under way."""
    command = [sys.executable, "-m", "rookery.ops.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def follower(url: str, *options: str) -> subprocess.Popen[bytes]:
    return started("tail", f"--url={url}", *options)


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


@contextmanager
def held_up(url: str, bytes_max: int) -> Iterator[tuple[str, threading.Event]]:
    """A way to the node on which requests, after so many bytes of them, wait until the event is set."""
    host, _, port = url.removeprefix("http://").partition(":")
    go_on = threading.Event()

    def pass_on(source: socket.socket, sink: socket.socket, left: float) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                left -= len(data)
                if left < 0:
                    go_on.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, upstream = listener.accept()[0], socket.create_connection((host, int(port)))
                back = threading.Thread(target=pass_on, args=(upstream, client, inf), daemon=True)
                back.start()
                with client, upstream:
                    pass_on(client, upstream, bytes_max)
                    back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", go_on
        listener.shutdown(socket.SHUT_RDWR)


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
    assert Path("rookery-data/node.json").stat().st_mode & 0o077 == 0
    process = psutil.Process(node["pid"])
    family = [process, *process.children(recursive=True)]
    assert cli("status", "--json").json["events"] == 1  # found by its data folder; the event is its own start
    assert cli("down").out == "stopped\n"
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert "no node runs" in cli("down").out


async def test_a_password_in_a_url_is_told_to_nobody(cli: Rookery, nats_server: NatsServer, tmp_path: Path) -> None:
    bus = nats_server.url.replace("//", "//me:bus-secret@")
    here = ("--nats-url", bus, "--peers", "http://me:peer-secret@127.0.0.1:1", "--port", 0)
    up = await asyncio.to_thread(cli, "up", "--detach", *here)
    assert up.code == 0, up.err
    (url,) = re.findall("http://127.0.0.1:[0-9]+", up.out)[:1]
    try:
        async with httpx.AsyncClient(base_url=url) as http:
            told = [(await http.get(path)).text for path in ("/status", "/health", "/sync", "/metrics")]
        assert "me:***@" in told[0]
        assert not [each for each in [up.out, up.err, *told] if "secret" in each]
    finally:
        await asyncio.to_thread(cli, "down")
    assert "secret" not in (tmp_path / "rookery-data" / "node.log").read_text()


def test_a_node_is_started_once_and_keeps_its_log(cli: Rookery, tmp_path: Path) -> None:
    node = cli("up", "--detach", "--port", 0, "--nats-port", 0, "--json").json
    log = tmp_path / "rookery-data" / "node.log"
    said = log.read_text()
    try:
        for again in (("up",), ("up", "--detach")):
            failed = cli(*again)
            assert failed.code == 1
            assert f"already: {node['url']}, pid {node['pid']}; stop it with `rookery down`" in failed.err
        assert log.read_text().startswith(said)
    finally:
        cli("down")


def test_a_node_elsewhere_says_how_to_reach_it(cli: Rookery, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where"
    up = cli("up", "--detach", "--port", 0, "--nats-port", 0, "--data", elsewhere)
    assert "export ROOKERY_URL=http://127.0.0.1:" in up.out
    assert f"rookery down --data '{elsewhere}'" in up.out
    assert cli("down", "--data", elsewhere).out == "stopped\n"


def test_a_node_that_starts_can_be_stopped(cli: Rookery, tmp_path: Path) -> None:
    owner = "import sys, time; from rookery.ops.data_folder import DataFolder; from pathlib import Path\n"
    owner += "with DataFolder(Path(sys.argv[1])): print(flush=True); time.sleep(60)"
    folder = tmp_path / "rookery-data"
    with subprocess.Popen([sys.executable, "-c", owner, folder], stdout=subprocess.PIPE) as starting:
        assert starting.stdout is not None
        starting.stdout.readline()
        assert "a node starts on" in cli("up").err
        assert cli("down").out == "stopped\n"
        assert starting.wait() == -signal.SIGTERM


def test_files_beside_the_data_folder_are_not_taken_for_modules(cli: Rookery, tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise SystemExit('not this one')")
    assert cli("up", "--detach", "--port", 0, "--nats-port", 0).code == 0
    assert cli("down").code == 0


def test_a_node_that_cant_be_served_says_where_it_listened(cli: Rookery) -> None:
    failed = cli("up", "--host", "nowhere.invalid", "--port", 0)
    assert (failed.code, "nowhere.invalid" in failed.err, "--host" in failed.err) == (1, True, True)


def test_ctrl_c_ends_a_node_in_good_order(tmp_path: Path) -> None:
    with node_process(tmp_path) as running:
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(timeout=20) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_follower_is_ended_by_a_signal_without_a_word(tmp_path: Path, number: signal.Signals) -> None:
    with node_process(tmp_path) as running, follower(running.node.url) as tail:
        assert b"node.started" in first_line(tail)
        tail.send_signal(number)
        assert tail.wait(timeout=20) == {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM}[number]
        assert tail.stderr is not None
        assert tail.stderr.read().strip() == b""


def test_a_follower_is_told_when_the_node_stops(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, follower(running.node.url) as tail:
        assert b"node.started" in first_line(tail)
        publish_runs(running.node.url, "run-1")
        assert b"run-1" in first_line(tail)
        running.process.terminate()
        assert tail.wait(timeout=20) == 1
        assert tail.stderr is not None
        assert b"`rookery tail --after local:2` goes on from here" in tail.stderr.read()


def test_an_interrupted_import_says_where_it_is_and_goes_on_from_there(cli: Rookery, tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    calls = [f"2023-11-16 18:{n // 60 % 60:02}:{n % 60:02}.{n:07},{n},7\n" for n in range(6_000)]
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(calls))
    command = ("import", "azure-llm", str(trace), "--provider=openai", "--model=gpt-4o", "--json")
    with node_process(tmp_path / "data") as running, Client(running.node.url) as client:
        with held_up(running.node.url, 1_000_000) as (url, go_on), started(*command, f"--url={url}") as importing:
            while client.get("/status")["events"] <= 1_000:  # the first of six chunks; two or three come to the node
                pass
            importing.send_signal(signal.SIGINT)
            go_on.set()
            _, err = importing.communicate(timeout=30)
            assert (importing.returncode, b"Traceback" in err) == (130, False)
            assert b"the same command goes on from" in err
        report = cli(*command, f"--url={running.node.url}").json
        assert (report["events"], report["rejected"]) == (len(calls), 0)
        assert report["duplicates"] >= 1_000


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
