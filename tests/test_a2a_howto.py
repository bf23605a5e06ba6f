"""docs/howto/a2a.md: its program works, and what it lists of the liveness extension is what cards have."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import msgspec
from rookery import Agent, Task
from rookery.bus import NatsBus
from rookery.handlers.a2a import LIVENESS, Liveness
from rookery.ops.bench.node_process import node_process

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "howto" / "a2a.md").read_text()
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


async def test_its_program_has_an_agent_count_letters(tmp_path: Path) -> None:
    agent = Agent("counter", ["letters.count"])

    @agent.on("letters.count")
    async def count(task: Task) -> str:
        return f"{len(task.input)} letters"

    with node_process(tmp_path / "data") as node:
        program = PROGRAM.replace("http://127.0.0.1:8800", node.node.url)
        async with await NatsBus.connect(node.node.nats_url) as bus, agent.serving(bus):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NO_PROXY": "*"}
            )
            printed, _ = await process.communicate()
    assert printed.decode() == "4 letters\n"


def test_the_extension_has_the_fields_that_the_page_lists() -> None:
    assert f"`{LIVENESS}`" in PAGE
    (table,) = re.findall(r"Its `params` are:\n\n(.*?)\n\n", PAGE, re.S)
    listed = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert set(listed) == {field.encode_name for field in msgspec.structs.fields(Liveness)}
