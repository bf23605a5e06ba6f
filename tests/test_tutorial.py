"""docs/tutorial.md, followed to the letter: every file saved, every command run, every output compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.ops.bench.node_process import NodeProcess, node_process

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text()
STEPS = re.compile(r"(?:Save this as `(?P<file>[\w.]+)`[^`]*)?^```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S)
STATUS_LINE = re.compile(r"\d+ rows?(; .*)?\n", re.MULTILINE)
# What a reader has done before: a node that runs, and its commands on the path.
SET_UP = ["make up", ". .venv/bin/activate"]


class Terminals:
    """The reader's terminals: commands that end, and agents that go on until Ctrl-C."""

    def __init__(self, folder: Path, node: NodeProcess) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ROOKERY_URL": node.node.url,
            "ROOKERY_NATS_URL": node.node.nats_url,
        }
        self._agents: list[subprocess.Popen[str]] = []
        self._shells: list[subprocess.Popen[bytes]] = []

    def run(self, command: str) -> str:
        done = subprocess.run(
            command,
            shell=True,
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return STATUS_LINE.sub("", done.stdout + done.stderr)

    def start(self, command: str) -> None:
        agent = subprocess.Popen(
            command.split(), cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True
        )
        self._agents.append(agent)
        assert agent.stderr is not None
        assert "is at work" in agent.stderr.readline()

    def start_several(self, command: str) -> None:
        """Have a shell start them in the background."""
        shell = subprocess.Popen(
            f"{command}\nwait", shell=True, cwd=self._folder, env=self._environment, start_new_session=True
        )
        self._shells.append(shell)

    def press_ctrl_c(self) -> list[int]:
        for agent in self._agents:
            agent.send_signal(signal.SIGINT)
        return [agent.wait(30) for agent in self._agents]

    def close(self) -> None:
        for agent in self._agents:
            agent.kill()
            agent.communicate()
        for shell in self._shells:
            os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    (tmp_path / "work").mkdir()
    with node_process(tmp_path / "node") as node:
        terminals = Terminals(tmp_path / "work", node)
        yield terminals
        terminals.close()


def test_the_tutorial_does_what_it_says(terminals: Terminals, tmp_path: Path) -> None:
    for step in STEPS.finditer(PAGE):
        match step["language"]:
            case "python":
                (tmp_path / "work" / step["file"]).write_text(step["text"])
            case "sh" if step["text"].strip() not in SET_UP:
                terminals.start(step["text"])
            case "console":
                for part in re.split(r"^\$ ", step["text"], flags=re.MULTILINE)[1:]:
                    command, _, shown = part.partition("\n")
                    assert terminals.run(command) == shown, command
    assert terminals.press_ctrl_c() == [0, 0]
    left = terminals.run(
        "rookery sql --csv \"select subject from events where type = 'agent.unregistered' order by all\""
    )
    assert left.splitlines() == ["subject", "librarian-1", "reader-1"]


def test_its_first_step_is_the_one_that_make_knows() -> None:
    first, second = [step["text"].strip() for step in STEPS.finditer(PAGE)][:2]
    assert [first, second] == SET_UP
    dry = subprocess.run(["make", "-n", "up"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "rookery up" in dry.stdout
