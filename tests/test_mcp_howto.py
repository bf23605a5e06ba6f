"""docs/howto/mcp.md: its program does what the page says, and its table has every tool."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.ops.bench.node_process import node_process
from rookery.ops.mcp.tools import TOOLS

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "mcp.md").read_text()


def test_the_table_has_every_tool_and_says_which_change_something() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .*? \|(?: (yes) )?", PAGE, re.MULTILINE)
    assert rows == [(tool.name, "yes" if tool.changes else "") for tool in TOOLS]


async def test_the_program_prints_what_the_page_says(tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    agent = Agent("adder", ["add"])

    @agent.on("add")
    async def add(task: Task) -> int:
        return sum(task.input)

    with node_process(tmp_path) as node:
        asked = program.replace("http://127.0.0.1:8800", node.node.url)
        async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
            ran = await asyncio.to_thread(
                subprocess.run, [sys.executable, "-c", asked], capture_output=True, text=True, timeout=60
            )
    assert ran.stderr == ""
    done, models, refused = ran.stdout.splitlines()
    assert done == "completed 3"
    assert models.startswith("['")
    assert f"`{refused}`" in PAGE
