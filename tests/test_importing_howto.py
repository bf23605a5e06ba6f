"""docs/howto/importing.md: its commands print what it shows, its program runs, and it names every source."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.handlers.importers import CHUNK_EVENTS_MAX, SOURCES
from rookery.handlers.importers.git import MESSAGE_CHARS_MAX, PATHS_MAX
from rookery.handlers.importers.runner import REJECTIONS_SHOWN_MAX
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.ops.client import Client

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "importing.md").read_text()
(CONSOLE,) = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
IMPORTS = re.findall(r"^(?:\$ )?rookery import (\S+) (.*)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


def run(command: str, folder: Path, node: NodeProcess) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path, "ROOKERY_URL": node.node.url},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_history_of_a_clone_is_imported_as_the_page_shows(node: NodeProcess, tmp_path: Path) -> None:
    git = "git -c user.name=Mia -c user.email=m@x -c commit.gpgSign=false"
    for content in ("1\\n2\\n", "1\\n3\\n"):
        run(f"{git} init -q && printf '{content}' > a && {git} add a && {git} commit -qm Change", tmp_path, node)
    for part in re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        assert run(command, tmp_path, node) == shown, command


def test_the_program_s_records_are_imported(node: NodeProcess, tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("time,agent,tool,seconds\n2026-01-01T00:00:00Z,coder-7,grep,0.5\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    run(f"{sys.executable} -P program.py", tmp_path, node)
    assert run("rookery import ndjson calls.ndjson", tmp_path, node) == "1 event: 1 new, 0 known already\n"
    assert run("rookery import ndjson calls.ndjson", tmp_path, node) == "1 event: 0 new, 1 known already\n"
    with Client(node.node.url) as client:
        (call,) = client.get("/query/tool_calls", tool="grep")["rows"]
    assert (call["agent_id"], call["duration_seconds"], call["time"]) == ("coder-7", 0.5, "2026-01-01T00:00:00.000000Z")


def test_the_page_names_every_source_and_only_options_that_there_are() -> None:
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)) == SOURCES.keys()
    for name, rest in IMPORTS:
        given = {word.removeprefix("--") for word in shlex.split(rest) if word.startswith("--")}
        assert given <= {option.name for option in SOURCES[name].options}
    git = {option.name for option in SOURCES["git"].options}
    assert git == {"branch", "last", "repository"}
    assert all(f"`--{name}`" in PAGE for name in git)


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"the first {PATHS_MAX} of those files" in PAGE
    assert re.search(rf"cut after\s+{MESSAGE_CHARS_MAX:,} characters", PAGE)
    assert f"the first {REJECTIONS_SHOWN_MAX} rejections" in PAGE
    assert f"at most {CHUNK_EVENTS_MAX:,} events" in PAGE
