"""docs/howto/replay.md: its commands and its program print what it shows, and it names every attribute of the mark."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rookery.ops.bench.node_process import node_process
from rookery.schemas import Mark

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "replay.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_page_s_commands_and_its_program_print_what_it_shows(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "listen.py").write_text(block("python"))
    with node_process(tmp_path / "rookery-data") as node:
        environment = {**os.environ, "PATH": path, "NATS_URL": node.node.nats_url}
        environment.pop("ROOKERY_URL", None)

        def run(command: str, code: int = 0) -> str:
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=False
            )
            assert done.returncode == code, command
            return done.stdout

        for part in re.split(r"^\$ ", block("console"), flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            assert run(command) == shown, command
        assert run(f"{sys.executable} -P listen.py") == block("text")
        assert "2 rejected" in run("rookery import ndjson runs.ndjson", code=1)


def test_the_page_names_every_attribute_of_the_mark() -> None:
    assert re.findall(r"^\| `(replay\w+)` \|", PAGE, re.MULTILINE) == list(Mark.__struct_fields__)
