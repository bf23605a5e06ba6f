"""`rookery replay` beside a running node: what it tells, what it refuses, and that no node takes it for news."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client
from rookery.schemas import mark_in

from .conftest import Outcome, Rookery


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(data: Path) -> Iterator[NodeProcess]:
    with node_process(data) as running:
        yield running


@pytest.fixture
def replay(rookery: Rookery, data: Path, monkeypatch: pytest.MonkeyPatch) -> Rookery:
    """Runs `rookery replay` on the folder of a node that holds a few runs."""
    monkeypatch.setenv("ROOKERY_DATA", str(data))
    for run in ("r-1", "r-2"):
        for kind in ("started", "completed"):
            data = '{"agent_id": "coder-7"}' if run == "r-1" else "{}"
            rookery("publish", f"run.{kind}", run, "--id", f"{run}-{kind}", "--data", data)

    def run(*arguments: object) -> Outcome:
        return rookery("replay", *arguments)

    return run


def ids(lines: str) -> list[str]:
    return [msgspec.json.decode(line)["id"] for line in lines.splitlines()]


def test_the_log_is_told_on_standard_output_while_its_node_runs(replay: Rookery) -> None:
    told = replay("--type", "run.*")
    assert told.code == 0
    assert ids(told.out) == ["r-1-started", "r-1-completed", "r-2-started", "r-2-completed"]
    assert ids(replay("--type", "run.*", "--entity", "run/r-2").out) == ["r-2-started", "r-2-completed"]
    assert ids(replay("--type", "run.*", "--agent", "coder-7").out) == ["r-1-started", "r-1-completed"]
    assert replay("--source", "/nobody").out == ""


def test_a_replay_begins_and_ends_where_it_is_told(replay: Rookery) -> None:
    lines = replay("--origin", "local", "--type", "run.*").out.splitlines()
    (_, second, third, _) = [mark for line in lines if (mark := mark_in(line.encode()))]
    told = replay("--from", second.replayposition, "--to", third.replayaddress, "--type", "run.*")
    assert ids(told.out) == ["r-2-started"]
    assert replay("--to", "start").out == ""
    assert replay("--from", "now").out == ""


def test_no_node_takes_a_replayed_event_for_a_new_fact(replay: Rookery, client: Client) -> None:
    before = client.get("/status")["events"]
    told = replay("--type", "run.*").out.encode().splitlines()
    answer = client.publish(told)
    assert (answer["new"], answer["duplicates"], len(answer["refusals"])) == (0, 0, 4)
    assert answer["refusals"][0]["field"] == "replayaddress"
    assert "no new fact" in answer["refusals"][0]["reason"]
    assert client.get("/status")["events"] == before


def test_a_replay_on_the_nodes_own_bus_is_no_news_to_the_node(replay: Rookery, client: Client) -> None:
    before = client.get("/status")["events"]
    told = replay("bus", "--name", "again", "--type", "run.*")
    assert (told.code, told.out) == (0, "4 events on replay.again.>\n")
    assert replay("bus", "--name", "again", "--type", "run.*").code == 2
    resumed = replay("bus", "--name", "again", "--type", "run.*", "--resume", "--json").json
    assert resumed["events"] == 0
    assert replay("bus", "--name", "again", "--forget").out == "replay.again.> is forgotten\n"
    assert replay("bus", "--name", "again", "--forget", "--json").json == {"name": "again", "forgotten": False}
    assert replay("bus", "--name", "heard", "--unkept", "--pace", "1000000x").code == 0
    assert client.get("/status")["events"] == before


def test_a_file_holds_what_standard_output_had(replay: Rookery, tmp_path: Path) -> None:
    path = tmp_path / "told.ndjson"
    answer = replay(path, "--type", "run.*", "--json").json
    assert (answer["name"], answer["events"], answer["left_out"]) == ("past", 4, 0)
    assert path.read_text() == replay("--type", "run.*").out


def test_a_file_that_was_made_with_other_filters_is_not_resumed(replay: Rookery, tmp_path: Path) -> None:
    path = tmp_path / "told.ndjson"
    assert replay(path, "--type", "run.*").code == 0
    before = path.read_bytes()
    for other in (["--type", "run.started"], ["--entity", "run/r-1"], ["--to", "local:1"], ["--source", "/nobody"]):
        refused = replay(path, *other, "--resume")
        assert (refused.code, "made with other filters" in refused.err) == (2, True)
    assert path.read_bytes() == before
    assert replay(path, "--type", "run.*", "--resume").code == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--name", "evt.x"], "apart from the facts"),
        (["--pace", "0x"], "no pace"),
        (["--pace", "nanx"], "no pace"),
        (["--pace", "99999999999x"], "no pace"),
        (["--pause-max", "-1"], "not in the range"),
        (["--origin", "elsewhere"], "no origin"),
        (["--from", "tomorrow"], "no moment"),
        (["--to", "2999-01-01"], "future"),
        (["--to", "local:999999"], "ends at"),
        (["--type", "run.finished"], "run.failed"),
        (["--entity", "r-1"], "KIND/ID|a kind and an id"),
        (["-", "--resume"], "keeps what it was told"),
        (["told.ndjson", "--unkept"], "about a bus"),
        (["http://127.0.0.1:4222"], "is no bus"),
        (["told.ndjson", "--forget"], "about a bus"),
        (["--from", "local:3", "--to", "local:1"], "is before --from 'local:3'"),
        (["--from", "now", "--to", "start"], "is before --from 'now'"),
    ],
)
def test_what_cannot_be_told_is_refused_in_words(
    replay: Rookery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = replay(*arguments)
    assert refused.code == 2
    assert any(one in refused.err for one in reason.split("|"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_log_is_named(rookery: Rookery, tmp_path: Path) -> None:
    refused = rookery("replay", "--data", tmp_path / "nothing")
    assert refused.code == 1
    assert "nothing" in refused.err
    assert not (tmp_path / "nothing").exists()
