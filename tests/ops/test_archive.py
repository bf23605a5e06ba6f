"""A node's archive, from the outside: written while it runs, told of, trimmed, and enough to begin anew from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rookery.eventstore import RestoreUnfinished
from rookery.eventstore.archive import Progress, archive
from rookery.eventstore.stores import open_store
from rookery.ops.archive import bring_back
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client, RequestFailed
from rookery.ops.data_folder import DataFolder
from rookery.ops.node import running_node
from rookery.ops.settings import Settings
from rookery.schemas import encode
from rookery.tests.eventstore.archive.logs import filled

from .conftest import Outcome, Rookery, command_line

EVENTS = 400
SEGMENT_EVENTS = 64
SEGMENT = f"--segment-events-max={SEGMENT_EVENTS}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def cold(tmp_path: Path) -> Path:
    return tmp_path / "cold"


@pytest.fixture
def client(data: Path, cold: Path) -> Iterator[Client]:
    """A node that has an archive and is told when to write it; it holds some events."""
    with (
        node_process(data, SEGMENT, f"--archive={cold}", "--archive-hours=0") as running,
        Client(running.node.url) as api,
    ):
        publish(api, EVENTS)
        yield api


@pytest.fixture
def rookery(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path) -> Rookery:
    monkeypatch.setenv("ROOKERY_DATA", str(data))
    return command_line(capfd)


def publish(client: Client, count: int, *, seed: int = 1) -> None:
    client.publish([encode(event) for event in workload.events(count, seed=seed)], wait="visible")


def digests(client: Client) -> Any:
    return client.post("/rebuild", b"")["digests_after"]


def vector(client: Client) -> dict[str, int]:
    return {origin["name"]: origin["events"] for origin in client.get("/status")["origins"]}


def sealed_up(client: Client) -> Any:
    """What is where, once everything is sealed that fills a segment: sealing goes on beside."""
    for _ in range(200):
        tiers = client.get("/hobby/archive")["origins"]["local"]
        if tiers["open_events"] < SEGMENT_EVENTS:
            return tiers
        time.sleep(0.05)
    raise AssertionError(f"never sealed: {tiers}")


def done(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.err
    return outcome


def test_an_archive_is_restored_on_a_new_machine_and_goes_on(
    client: Client, data: Path, cold: Path, tmp_path: Path, rookery: Rookery
) -> None:
    rows = client.get("/query/runs", limit=1_000)
    report = client.post("/hobby/archive", b"")
    assert report["vector"] == vector(client)
    data.rename(tmp_path / "lost")  # with the bus, whose sequences the log has
    new = tmp_path / "new"
    restored = done(rookery("restore", cold, "--data", new, "--json")).json
    assert restored["vector"] == report["vector"]
    with (
        node_process(new, SEGMENT, f"--archive={cold}", "--archive-hours=0") as running,
        Client(running.node.url) as api,
    ):
        assert api.get("/query/runs", limit=1_000) == rows
        before = vector(api)["local"]
        assert before > report["vector"]["local"], "the node's own start is in the log"
        publish(api, 50, seed=2)
        assert vector(api)["local"] == before + 50
        publish(api, EVENTS)
        assert vector(api)["local"] == before + 50, "what the log had before is known by its id"
        assert api.post("/hobby/archive", b"")["vector"]["local"] >= before + 50
    with node_process(new, SEGMENT) as running, Client(running.node.url) as api:
        assert api.get("/health")["status"] == "ready"
        assert vector(api)["local"] > before + 50


def test_what_is_trimmed_is_read_as_if_it_were_here(client: Client, data: Path, cold: Path, rookery: Rookery) -> None:
    everything = list(client.lines("/events", limit=1_000))
    before = sealed_up(client)
    assert (before["cold"]["segments"], before["archive"]) == (0, None)
    report = client.post("/hobby/archive", b"", trim_days=0)
    assert report["trimmed_segments"] >= 2
    after = client.get("/hobby/archive")["origins"]["local"]
    assert 0 < after["cold"]["segments"] <= report["trimmed_segments"], "what is read right now stays for a moment"
    assert after["archived"] == after["cold"]["events"] + after["hot"]["events"]
    assert after["archive"] == str(cold)
    assert list(client.lines("/events", limit=1_000))[: len(everything)] == everything
    counted = client.post("/sql", b'{"sql": "select count(*) as events from events"}')
    assert counted["rows"][0]["events"] == after["events"]
    rebuilt = client.post("/rebuild", b"")
    assert rebuilt["digests_after"] == rebuilt["digests_before"]
    assert client.post("/hobby/archive", b"", trim_days=0)["copied_objects"] == 0


def test_an_archive_that_fails_is_told_and_the_node_goes_on(client: Client, cold: Path) -> None:
    cold.write_bytes(b"not a folder")
    with pytest.raises(RequestFailed, match=r"archive\.json"):
        client.post("/hobby/archive", b"", trim_days=0)
    health = client.get("/health")
    assert health["status"] == "ready"
    assert health["subsystems"]["archive"]["state"] == "degraded"
    assert "archive.json" in client.get("/hobby/archive")["failed"]
    publish(client, 10, seed=2)
    cold.unlink()
    client.post("/hobby/archive", b"")
    assert client.get("/health")["subsystems"]["archive"]["state"] == "ready"
    assert client.get("/hobby/archive")["failed"] is None


def test_a_backup_of_a_live_node_is_whole(client: Client, data: Path, tmp_path: Path, rookery: Rookery) -> None:
    client.post("/graph", b"<urn:a> <urn:b> <urn:c> .", content_type="text/turtle")
    backup = tmp_path / "backup"
    rows = client.get("/query/runs", limit=1_000)
    sealed_up(client)
    report = done(rookery("backup", backup, "--json")).json
    assert report["vector"] == vector(client)
    assert done(rookery("backup", backup, "--json")).json["copied_objects"] == 0, "only what is new"
    new = tmp_path / "new"
    done(rookery("restore", backup, "--data", new))
    with node_process(new) as running, Client(running.node.url) as api:
        assert api.get("/query/runs", limit=1_000) == rows
        found = api.post("/sparql", b"ask { <urn:a> <urn:b> <urn:c> }", content_type="application/sparql-query")
        assert found["boolean"] is True


def test_a_folder_without_a_node_is_archived_and_trimmed_by_the_command(
    data: Path, cold: Path, tmp_path: Path, rookery: Rookery
) -> None:
    with node_process(data, SEGMENT) as running, Client(running.node.url) as api:
        publish(api, EVENTS)
        refused = rookery("archive", cold, "--trim", 0)
        assert (refused.code, "only it may trim" in refused.err) == (2, True)
        assert done(rookery("archive", cold, "--json")).json["trimmed_segments"] == 0
    trimmed = done(rookery("archive", cold, "--trim", 0))
    assert "holds" in trimmed.out
    assert "trimmed" in trimmed.out
    again = rookery("restore", cold, "--data", data)
    assert (again.code, "holds a log already" in again.err) == (1, True)
    with node_process(data, SEGMENT) as running, Client(running.node.url) as api:
        assert len(list(api.lines("/events", limit=1_000))) >= EVENTS


async def test_a_node_begins_no_other_log_where_one_is_half_restored(data: Path, cold: Path, tmp_path: Path) -> None:
    with filled(tmp_path / "log") as log:
        archive(log, open_store(str(cold)))

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bring_back(str(cold), data, stop)
    with DataFolder(data) as owned, pytest.raises(RestoreUnfinished, match="run the same `rookery restore` again"):
        async with running_node(owned, Settings(data=data, nats_port=0)):
            pass
    assert not (data / "log").exists()
    bring_back(str(cold), data)
    assert (data / "log" / "here").is_dir()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["archive", "ftp://somewhere"], "only s3:// is known"),
        (["archive", "s3://"], "s3://bucket"),
        (["backup", "{data}/backup"], "lies in the data folder"),
        (["restore", "{data}/nothing", "--data", "{data}/new"], "there is no archive"),
        (["backup", "{data}/../x", "--data", "{data}/none"], "there is no log"),
    ],
)
def test_a_mistake_is_named_and_leaves_no_trace(
    data: Path, rookery: Rookery, arguments: list[str], reason: str
) -> None:
    (data / "log").mkdir(parents=True)
    outcome = rookery(*[argument.format(data=data) for argument in arguments])
    assert outcome.code in (1, 2)
    assert reason in outcome.err
    assert sorted(path.name for path in data.parent.iterdir()) == ["data"]
    assert [path.name for path in data.iterdir()] == ["log"]


def test_a_node_without_an_archive_says_how_to_name_one(data: Path) -> None:
    with node_process(data) as running, Client(running.node.url) as api:
        with pytest.raises(RequestFailed, match="--archive FOLDER") as refused:
            api.post("/hobby/archive", b"")
        assert refused.value.status == 409
