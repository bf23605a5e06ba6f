"""docs/howto/topologies.md: its commands print what it shows, on real servers with real nodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.bus.publisher import PUBLISH_DEADLINE_SECONDS
from rookery.tests.sites import Servers, free_addresses

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "topologies.md").read_text()
CONSOLES = re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
HUB, NODES, CLUSTER, SYNC = (
    [part.partition("\n")[::2] for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]] for block in CONSOLES
)
WAIT_SECONDS_MAX = 60


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOKERY_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment | {"PATH": path}, capture_output=True, text=True
    )


def expect(command: str, shown: str, folder: Path) -> None:
    """Run it until it prints what the page shows: what one site has reaches the other in a while."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (done := run(command, folder)).returncode or done.stdout != shown:
        assert time.monotonic() < deadline, f"{command}\n{done.stdout}{done.stderr}"


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Path]:
    """What the first command wrote, with its servers started, and its nodes stopped in the end."""
    (command, _) = HUB[0]
    hub, north = free_addresses(2)
    assert run(command.replace("hub hub north", f"hub hub={hub} north={north}"), tmp_path).returncode == 0
    servers = Servers(tmp_path / "sites", ["hub", "north"])
    servers.start()
    yield tmp_path / "sites"
    for name in servers.names:
        run(f"cd {name} && rookery down", tmp_path / "sites")
    servers.close()


def test_each_has_the_others_log(sites: Path) -> None:
    assert len(NODES + SYNC) == 7
    for command, shown in NODES + SYNC:
        expect(command, shown, sites)


@pytest.mark.parametrize("step", [HUB, CLUSTER], ids=["hub", "cluster"])
def test_what_is_written_is_what_it_shows(step: list[tuple[str, str]], tmp_path: Path) -> None:
    [(command, shown)] = step
    done = run(command, tmp_path)
    assert done.stdout.replace(f"{tmp_path}/", "/srv/") == shown


def test_its_numbers_are_the_codes() -> None:
    assert f"told so after {PUBLISH_DEADLINE_SECONDS:g} seconds" in PAGE
