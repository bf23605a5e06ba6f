"""The snapshot file of a running node: another process reads it, whatever the node does meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import httpx
import pytest
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.schemas import encode

from .conftest import Rookery

# Reads until its input ends: every state that it sees must add up, and says how many events it holds.
READER = """
import select, sys, duckdb
while not select.select([sys.stdin], [], [], 0)[0]:
    with duckdb.connect(sys.argv[1], read_only=True) as con:
        ((n,),) = con.execute("select n from rookery_checkpoint where origin = 'local'").fetchall()
        ((calls, by_model),) = con.execute(
            "select (select count(*) from llm_calls), (select sum(calls)::bigint from cost_by_model)").fetchall()
        ((events,),) = con.execute("select sum(events)::bigint from fleet_hourly").fetchall()
    assert calls == by_model, (calls, by_model)
    assert events == n, (events, n)
    print(n, flush=True)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def node(data: Path) -> Iterator[NodeProcess]:
    """A node that writes a snapshot only when asked."""
    left = data / "snapshot" / ".new"
    left.mkdir(parents=True)
    with node_process(data, "--snapshot-seconds=0") as running:
        assert not left.exists(), "what a killed node left is cleared away"
        yield running


@pytest.fixture
def http(node: NodeProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=node.node.url, timeout=60, trust_env=False) as http:
        yield http


def test_before_the_first_snapshot_there_is_none(http: httpx.Client) -> None:
    answer = http.get("/snapshot")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert "POST /snapshot" in answer.json()["detail"]


def test_another_process_sees_only_whole_states_while_the_node_writes(
    client: Client, http: httpx.Client, data: Path
) -> None:
    events = [encode(event) for event in workload.events(1_900)]
    client.publish(events[:100])
    path = http.post("/snapshot").json()["path"]
    assert path == str(data / "snapshot" / "rookery.duckdb")
    command = [sys.executable, "-c", READER, path]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    seen = [int(reader.stdout.readline())]  # and so it reads while all that follows is written
    written = []
    for start in range(100, len(events), 300):
        client.publish(events[start : start + 300], wait="logged")
        written.append(http.post("/snapshot").json()["checkpoint"]["local"])
    while seen[-1] < written[-1]:
        seen.append(int(reader.stdout.readline()))
    reader.communicate("")
    assert reader.returncode == 0
    assert seen == sorted(seen)
    assert written == sorted(written)


def test_a_snapshot_holds_what_could_be_queried_when_it_was_asked_for(client: Client, http: httpx.Client) -> None:
    client.publish([encode(event) for event in workload.events(30, seed=9)], wait="visible")
    held = http.post("/snapshot").json()["checkpoint"]["local"]
    assert held == http.get("/status").json()["events"]


def test_nothing_is_written_where_nothing_is_new(http: httpx.Client) -> None:
    first = http.post("/snapshot").json()
    inode = Path(first["path"]).stat().st_ino
    assert http.post("/snapshot").json() == first
    assert Path(first["path"]).stat().st_ino == inode
    Path(first["path"]).unlink()
    assert http.post("/snapshot").json()["checkpoint"] == first["checkpoint"]
    assert Path(first["path"]).exists()


def test_the_file_is_downloaded_whole(http: httpx.Client, tmp_path: Path) -> None:
    size_bytes = http.post("/snapshot").json()["size_bytes"]
    answer = http.get("/snapshot")
    (tmp_path / "copy.duckdb").write_bytes(answer.content)
    assert len(answer.content) == size_bytes == int(answer.headers["content-length"])
    with duckdb.connect(str(tmp_path / "copy.duckdb"), read_only=True) as con:
        assert con.execute("select count(*) from runs").fetchall() != [(0,)]


def test_the_command_writes_one_and_copies_it(rookery: Rookery, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "colony.duckdb"
    plain, to = rookery("snapshot"), rookery("snapshot", "--to", target, "--json")
    assert plain.out.startswith(str(data / "snapshot" / "rookery.duckdb"))
    assert to.json["path"] == str(target)
    assert to.json["size_bytes"] == target.stat().st_size
    with duckdb.connect(str(target), read_only=True) as con:
        assert dict(con.execute("from rookery_checkpoint").fetchall()) == to.json["checkpoint"]
    assert list(tmp_path.iterdir()) == [target]
    assert rookery("snapshot", "--to", tmp_path / "no" / "folder").code == 1


def test_a_snapshot_that_fails_is_told_keeps_the_old_one_and_the_node_ready(
    client: Client, http: httpx.Client, data: Path
) -> None:
    before = Path(http.post("/snapshot").json()["path"]).read_bytes()
    (data / "snapshot").rename(data / "elsewhere")
    (data / "snapshot").write_text("a file, where the folder should be")
    client.publish([encode(event) for event in workload.events(3, seed=10)])
    answer = http.post("/snapshot")
    assert (answer.status_code, answer.json()["error"]) == (503, "SnapshotFailed")
    health = http.get("/health/ready")
    assert health.status_code == 200
    part = health.json()["subsystems"]["snapshot"]
    assert (part["state"], "snapshot" in part["detail"]) == ("degraded", True)
    (data / "snapshot").unlink()
    (data / "elsewhere").rename(data / "snapshot")
    assert (data / "snapshot" / "rookery.duckdb").read_bytes() == before
    assert http.post("/snapshot").status_code == 200
    assert http.get("/health/ready").json()["subsystems"]["snapshot"]["state"] == "ready"


def test_a_node_writes_one_by_itself_every_so_often(tmp_path: Path) -> None:
    with node_process(tmp_path, "--snapshot-seconds=0.05") as running, httpx.Client(base_url=running.node.url) as http:
        while (answer := http.get("/snapshot")).status_code == 404:
            assert http.get("/health/live").json()["status"] == "live"
        assert answer.status_code == 200
        assert set(http.get("/health/ready").json()["subsystems"]) >= {"bus", "ingest", "projector", "snapshot"}
