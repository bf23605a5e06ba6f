"""docs/howto/folder-queue.md: its commands do what the page says, beside a node that watches a folder by itself."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import node_process

from .ops.conftest import Rookery, command_line

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "folder-queue.md").read_text()


def told(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


async def test_a_node_and_the_command_do_what_is_dropped_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """For real: a node that watches one folder, the page's commands with another, and an agent that does the work."""
    (script,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```\n(watching .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    *dropping, command = script.strip().splitlines()
    watched, tasks = tmp_path / "watched", tmp_path / "tasks"
    watched.mkdir()
    (watched / "one.json").write_text('{"capability": "add", "input": [1, 2]}')
    monkeypatch.chdir(tmp_path)
    await asyncio.to_thread(subprocess.run, ["sh", "-ec", "\n".join(dropping)], check=True)
    agent = Agent("adder", ["add"], attempts_max=1)

    @agent.on("add")
    async def add(task: Task) -> int:
        return sum(task.input)

    with node_process(tmp_path / "data", f"--watch={watched}") as node:
        monkeypatch.setenv("ROOKERY_URL", node.node.url)
        async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
            rookery: Rookery = command_line(capfd)
            ended = await asyncio.to_thread(rookery, *command.split()[1:])
            while not (watched / "one.result.json").exists():
                await asyncio.sleep(0.05)
    assert told(watched, "one.result.json")["result"] == 3
    assert sorted(ended.out.splitlines()) == sorted(printed.splitlines()[1:])
    assert ended.code == 1
    assert "1 of them failed" in ended.err
    assert list(told(tasks, "sum.result.json")) == list(json.loads(shown))
    assert told(tasks, "sum.result.json")["result"] == 3
    assert "error" in told(tasks, "add--words.md.error.json")
