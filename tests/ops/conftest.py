"""A node as a user runs it, and the command line pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.cli import main
from rookery.ops.client import Client


class Outcome(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)


Rookery = Callable[..., Outcome]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node of the test module's own."""
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def client(node: NodeProcess) -> Iterator[Client]:
    """The node's API."""
    with Client(node.node.url) as client:
        yield client


@pytest.fixture
def rookery(node: NodeProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Rookery:
    """Runs a command line against the node."""
    monkeypatch.setenv("ROOKERY_URL", node.node.url)
    return command_line(capfd)


def command_line(capfd: pytest.CaptureFixture[str]) -> Rookery:
    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return run
