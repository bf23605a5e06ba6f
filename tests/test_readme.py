"""The README's commands, run as a new user would, and their output compared with what it prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from rookery.tests.sites import free_ports

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
STATUS_LINE = re.compile(r"\d+ rows?(; .*)?")


def sessions() -> Iterator[tuple[str, str]]:
    """Every command of the README with the output that it shows."""
    for block in CONSOLE:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def run(command: str, folder: Path, ports: dict[str, int]) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ROOKERY_PORT": str(ports["8800"]),
        "ROOKERY_NATS_PORT": str(ports["4222"]),
    }
    environment.pop("ROOKERY_URL", None)
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    printed = done.stdout + done.stderr
    for shown, used in ports.items():
        printed = printed.replace(str(used), shown)
    return "".join(line for line in printed.splitlines(keepends=True) if not STATUS_LINE.fullmatch(line.strip()))


def test_the_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    ports = dict(zip(("8800", "4222"), free_ports(2), strict=True))
    with ExitStack() as stack:
        stack.callback(run, "rookery down", tmp_path, ports)
        for command, shown in sessions():
            if command.startswith("rookery assign"):
                stack.enter_context(agent(tmp_path, ports))
            assert run(command, tmp_path, ports) == shown, command


@contextmanager
def agent(folder: Path, ports: dict[str, int]) -> Iterator[None]:
    """The README's agent, on the node that its tour has started."""
    (program,) = PYTHON
    (folder / "agent.py").write_text(program)
    environment = {**os.environ, "ROOKERY_NATS_URL": f"nats://127.0.0.1:{ports['4222']}"}
    with subprocess.Popen([sys.executable, "agent.py"], cwd=folder, env=environment, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        try:
            assert any(b"is at work" in line for line in running.stderr)
            yield
        finally:
            running.terminate()
            _, said = running.communicate(timeout=60)
    assert running.returncode == 0, said.decode()


@pytest.mark.parametrize("target", ["up", "test"])
def test_make_knows_the_two_commands(target: str) -> None:
    dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert dry.returncode == 0, dry.stderr
    assert {"up": "rookery up", "test": "pytest"}[target] in dry.stdout
