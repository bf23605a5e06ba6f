"""`rookery verify`, `POST /verify` and `GET /verify`: what is wrong with the log, from a node and from its folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client, RequestFailed
from rookery.schemas import encode
from rookery.tests.eventstore.test_recovery import flip
from rookery.tests.ops.conftest import Outcome, Rookery

SEALED = f"{21:020}.ndjson.zst"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(data: Path) -> Iterator[NodeProcess]:
    """A node with a few sealed segments."""
    with node_process(data, "--segment-events-max=20") as running, Client(running.node.url) as client:
        client.publish([encode(event) for event in workload.events(100)])
        while client.get("/hobby/archive")["origins"]["local"]["hot"]["segments"] < 5:
            pass
        yield running


def test_a_sound_log_is_found_sound_by_its_node_and_in_its_folder(rookery: Rookery, data: Path, client: Client) -> None:
    for deep in ((), ("--deep",)):
        for found in (rookery("verify", *deep, "--json"), in_folder(rookery, data, deep)):
            assert (found.code, found.json["findings"]) == (0, [])
            assert found.json["bytes"] > 1_000
    shown = rookery("verify", "--projections")
    assert shown.code == 0
    assert "every read model is what the log says" in shown.out
    assert client.get("/verify")["latest"]["findings"] == []


def in_folder(rookery: Rookery, data: Path, deep: tuple[str, ...]) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ROOKERY_URL")
        return rookery("verify", "--data", data, *deep, "--json")


def test_a_flipped_bit_is_named_and_its_events_are_served_no_more(rookery: Rookery, data: Path, client: Client) -> None:
    path = data / "log" / "local" / SEALED
    flip(path, 60)
    found = rookery("verify", "--json")
    (finding,) = found.json["findings"]
    assert (found.code, finding["kind"], finding["file"]) == (1, "segment_altered", f"local/{SEALED}")
    assert (finding["first"], finding["last"], finding["offset"]) == (21, 40, 0)
    shown = rookery("verify").out
    assert f"damage   local/{SEALED} at byte 0 (local:21 to local:40)" in shown
    assert "restore it from the archive" in shown
    with pytest.raises(RequestFailed, match=r"vouched for|does not decode") as refused:
        client.get("/prove/local/30")
    assert refused.value.status == 503
    assert client.get("/prove/local/50")["n"] == 50
    assert client.get("/health")["subsystems"]["log"]["state"] == "degraded"
    metrics = client.fetch("GET", "/metrics").content.decode()
    assert 'rookery_verification_findings{kind="segment_altered"} 1.0' in metrics
    flip(path, 60)
    assert rookery("verify").code == 0
    assert client.get("/prove/local/30")["n"] == 30
    assert client.get("/health")["subsystems"]["log"]["state"] == "ready"


def test_a_log_that_no_longer_opens_is_verified_from_its_folder(
    rookery: Rookery, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROOKERY_URL")
    shutil.copytree(data / "log", tmp_path / "log")
    (tmp_path / "log" / "local" / SEALED).unlink()
    flip(tmp_path / "log" / "local" / "manifest.ndjson", 5)
    found = rookery("verify", "--data", tmp_path, "--json")
    assert found.code == 1
    assert {finding["kind"] for finding in found.json["findings"]} >= {"manifest_altered", "segment_missing"}
    refused = rookery("verify", "--data", tmp_path / "nowhere")
    assert refused.code == 2
    assert "there is no log" in refused.err


def test_an_archive_is_verified_from_here(rookery: Rookery, data: Path, tmp_path: Path) -> None:
    assert rookery("archive", tmp_path / "cold", "--data", data).code == 0
    sound = rookery("verify", "--archive", tmp_path / "cold")
    assert (sound.code, "0 findings" in sound.out) == (0, True)
    flip(tmp_path / "cold" / "log" / "local" / SEALED, 60)
    found = rookery("verify", "--archive", tmp_path / "cold", "--deep", "--json")
    assert (found.code, [one["file"] for one in found.json["findings"]]) == (1, [f"log/local/{SEALED}"])
    assert "for itself" in rookery("verify", "--archive", tmp_path / "cold", "--heal").err
