"""docs/howto/folder-queue.md: its commands do what the page says."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import node_process

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "folder-queue.md").read_text()


async def test_the_commands_print_what_the_page_says(tmp_path: Path) -> None:
    (script,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (printed,) = re.findall(r"^```\n(watching .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    agent = Agent("adder", ["add"], attempts_max=1)

    @agent.on("add")
    async def add(task: Task) -> int:
        return sum(task.input)

    rookery = f"{sys.executable} -m rookery.ops.cli"
    with node_process(tmp_path / "data") as node:
        command = script.replace("rookery watch tasks", f"{rookery} watch tasks --url {node.node.url}")
        async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
            ran = await asyncio.to_thread(
                subprocess.run, ["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60
            )
    assert ran.returncode == 1
    assert sorted(ran.stdout.splitlines()) == sorted(printed.splitlines()[1:])
    result = json.loads((tmp_path / "tasks" / "sum.result.json").read_text())
    assert list(result) == list(json.loads(shown))
    assert result["result"] == 3
    assert "error" in json.loads((tmp_path / "tasks" / "add--words.md.error.json").read_text())
