"""`rookery prove` and `GET /prove/{origin}/{n}`: proofs from a data folder and from a node, and their checking."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client, RequestRefused
from rookery.schemas import encode
from rookery.tests.ops.conftest import Rookery

SEGMENT_EVENTS = 20
EVENTS = 100  # behind the node's own


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(data: Path) -> Iterator[NodeProcess]:
    """A node with a few sealed segments."""
    with node_process(data, f"--segment-events-max={SEGMENT_EVENTS}") as running, Client(running.node.url) as client:
        client.publish([encode(event) for event in workload.events(EVENTS)])
        while client.get("/hobby/archive")["origins"]["local"]["hot"]["segments"] < 5:
            pass
        yield running


def test_a_node_and_its_folder_give_the_same_proof_and_it_holds(
    node: NodeProcess, client: Client, rookery: Rookery, data: Path, tmp_path: Path
) -> None:
    asked = rookery("prove", "local:17", "--url", node.node.url)
    read = rookery("prove", "local:17", "--data", data)
    assert asked.json == read.json == client.get("/prove/local/17")
    (tmp_path / "proof.json").write_text(asked.out)
    checked = rookery("prove", "--check", tmp_path / "proof.json")
    assert (checked.code, checked.out) == (0, asked.json["line"] + "\n")
    assert "whether that log is the one you mean" in checked.err
    trusted = rookery("prove", "--check", tmp_path / "proof.json", "--head", asked.json["head"], "--json")
    assert (trusted.json["n"], trusted.json["segment"]["last"]) == (17, SEGMENT_EVENTS)


def test_what_proves_nothing_is_refused(rookery: Rookery, tmp_path: Path) -> None:
    proof = rookery("prove", "local:17").out
    (tmp_path / "forged.json").write_text(proof.replace('"n":17', '"n":18', 1))
    (tmp_path / "other.json").write_text('{"hello": 1}')
    for name, reason in (("forged.json", "not that of event 18"), ("other.json", "not the form")):
        refused = rookery("prove", "--check", tmp_path / name)
        assert (refused.code, refused.out) == (1, "")
        assert reason in refused.err
    (tmp_path / "proof.json").write_text(proof)
    assert "that is trusted" in rookery("prove", "--check", tmp_path / "proof.json", "--head", "0" * 64).err


def test_what_can_t_be_proved_yet_or_at_all_is_told_apart(client: Client, rookery: Rookery) -> None:
    with pytest.raises(RequestRefused, match="once its segment is sealed") as unsealed:
        client.get(f"/prove/local/{EVENTS + 1}")
    assert unsealed.value.status == 409
    with pytest.raises(RequestRefused, match="has no line local:9999") as unknown:
        client.get("/prove/local/9999")
    assert unknown.value.status == 404
    for arguments in (["local"], ["local:0"], [], ["local:1", "--check", "x"], ["local:1", "--head", "0"]):
        assert rookery("prove", *arguments).code == 2
