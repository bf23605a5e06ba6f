"""docs/howto/any-language.md: its programs run without Rookery, and what they publish is valid."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import NodeProcess, node_process
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentStarted,
    Event,
    EventData,
    RunCompleted,
    RunStarted,
    check_strictly,
    encode,
)

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "any-language.md").read_text()
PROGRAMS = {language: re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("python", "js", "sh")}
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
        path.write_text(PROGRAMS[language][nth].replace("nats://127.0.0.1:4222", node.node.nats_url))
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


def published(node: NodeProcess, run_id: str) -> dict[str, Any]:
    """The run's row, once all that was published before is visible."""
    last = encode(Event.of(RunStarted(), subject="run-last", source="/agents/test"))
    with httpx.Client(base_url=node.node.url, trust_env=False) as http:
        http.post("/events", params={"wait": "visible"}, json=json.loads(last)).raise_for_status()
        assert http.get("/dead-letters").json() == []
        (row,) = http.get("/query/runs", params={"run_id": run_id}).json()["rows"]
    found: dict[str, Any] = row
    return found


async def asked(bus: NatsBus, assignment_id: str, text: str) -> Event:
    """Work for whoever can count words."""
    data = AssignmentCreated(kind="text.count", input={"text": text})
    event = Event.of(data, subject=assignment_id, source="/people/ada")
    await bus.give(event)
    return event


async def said_in_answer(bus: NatsBus, cause: Event) -> list[EventData]:
    """What is published because of `cause`, up to the end of the assignment."""
    said: list[EventData] = []
    async with asyncio.timeout(SECONDS_MAX), aclosing(bus.read()) as batches:
        async for batch in batches:
            for delivery in batch:
                event, data = check_strictly(delivery.payload)
                if event.causationid == cause.id:
                    said.append(data)
                if isinstance(data, AssignmentCompleted):
                    return said
    raise AssertionError("reading ends only with the bus")


def test_python_publishes_with_nothing_of_rookery(node: NodeProcess, program: Callable[..., Path]) -> None:
    assert re.fullmatch(r"durable as \d+\n", output_of(*PYTHON, program("python")))
    assert published(node, "run-7")["task"] == "Review the diff"


def test_node_publishes(node: NodeProcess, program: Callable[..., Path], node_modules: Path) -> None:
    assert re.fullmatch(r"durable as \d+\n", output_of("node", program("js"), NODE_PATH=str(node_modules)))
    assert published(node, "run-8")["task"] == "Review the diff"


@pytest.mark.skipif(not shutil.which("nats"), reason="the `nats` command: github.com/nats-io/natscli")
def test_the_nats_command_publishes(node: NodeProcess, program: Callable[..., Path]) -> None:
    assert "EVENTS" in output_of("sh", program("sh"))
    assert published(node, "run-9")["task"] == "Review the diff"


async def test_work_is_taken_from_the_queue_that_rookerys_own_agents_share(
    node: NodeProcess, program: Callable[..., Path]
) -> None:
    async with await NatsBus.connect(node.node.nats_url) as bus:
        first = await asked(bus, "as-1", "one two three")
        agent = await asyncio.create_subprocess_exec(*PYTHON, program("python", 1))
        try:
            said = await said_in_answer(bus, first)
        finally:
            agent.kill()
            await agent.wait()
        assert [type(data) for data in said] == [RunStarted, AssignmentStarted, RunCompleted, AssignmentCompleted]
        assert said[-1] == AssignmentCompleted(agent_id="counter-1", result={"words": 3})
        async with asyncio.timeout(SECONDS_MAX), aclosing(bus.work("text.count", in_hand_max=1)) as queue:
            await asked(bus, "as-2", "four")
            work = await anext(queue)
            assert work.event.subject == "as-2"
            await work.done()
