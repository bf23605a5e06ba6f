"""docs/howto/any-language.md: its programs run without Rookery, and what they publish is valid."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.schemas import AssignmentCreated, Event, RunStarted, encode

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "any-language.md").read_text()
PROGRAMS = {language: re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("python", "js", "sh")}
SESSIONS = re.findall(r"```console\n\$ (.*?)```", PAGE, re.DOTALL)
SECONDS_MAX = 60.0
# Isolated from the checkout: the programs find what pip installed, and of Rookery they import nothing anyway.
PYTHON = [sys.executable, "-I"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with node_process(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture
def program(node: NodeProcess, tmp_path: Path) -> Callable[[str, int], Path]:
    """Writes the page's nth program in a language to a file, pointed at the node."""

    def write(language: str, nth: int = 0) -> Path:
        path = tmp_path / f"program.{language}"
        text = PROGRAMS[language][nth].replace("nats://127.0.0.1:4222", node.node.nats_url)
        path.write_text(text.replace("http://127.0.0.1:8800", node.node.url))
        return path

    return write


def output_of(*command: object, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def console(command: str, node: NodeProcess) -> str:
    """What a command of the page prints, asked of the node."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return output_of("sh", "-c", command, ROOKERY_URL=node.node.url, PATH=path)


def run_of(agent_id: str, node: NodeProcess) -> dict[str, Any]:
    """The agent's only run, once all that was published before is visible."""
    last = encode(Event.of(RunStarted(), subject="run-last", source="/agents/test"))
    with httpx.Client(base_url=node.node.url, trust_env=False) as http:
        http.post("/events", params={"wait": "visible"}, json=json.loads(last)).raise_for_status()
        assert http.get("/dead-letters").json() == []
        (row,) = http.get("/query/runs", params={"agent_id": agent_id}).json()["rows"]
    found: dict[str, Any] = row
    return found


def test_python_publishes_with_nothing_of_rookery(node: NodeProcess, program: Callable[..., Path]) -> None:
    assert re.fullmatch(r"durable as \d+\n", output_of(*PYTHON, program("python")))
    assert run_of("coder-7", node)["task"] == "Review the diff"


def test_node_publishes(node: NodeProcess, program: Callable[..., Path], node_modules: Path) -> None:
    assert re.fullmatch(r"durable as \d+\n", output_of("node", program("js"), NODE_PATH=str(node_modules)))
    assert run_of("coder-8", node)["task"] == "Review the diff"


@pytest.mark.skipif(not shutil.which("nats"), reason="the `nats` command: github.com/nats-io/natscli")
def test_the_nats_command_publishes(node: NodeProcess, program: Callable[..., Path]) -> None:
    assert "EVENTS" in output_of("sh", program("sh"))
    assert run_of("coder-9", node)["task"] == "Review the diff"


def test_work_is_given_taken_and_its_result_told(node: NodeProcess, program: Callable[..., Path]) -> None:
    (give, gives), (wait, told) = (session.split("\n", 1) for session in SESSIONS[:2])
    assert console(give, node) == gives
    agent = subprocess.Popen([*PYTHON, program("python", 1)])
    try:
        assert console(wait, node) == told
    finally:
        agent.kill()
        agent.wait()
    assert run_of("counter-1", node)["status"] == "completed"


def test_work_is_done_over_http_alone(node: NodeProcess, program: Callable[..., Path]) -> None:
    command, told = SESSIONS[2].split("\n", 1)
    agent = subprocess.Popen([*PYTHON, program("python", 2)])
    try:
        deadline = time.monotonic() + SECONDS_MAX
        while httpx.get(f"{node.node.url}/agents/counter-9", trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert console(command, node) == told
    finally:
        agent.kill()
        agent.wait()


async def test_rookerys_own_agents_take_from_the_queue_that_the_program_made(node: NodeProcess) -> None:
    async with await NatsBus.connect(node.node.nats_url) as bus, asyncio.timeout(SECONDS_MAX):
        data = AssignmentCreated(kind="text.count", input={"text": "four"})
        await bus.give(Event.of(data, subject="count-2", source="/people/ada"))
        async with aclosing(bus.work("text.count", in_hand_max=1)) as queue:
            work = await anext(queue)
            assert work.event.subject == "count-2"
            await work.done()
