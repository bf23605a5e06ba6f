"""docs/howto/forget.md: its commands print what it shows, and what it says of the fields is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.eventstore.vault import FORGOTTEN, NO_KEY, UNREADABLE
from rookery.ops.bench.node_process import node_process
from rookery.schemas import SEAL_COMMAND

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "forget.md").read_text()
CONSOLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
STEPS = [part.partition("\n")[::2] for block in CONSOLES for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
(EXPORT,) = re.findall(r"rookery vault export .*", PAGE)
DIFFERENCES = {r"sealed:1:\S+": "SEALED", r"ds-[a-z2-7]{26}": "PSEUDONYM"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a reader is, with a node."""
    with node_process(tmp_path / "rookery-data", "--snapshot-seconds=0"):
        yield tmp_path


def run(command: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"ROOKERY_VAULT_PASSPHRASE": "correct horse battery"}
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def alike(printed: str) -> str:
    for pattern, name in DIFFERENCES.items():
        printed = re.sub(pattern, name, printed)
    return printed


def test_its_commands_print_what_it_shows(folder: Path) -> None:
    assert len(STEPS) >= 7
    for command, shown in STEPS:
        assert alike(run(command, folder)) == alike(shown), command
    run(EXPORT.replace("/media/stick", str(folder)), folder)
    assert (folder / "rookery.keys").stat().st_mode & 0o777 == 0o600


def test_its_words_are_the_codes() -> None:
    for word in (FORGOTTEN, NO_KEY, UNREADABLE, SEAL_COMMAND):
        assert f"`{word}`" in PAGE or f" {word} " in PAGE
