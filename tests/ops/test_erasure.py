"""Forgetting, from the outside: nothing that was sealed is readable anywhere, before by bytes, after by anybody."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import nats
import pytest
import zstandard
from rookery.eventstore import Log
from rookery.eventstore.vault import Vault, exported
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.cli import main
from rookery.ops.client import Client, NodeUnreachable, RequestRefused
from rookery.schemas import (
    AssignmentCompleted,
    CommitRecorded,
    DatasubjectForgotten,
    Event,
    EventData,
    FeedbackGiven,
    InsightRecorded,
    MemoryRecorded,
    MessageRecorded,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
    encode,
)

from .conftest import Outcome, Rookery, command_line

WAIT_SECONDS_MAX = 30.0
NAME, TEXT = "ada-lovelace-1815", "zygomorphic petunias"  # no other text has these words
SEGMENT = "--segment-events-max=8"
PASSPHRASE = "correct horse battery"

FACTS: list[EventData] = [
    RunStarted(task=f"Water the {TEXT}", metadata={"asked_by": TEXT}),
    MessageRecorded(run_id="r", step=0, role="user", content=TEXT),
    ToolCallCompleted(tool="hose", run_id="r", arguments={"for": [TEXT]}, output=TEXT, error=TEXT),
    FeedbackGiven(kind="comment", comment=TEXT, given_by=TEXT, run_id="r"),
    InsightRecorded(kind="lesson", text=TEXT),
    MemoryRecorded(text=TEXT),
    RunFailed(error=TEXT),
    CommitRecorded(repository="garden", message=TEXT, author=TEXT, author_email="zygomorphic@example.com"),
    AssignmentCompleted(agent_id="gardener", result=TEXT),
]


def told(subject: str | None = NAME, facts: list[EventData] = FACTS, about: str = "x") -> list[bytes]:
    return [
        encode(Event.of(fact, subject=f"{about}-{n}", source="/agents/gardener", datasubject=subject))
        for n, fact in enumerate(facts)
    ]


def until(condition: Any) -> Any:
    """What `condition` gives when it gives something."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def content_of(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what is compressed in them."""
    data = path.read_bytes()
    yield data
    if path.name.endswith(".zst"):
        yield zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    if path.suffix == ".parquet":
        yield repr(duckdb.sql(f"from read_parquet('{path}')").fetchall()).encode()
    if path.parent.name == "snapshot" and path.suffix == ".duckdb":
        with duckdb.connect(path, read_only=True) as tables:
            names = [row[0] for row in tables.sql("select table_name from duckdb_tables()").fetchall()]
            yield repr([tables.sql(f'from "{name}"').fetchall() for name in names]).encode()


def files_with(words: list[str], *folders: Path) -> list[str]:
    """The files that hold one of these words in any bytes."""
    wanted = [word.encode() for word in words]
    while True:
        paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        try:
            return [path.name for path in paths for data in content_of(path) if any(word in data for word in wanted)]
        except FileNotFoundError:  # it was put into its place meanwhile: look for it there
            continue


def receipts(client: Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get("/query/forgotten")["rows"]
    return rows


def comments(client: Client, *, reveal: bool = True) -> list[str]:
    return [row["comment"] for row in client.get("/query/feedback", reveal=reveal or None)["rows"]]


@pytest.fixture
def rookery(node: NodeProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rookery:
    monkeypatch.setenv("ROOKERY_URL", node.node.url)
    return command_line(capfd)


def done(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.err
    return outcome


def test_no_byte_of_a_node_says_anything_of_a_person_and_after_forgetting_nobody_can(tmp_path: Path) -> None:
    data, cold, backup = tmp_path / "data", tmp_path / "cold", tmp_path / "backup"
    with (
        node_process(data, SEGMENT, f"--archive={cold}", "--archive-hours=0") as running,
        Client(running.node.url) as client,
    ):
        client.publish([*told(), *told(about="y")])
        client.post("/snapshot", b"")
        until(lambda: client.get("/status")["graph_lag_events"] == 0)
        until(lambda: list(data.rglob("*.parquet")))
        client.post("/hobby/archive", b"")
        assert main(["backup", str(backup), "--data", str(data)]) == 0
        assert comments(client) == [TEXT, TEXT]
        assert comments(client, reveal=False)[0].startswith("sealed:1:ds-")
        words = ["zygomorphic", "petunias", NAME]
        assert files_with(words, data, cold, backup) == ["keys"]  # the vault has whose key it is

        answer = client.post("/vault/forget", b'{"subject":"%s"}' % NAME.encode())
        assert answer["sealed_events"] >= 2 * len(FACTS)  # what is told of a failed run has its error, sealed
        assert answer["rows_by_read_model"]["feedback"] == 2
        assert {"log", "archive", "snapshot", "read_models", "side_cars", "graph"} <= set(answer["places"])
        assert comments(client) == ["[forgotten]"] * 2
        (receipt,) = until(lambda: receipts(client))
        assert (receipt["datasubject"], receipt["sealed_events"]) == (answer["pseudonyms"][0], answer["sealed_events"])
        client.publish([encode(Event.of(RunStarted(), subject="r-new", source="/a"))])
    assert files_with(words, data, cold, backup) == []
    with Log.open(data / "log", writable=False) as log:
        log.verify()

    restored = tmp_path / "restored"
    assert main(["restore", str(backup), "--data", str(restored)]) == 0
    assert not (restored / "vault").exists()
    with node_process(restored) as running, Client(running.node.url) as client:
        assert comments(client) == ["[sealed]"] * 2


@pytest.mark.parametrize("kills", ["between", "anywhere"])
def test_a_forgetting_that_is_killed_is_finished_at_the_next_start(tmp_path: Path, kills: str) -> None:
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish(told())
        if kills == "anywhere":
            asking = threading.Thread(target=forgotten_or_killed, args=(running.node.url,))
            asking.start()
            until(lambda: b"forgotten" in (tmp_path / "vault" / "keys").read_bytes())
        os.kill(running.node.pid, signal.SIGKILL)
        running.process.wait()
        if kills == "anywhere":
            asking.join()
    if kills == "between":
        vault = Vault.open(tmp_path / "vault")
        vault.forget([key.id for key in vault.held])
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        (receipt,) = until(lambda: receipts(client))
        assert receipt["sealed_events"] >= len(FACTS)
        assert comments(client) == ["[forgotten]"]
    with node_process(tmp_path) as running, Client(running.node.url) as client:
        client.publish(told())
        assert len(receipts(client)) == 1


def forgotten_or_killed(url: str) -> None:
    with suppress(NodeUnreachable), Client(url) as client:
        client.post("/vault/forget", b'{"subject":"%s"}' % NAME.encode())


@pytest.mark.timeout(300)  # three starts of nodes
def test_a_peer_that_has_a_persons_key_forgets_with_us_and_so_does_a_copy_of_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what the peer sealed with a key of its own; and an export brings nobody back."""
    monkeypatch.setenv("ROOKERY_VAULT_PASSPHRASE", PASSPHRASE)
    here, peer, exported_to = tmp_path / "here", tmp_path / "peer", tmp_path / "exported.keys"
    name = b'{"subject":"%s"}' % NAME.encode()
    with (
        node_process(here) as ours,
        node_process(peer, "--origin=west", f"--peers={ours.node.url}", "--sync-seconds=0.2") as theirs,
        Client(ours.node.url) as client,
        Client(theirs.node.url) as west,
    ):
        client.publish(told())
        until(lambda: comments(west) == ["[sealed]"])
        west.publish(told(facts=[FeedbackGiven(kind="comment", comment=TEXT, run_id="r")]))
        assert main(["vault", "export", NAME, "--out", str(exported_to), "--url", ours.node.url]) == 0
        assert main(["vault", "import", str(exported_to), "--url", theirs.node.url]) == 0
        assert comments(west) == [TEXT, TEXT]
        copied = (here / "vault" / "keys").read_bytes()
        client.post("/vault/forget", name)
        until(lambda: comments(west) == ["[forgotten]", "[forgotten]"])
        until(lambda: sorted(row["node"] for row in receipts(west)) == ["local", "west", "west"])
    (here / "vault" / "keys").write_bytes(copied)  # as from a copy of the folder
    with node_process(here) as ours, Client(ours.node.url) as client:
        assert comments(client) == ["[forgotten]"]
        assert main(["vault", "import", str(exported_to), "--url", ours.node.url]) == 0
        assert comments(client) == ["[forgotten]"]
        with pytest.raises(RequestRefused, match="no key of"):
            client.post("/vault/forget", name)


def test_a_receipt_that_becomes_visible_is_heeded_if_it_is_a_nodes_own_and_not_otherwise(client: Client) -> None:
    client.publish(told("grace"))
    pseudonym = client.post("/vault/forget", b'{"subject":"grace"}', dry_run=True)["pseudonyms"][0]
    fact = DatasubjectForgotten(sealed_events=0, events_by_origin={}, up_to={})
    client.publish([encode(Event.of(fact, subject=pseudonym, source="/agents/mallory"))])
    before = client.get("/vault")
    assert [row for row in receipts(client) if row["datasubject"] == pseudonym] == []
    client.publish([encode(Event.of(fact, subject=pseudonym, source="/nodes/local"))])
    until(lambda: client.get("/vault")["forgotten"] == before["forgotten"] + 1)
    with pytest.raises(RequestRefused, match="no key of 'grace'"):
        client.post("/vault/forget", b'{"subject":"grace"}')


def test_who_is_unknown_can_not_be_forgotten_and_is_told_so(rookery: Rookery) -> None:
    outcome = rookery("forget", "nobody", "--yes")
    assert outcome.code == 2
    assert "no key of 'nobody'" in outcome.err


def test_forgetting_asks_first_and_shows_its_reach(rookery: Rookery, client: Client) -> None:
    done(
        rookery("publish", "feedback.given.v2", "fb-9", "--about", "hedy", "--data", '{"kind":"comment","comment":"x"}')
    )
    assert rookery("forget", "hedy").code == 2
    shown = done(rookery("forget", "hedy", "--dry-run")).out
    assert "1 event with sealed texts: 1 in local" in shown
    assert "rows: 1 in feedback" in shown
    answer = done(rookery("forget", "hedy", "--yes", "--json")).json
    assert (answer["forgotten"], len(answer["receipts"])) == (True, 1)
    assert "hedy" not in client.fetch("GET", "/events").content.decode()


def test_what_is_sealed_is_read_in_queries_in_sql_and_in_any_text(rookery: Rookery, client: Client) -> None:
    comment = '{"kind":"comment","comment":"a \\"quoted\\" word","run_id":"run-q"}'
    done(rookery("publish", "feedback.given.v2", "fb-q", "--about", "barbara", "--data", comment))
    sealed = client.get("/query/feedback", feedback_id="fb-q")["rows"][0]["comment"]
    said = 'a "quoted" word'
    query = ("query", "feedback", "--where", "run_id=run-q")
    assert done(rookery(*query, "--reveal", "--json")).json[0]["comment"] == said
    assert said in done(rookery("reveal", f"<{sealed}>")).out
    sql = "select data from events where subject = 'fb-q'"
    assert done(rookery("sql", sql, "--reveal", "--json")).json[0]["data"]["comment"] == said
    lines = client.fetch("GET", "/events").content
    revealed = client.fetch("POST", "/vault/reveal", content=lines, headers={"content-type": "application/x-ndjson"})
    assert any(msgspec.json.decode(line)["data"].get("comment") == said for line in revealed.content.splitlines())
    with pytest.raises(RequestRefused, match="reveal: is for JSON"):
        client.fetch("GET", "/query/feedback", format="arrow", reveal=True)
    answer = client._http.get("/query/feedback", params={"reveal": True})
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


async def test_who_publishes_on_the_bus_has_it_sealed_there_and_in_plain_it_is_a_dead_letter(
    node: NodeProcess, client: Client
) -> None:
    (plain,) = told("katherine", [FeedbackGiven(kind="comment", comment=TEXT, run_id="run-bus")])
    connection = await nats.connect(node.node.nats_url)
    try:
        stream = connection.jetstream()
        subject = "evt.feedback.x-0.given.gardener"
        await stream.publish(subject, plain)
        sealed = (await connection.request("cmd.vault.seal", plain, timeout=WAIT_SECONDS_MAX)).data
        assert TEXT.encode() not in sealed
        await stream.publish(subject, sealed)
        refused = await connection.request("cmd.vault.seal", b'{"specversion":"1.0"}', timeout=WAIT_SECONDS_MAX)
        assert (refused.headers or {})["Nats-Service-Error-Code"] == "400"
    finally:
        await connection.close()
    until(lambda: client.get("/query/feedback", run_id="run-bus")["rows"])
    (row,) = client.get("/query/feedback", run_id="run-bus", reveal=True)["rows"]
    assert row["comment"] == TEXT
    (letter,) = [one for one in client.get("/dead-letters") if one["field"] == "datasubject"]
    assert "names a person in plain" in letter["reason"]
    seal = client.fetch("POST", "/vault/seal", content=plain, headers={"content-type": "application/json"})
    assert TEXT.encode() not in seal.content


def test_commits_of_a_person_whose_name_is_sealed_are_counted_together(client: Client) -> None:
    facts: list[EventData] = [CommitRecorded(repository="abbey", message="m", author="Rosalind F") for _ in range(3)]
    client.publish(told("rosalind", facts))
    pseudonym = client.post("/vault/forget", b'{"subject":"rosalind"}', dry_run=True)["pseudonyms"][0]
    (row,) = client.get("/query/commits_by_author", repository="abbey")["rows"]
    assert (row["author"], row["commits"]) == (pseudonym, 3)
    assert client.get(f"/query/commits_by_author/abbey,{pseudonym}/why")["events"]


@pytest.mark.parametrize(
    ("export", "passphrase", "reason"),
    [
        (exported([], PASSPHRASE).decode(), "another passphrase", "the passphrase is not the one"),
        ("{}", PASSPHRASE, "this is no export of a vault"),
        ("\x00", PASSPHRASE, "this is no export of a vault"),
    ],
)
def test_what_is_no_export_is_refused(client: Client, export: str, passphrase: str, reason: str) -> None:
    asked = msgspec.json.encode({"export": export, "passphrase": passphrase})
    with pytest.raises(RequestRefused, match=reason):
        client.post("/vault/import", asked)


def test_an_export_takes_a_passphrase_and_people_who_are_known(client: Client) -> None:
    with pytest.raises(RequestRefused, match="at least 12 characters"):
        client.post("/vault/export", b'{"passphrase":"short"}')
    with pytest.raises(RequestRefused, match="no key of 'nobody'"):
        client.post("/vault/export", b'{"passphrase":"correct horse battery","subjects":["nobody"]}')


def test_an_import_about_somebody_is_sealed_and_told_only_once(
    rookery: Rookery, client: Client, tmp_path: Path
) -> None:
    file = tmp_path / "memories.ndjson"
    file.write_bytes(b"\n".join(told(None, [MemoryRecorded(text="imported zucchini")])))
    for new in (1, 0):
        summary = done(rookery("import", "ndjson", file, "--about", "emmy", "--json")).json
        assert summary["new"] == new
    log = client.fetch("GET", "/events").content
    assert b"zucchini" not in log
    assert b"emmy" not in log
    revealed = client.fetch("POST", "/vault/reveal", content=log).content
    assert revealed.count(b"imported zucchini") == 1
