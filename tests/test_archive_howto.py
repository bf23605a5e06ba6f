"""docs/howto/archive.md: its commands print what it shows, and its limits are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rookery.eventstore import cold, s3
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.ops.settings import Settings
from rookery.schemas import encode

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "archive.md").read_text()
CONSOLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
STEPS = [part.partition("\n")[::2] for block in CONSOLES for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
DIFFERENCES = {
    r"\S*/(cold/rookery|backup)": r"\1",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC": "TIME",
    r"\d+\.\d+ s\b": "SECONDS",
    r"\d+\.\d%": "SHARE",
    r"\d+\.\d KiB": "SIZE",  # times and ids compress differently each time
    r"1[0-9] objects": "OBJECTS",  # the settings are one, if there is a rookery.toml
    r"freed .*\n": "",  # what the read models read right now goes later
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where a reader is: with a node that has an archive, and holds a thousand events."""
    archive = tmp_path / "cold" / "rookery"
    options = [f"--archive={archive}", "--archive-hours=0", "--segment-events-max=100"]
    with node_process(tmp_path / "rookery-data", *options) as running, Client(running.node.url) as client:
        client.publish([encode(event) for event in workload.events(1_000)])
        while client.get("/hobby/archive")["origins"]["local"]["hot"]["segments"] < 10:
            pass
        yield tmp_path


def run(command: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def alike(printed: str) -> str:
    for pattern, name in DIFFERENCES.items():
        printed = re.sub(pattern, name, printed)
    return printed


def test_its_commands_print_what_it_shows(folder: Path) -> None:
    assert len(STEPS) >= 6
    for command, shown in STEPS:
        assert alike(run(command.replace("/mnt/", f"{folder}/"), folder)) == alike(shown), command


def test_its_settings_are_settings() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    msgspec.convert(tomllib.loads(text), Settings)


def test_its_numbers_are_the_codes() -> None:
    assert f"{cold.FETCHED_BYTES_MAX // 2**30} GiB" in PAGE
    assert f"within {s3.REQUEST_SECONDS_MAX} seconds" in PAGE
    assert s3.RETRIES_MAX == 3
    assert "tried three times more" in PAGE
