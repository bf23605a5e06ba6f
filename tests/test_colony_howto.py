"""docs/howto/colony.md: its commands print what it shows, its program runs, and it names every state."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from rookery.ops.agents import State
from rookery.ops.bench.node_process import NodeProcess, node_process

from .ops.conftest import command_line

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "colony.md").read_text()
COMMANDS = re.split(r"^\$ ", "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)), flags=re.M)[1:]
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_the_pages_commands_print_what_it_shows(
    node: NodeProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROOKERY_URL", node.node.url)
    rookery = command_line(capfd)
    for part in COMMANDS:
        line, _, shown = part.partition("\n")
        command, _, lines = line.partition(" | head -")
        done = rookery(*shlex.split(command)[1:])
        printed = done.out.splitlines() if done.code == 0 else done.err.splitlines()
        assert printed[: int(lines or len(printed))] == shown.strip().splitlines(), line


def test_its_program_runs(node: NodeProcess, capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAM.replace("http://127.0.0.1:8800", node.node.url), {})
    assert capsys.readouterr().out == "scout 1 409\n"


def test_it_names_every_state() -> None:
    (table,) = re.findall(r"\| state \|.*?\n\n", PAGE, re.S)
    assert {name for name in get_args(State) if name not in table} == {"unknown"}
