"""Rebuilds of a node's read models: asked for, begun by itself, looked at, ended, and told of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client, RequestRefused
from rookery.ops.health import Health, Subsystem
from rookery.ops.rebuilds import Rebuilds
from rookery.projections import (
    Catalogue,
    FoldFailed,
    Projections,
    RebuildAbandoned,
    RebuildFailed,
    RebuildUnderWay,
)
from rookery.projections.definitions import parse
from rookery.schemas import Event, RunStarted, encode, subject_of

from .conftest import Rookery, command_line

WRONG = ["fleet", "fleet_daily", "fleet_hourly"]


def started(name: str) -> bytes:
    return encode(Event.of(RunStarted(), subject=name, source="/agents/a"))


def tampered(database: Path, statement: str) -> None:
    """Change the tables of a node that does not run."""
    with duckdb.connect(str(database)) as con:
        con.execute(statement)


# On the command line


def test_right_read_models_are_verified(rookery: Rookery, client: Client) -> None:
    client.publish([started("r1")])
    told = rookery("rebuild", "--verify")
    assert told.code == 0
    assert "read models as before" in told.out
    report = rookery("rebuild", "--verify", "--json")
    assert (report.code, report.json["changed"]) == (0, [])
    assert report.json["digests_before"] == report.json["digests_after"]


def test_what_a_rebuild_replaced_is_told_of_and_can_be_had_back(rookery: Rookery, client: Client) -> None:
    client.publish([started("r2")])
    assert rookery("rebuild").code == 0
    status = rookery("rebuild", "--status")
    assert "rebuild" in status.out
    assert "can be had back with --rollback" in status.out
    back = rookery("rebuild", "--rollback")
    assert (back.code, "the version before is back" in back.out) == (0, True)
    latest = rookery("rebuild", "--status", "--json").json["latest"]
    assert (latest["kind"], latest["state"], latest["by_itself"]) == ("rollback", "done", False)
    assert rookery("rebuild", "--verify").code == 0


def test_what_excludes_each_other_is_refused(rookery: Rookery) -> None:
    refused = rookery("rebuild", "--verify", "--rollback")
    assert (refused.code, "exclude each other" in refused.err) == (2, True)


def test_ending_a_rebuild_where_there_is_none_says_so(rookery: Rookery) -> None:
    refused = rookery("rebuild", "--cancel")
    assert "no rebuild is under way" in refused.err


def test_who_interrupts_the_waiting_is_told_that_the_rebuild_goes_on(
    rookery: Rookery, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as impatient:
        impatient.setattr("rookery.ops.cli.rebuild.time.sleep", interrupt)
        interrupted = rookery("rebuild")
    assert (interrupted.code, "it goes on in the node" in interrupted.err) == (130, True)
    while client.get("/rebuild")["latest"]["state"] == "running":
        pass
    assert client.get("/rebuild")["latest"]["state"] == "done"


def test_wrong_read_models_are_named_put_right_and_had_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish([started("r1")])
    tampered(tmp_path / "projections.duckdb", "update fleet_hours set events = 17")
    rookery = command_line(capfd)
    with node_process(tmp_path) as running:
        monkeypatch.setenv("ROOKERY_URL", running.node.url)
        found = rookery("rebuild", "--verify", "--json")
        assert (found.code, found.json["changed"]) == (1, WRONG)
        told = rookery("rebuild", "--verify")
        assert told.code == 1
        assert [line.split()[0] for line in told.out.splitlines()[1:-1]] == WRONG
        assert rookery("rebuild", "--json").json["changed"] == WRONG
        assert rookery("rebuild", "--verify").code == 0
        assert rookery("rebuild", "--rollback", "--json").json["changed"] is None
        assert rookery("rebuild", "--verify").code == 1


def test_without_a_previous_version_a_rollback_is_refused(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        with pytest.raises(RequestRefused, match="nothing to roll back to") as refused:
            client.post("/rebuild/rollback", b"")
        assert refused.value.status == 409
        assert client.get("/rebuild")["previous"] is None


# By itself


def test_a_node_replaces_outdated_tables_by_itself_and_says_so(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish([started("r1")])
    tampered(tmp_path / "projections.duckdb", "update rookery.made_from set version = 0 where what = 'runs'")
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish([started("r2")])
        standing = client.get("/rebuild")
        assert standing["outdated"] is None
        assert (standing["latest"]["kind"], standing["latest"]["by_itself"]) == ("rebuild", True)
        assert client.post("/rebuild/verify", b"")["changed"] == []
        assert {row["run_id"] for row in client.get("/query/runs")["rows"]} == {"r1", "r2"}


def test_a_node_that_is_killed_during_a_rebuild_has_its_read_models_at_the_next_start(tmp_path: Path) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish([started(f"r{n}") for n in range(1_000)])
        client.post("/rebuild", b"", wait="false")
        running.process.kill()
        running.process.wait()
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        assert client.post("/rebuild/verify", b"")["changed"] == []
        assert len(client.get("/query/runs")["rows"]) == 1_000


# Inside


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log") as log:
        append(log, "r1")
        yield log


def append(log: Log, name: str) -> None:
    event = Event.of(RunStarted(), subject=name, source="/a")
    n = log.vector().get("local", 0) + 1
    log.append("local", [Delivery(n, subject_of(event), encode(event), event.time)])


@pytest.fixture
def outdated(log: Log, tmp_path: Path) -> Iterator[Projections]:
    path = tmp_path / "projections.duckdb"
    with Projections.open(path, log) as projections:
        projections.catch_up()
    tampered(path, "update rookery.made_from set version = 0 where what = 'runs'")
    with Projections.open(path, log, serve_outdated=True) as projections:
        yield projections


def nothing() -> None:
    """What is to be done when a rebuild has ended."""


async def test_outdated_tables_are_told_of_until_they_are_replaced(outdated: Projections) -> None:
    health, ended = Health(), asyncio.Event()
    rebuilds = Rebuilds(outdated, health, ended.set)
    rebuilds.look()
    told = health.subsystems["projector"]
    assert told.state == "degraded"
    assert told.detail == "the read models are being made anew; until then they answer as of local:1"
    assert health.is_ready  # what they answer is of a moment ago, and everything else works
    await rebuilds.run()
    assert ended.is_set()
    assert outdated.outdated is None
    assert rebuilds.latest
    assert rebuilds.latest.status().report
    rebuilds.close()


async def test_a_rebuild_that_fails_is_told_of_and_tried_again(
    outdated: Projections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.ops.rebuilds.RETRY_SECONDS_MIN", 0.0)
    health = Health()
    rebuilt = outdated.path.with_name("projections.duckdb.rebuilt")
    rebuilt.mkdir()  # where nothing can be built

    def mend() -> None:
        rebuilds.look()
        failures.append(health.subsystems["projector"])
        rebuilt.rmdir()

    failures: list[Subsystem] = []
    rebuilds = Rebuilds(outdated, health, lambda: None if failures else mend())
    await rebuilds.run()
    (failed,) = failures
    assert failed.state == "failed"
    assert "it is tried again, and until then they answer as of local:1" in failed.detail
    assert outdated.outdated is None
    rebuilds.close()


async def test_a_projection_that_fails_is_told_of_with_its_file_statement_and_events(
    log: Log, outdated: Projections
) -> None:
    text = "-- projection: picky   version: 1\n-- It fails.\ncreate table picky (a int);\n"
    text += "-- fold: run_started\ninsert into picky select error(subject) from run_started;\n"
    outdated.close()
    catalogue = Catalogue([*Catalogue.of_folder().projections, parse(text, "picky.sql")])
    health = Health()
    with Projections.open(outdated.path, log, catalogue=catalogue, serve_outdated=True) as projections:
        rebuilds = Rebuilds(projections, health, nothing)
        with pytest.raises(FoldFailed):
            await rebuilds.begin("rebuild", by_itself=True).work
        rebuilds.look()
        assert "projection picky can't fold events local:1 to 1" in health.subsystems["projector"].detail
        assert "in picky.sql, the statement 'insert into picky" in health.subsystems["projector"].detail
        assert rebuilds.latest
        failure = rebuilds.latest.status().failure
        assert failure
        assert (failure.file, failure.origin, failure.first, failure.last) == ("picky.sql", "local", 1, 1)
        assert [row["run_id"] for row in projections.rows("runs").records()] == ["r1"]
        rebuilds.close()


async def test_the_previous_version_goes_before_a_rebuild_fills_the_disk(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Projections.open(tmp_path / "projections.duckdb", log) as projections:
        projections.catch_up()
        projections.rebuild()
        assert projections.previous
        rebuilds = Rebuilds(projections, Health(), nothing)
        monkeypatch.setattr("rookery.ops.rebuilds.FREE_BYTES_MIN", 2**60)
        with pytest.raises(RebuildFailed, match="free some space"):
            await rebuilds.begin("rebuild").work
        assert projections.previous is None
        rebuilds.close()


async def test_of_two_at_once_the_second_is_refused_and_a_look_tells_how_far_the_first_is(
    log: Log, tmp_path: Path
) -> None:
    with Projections.open(tmp_path / "projections.duckdb", log) as projections:
        projections.catch_up()
        rebuilds = Rebuilds(projections, Health(), nothing)
        first = rebuilds.begin("rebuild")
        with pytest.raises(RebuildUnderWay):
            rebuilds.begin("verify")
        assert first.status().state == "running"
        await first.work
        done = first.status()
        assert (done.number, done.state, done.events_done, done.events_total) == (1, "done", 1, 1)
        assert done.report
        assert done.report.changed == []
        assert rebuilds.begin("verify").number == 2
        rebuilds.close()


async def test_a_rebuild_that_is_ended_is_told_of_as_that(log: Log, tmp_path: Path) -> None:
    append(log, "r2")
    with Projections.open(tmp_path / "projections.duckdb", log) as projections:
        projections.catch_up()
        rebuilds = Rebuilds(projections, Health(), nothing)
        assert await rebuilds.abandon() is None
        rebuild = rebuilds.begin("rebuild")
        assert await rebuilds.abandon() is rebuild
        with pytest.raises(RebuildAbandoned):
            await rebuild.work
        status = rebuild.status()
        assert status.state == "abandoned"
        assert status.failure
        assert status.failure.error == "RebuildAbandoned"
        rebuilds.close()
