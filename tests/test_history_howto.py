"""docs/howto/history.md: its program runs, its commands print what it shows, and it names every such read model."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from rookery.ops.bench.node_process import node_process
from rookery.projections import Catalogue

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "history.md").read_text()
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONSOLE = "".join(re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]


def test_the_page_s_commands_print_what_it_shows(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    (tmp_path / "program.py").write_text(PROGRAM)
    with node_process(tmp_path / "data") as node:
        environment = {**os.environ, "PATH": path, "ROOKERY_URL": node.node.url}

        def run(command: str) -> str:
            done = subprocess.run(
                command, shell=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            return done.stdout

        run(f"{sys.executable} -P program.py")
        for part in COMMANDS:
            command, _, shown = part.partition("\n")
            assert run(command).strip() == shown.strip(), command


def test_the_page_names_every_read_model_of_history() -> None:
    named = set(re.findall(r"`(\w+_(?:hourly|daily|monthly|by_hour))`", PAGE))
    known = {projection.name for projection in Catalogue.of_folder().projections}
    assert named == {name for name in known if re.search(r"_(hourly|daily|monthly|by_hour)$", name)} - {
        "fleet_hourly",
        "fleet_daily",
    }
