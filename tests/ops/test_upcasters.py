"""An old version of an event becomes the newest one whichever way it comes to a node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rookery.bus import Delivery, NatsBus
from rookery.eventstore import Log
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.schemas import Event, FeedbackGivenV1, encode, subject_of

from .conftest import command_line


def given(name: str) -> Event:
    return Event.of(FeedbackGivenV1(run_id=name, stars=4, comment=name), subject=name, source="/people/ann")


async def by_nats(url: str, event: Event) -> None:
    async with await NatsBus.connect(url) as bus:
        await bus.publish(event)


def test_whichever_way_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    copied = given("copied")
    with Log.open(tmp_path / "data" / "log") as log:
        log.append("elsewhere", [Delivery(1, subject_of(copied), encode(copied), copied.time)])
    (tmp_path / "old.ndjson").write_bytes(encode(given("imported")) + b"\n")
    with node_process(tmp_path / "data") as running, Client(running.node.url) as client:
        monkeypatch.setenv("ROOKERY_URL", running.node.url)
        asyncio.run(by_nats(running.node.nats_url, given("by NATS")))
        assert command_line(capfd)("import", "ndjson", tmp_path / "old.ndjson").code == 0
        client.publish([encode(given("by HTTP"))])
        ways = {"copied", "by NATS", "imported", "by HTTP"}
        for _ in range(2):
            rows = client.get("/query/feedback")["rows"]
            assert {(row["feedback_id"], row["kind"], row["score"]) for row in rows} == {
                (way, "score", 0.75) for way in ways
            }
            assert {row["feedback_id"] for row in client.get("/query/feedback", as_of="now")["rows"]} == ways
            client.post("/rebuild", b"")
        assert client.get("/dead-letters") == []
        assert client.post("/rebuild/verify", b"")["changed"] == []
