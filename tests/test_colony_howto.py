"""docs/howto/colony.md: its commands print what it shows, its program runs, and it names every state."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from rookery.ops.agents import State
from rookery.ops.bench.node_process import NodeProcess, node_process

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "colony.md").read_text()
COMMANDS = re.split(r"^\$ ", "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.M | re.S)), flags=re.M)[1:]
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_the_pages_commands_print_what_it_shows(node: NodeProcess, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "ROOKERY_URL": node.node.url}
    for part in COMMANDS:
        command, _, shown = part.partition("\n")
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        assert done.stdout.strip() == shown.strip(), command


def test_its_program_runs(node: NodeProcess, capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAM.replace("http://127.0.0.1:8800", node.node.url), {})
    assert capsys.readouterr().out == "scout 1 409\n"


def test_it_names_every_state() -> None:
    (table,) = re.findall(r"\| state \|.*?\n\n", PAGE, re.S)
    assert {name for name in get_args(State) if name not in table} == {"unknown"}
