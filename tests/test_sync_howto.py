"""docs/howto/sync.md: its commands print what it shows, and its limits are the code's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from rookery.eventstore.origin import LOCK
from rookery.ops import own_history
from rookery.ops.bench import workload
from rookery.ops.bench.node_process import node_process
from rookery.ops.client import Client
from rookery.ops.settings import Settings
from rookery.ops.syncing import Gap, continuous, peers, quarantine
from rookery.schemas import encode

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "sync.md").read_text()
CONSOLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
STEPS = [part.partition("\n")[::2] for block in CONSOLES for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
SIZE = re.compile(r"[0-9.]+ (?:bytes|KiB)")  # times and ids compress differently each time


class Place(NamedTuple):
    """Where a reader is, and where the nodes answer that the page calls by name."""

    folder: Path
    urls: dict[str, str]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    urls = {}
    with ExitStack() as stack:
        for name in ("east", "west"):
            node = stack.enter_context(node_process(tmp_path / name / "rookery-data", f"--origin={name}"))
            urls[f"http://{name}:8800"] = node.node.url
        with Client(urls["http://east:8800"]) as client:
            client.publish([encode(event) for event in workload.events(1_000)])
        yield Place(tmp_path / "west", urls)


def run(command: str, place: Place) -> str:
    for name, url in place.urls.items():
        command = command.replace(name, url)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, shell=True, cwd=place.folder, env=environment | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    for name, url in place.urls.items():
        printed = printed.replace(url, name)
    return printed


def test_its_commands_print_what_it_shows(place: Place) -> None:
    assert len(STEPS) == 6
    for command, shown in STEPS:
        assert SIZE.sub("SIZE", run(command, place)) == SIZE.sub("SIZE", shown), command


def test_its_settings_are_settings() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    told = msgspec.convert(tomllib.loads(text), Settings)
    assert told.sync_seconds == Settings().sync_seconds


def test_its_numbers_and_words_are_the_codes() -> None:
    assert f"up to {quarantine.BRANCH_EVENTS_MAX:,} of them" in PAGE
    assert f"{quarantine.NAME}/east/" in PAGE
    assert continuous.PAUSE_SECONDS_MAX == 60
    assert own_history.LOOK_SECONDS_MAX == 3
    assert f"no more than {peers.ORIGINS_MAX:,}" in PAGE
    assert f"`{LOCK}`" in PAGE
    assert str(Gap("this bundle", "east", 5001, 4000)) in PAGE
