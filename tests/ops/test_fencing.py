"""An agent that is stopped in the midst of a task, and comes back when another has done it, commits nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from rookery import Agent, Colony, Task
from rookery.bus import Bus, Entity
from rookery.ops.data_folder import DataFolder
from rookery.ops.node import running_node
from rookery.ops.settings import Settings
from rookery.schemas import EventData, decode

PROGRAM = """
import asyncio, pathlib, sys
import rookery

folder = pathlib.Path(sys.argv[1])
agent = rookery.Agent("sleeper", ["wait"], heartbeat_seconds=1, concurrency=1)

@agent.on("wait")
async def wait(task):
    (folder / "begun").touch()
    while not (folder / "go").exists():
        await asyncio.sleep(0.01)
    async with task.llm_call("openai", "gpt-4o") as call:
        call.usage(input_tokens=10, output_tokens=1)
    return "by the sleeper"

agent.run()
"""


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(40):
        while not is_so():
            await asyncio.sleep(0.01)


async def told_of(bus: Bus, kind: str, id: str) -> list[EventData]:
    return [decode(one.payload).payload() for one in (await bus.history(Entity(kind, id))).deliveries]


async def test_who_was_stopped_until_another_had_done_its_work_commits_nothing_and_registers_anew(
    tmp_path: Path,
) -> None:
    program, folder = tmp_path / "program.py", tmp_path / "data"
    program.write_text(PROGRAM)
    settings = Settings(data=folder, port=0, nats_port=0, verify_megabytes_per_second=0)
    with DataFolder(folder) as owned:
        async with running_node(owned, settings) as node:
            colony, tracker = Colony(node.bus), node.watch.tracker
            sleeper = await asyncio.create_subprocess_exec(
                sys.executable, program, tmp_path, env={**os.environ, "ROOKERY_NATS_URL": node.nats_url}
            )
            try:
                given = await colony.assign("wait", id="as-1")
                await until((tmp_path / "begun").exists)
                while len(await told_of(node.bus, "assignment", given)) < 2:
                    await asyncio.sleep(0.01)
                sleeper.send_signal(signal.SIGSTOP)
                await until(lambda: tracker.record("sleeper").state == "expired")
                other = Agent("other", ["wait"])

                @other.on("wait")
                async def wait(task: Task) -> str:
                    return "by the other"

                async with other.serving(node.bus):
                    assert await colony.result(given, timeout_seconds=40) == "by the other"
                before = await told_of(node.bus, "assignment", given)
                (tmp_path / "go").touch()
                sleeper.send_signal(signal.SIGCONT)
                await until(lambda: tracker.record("sleeper").state == "alive")
                assert tracker.record("sleeper").incarnation >= 2
                assert await colony.result(await colony.assign("wait"), timeout_seconds=40) == "by the sleeper"
                assert await told_of(node.bus, "assignment", given) == before
                names = [type(one).__name__ for one in before]
                assert names.count("AssignmentCompleted") == 1
                runs = [one.run_id for one in before if type(one).__name__ == "AssignmentStarted"]  # type: ignore[attr-defined]
                lost = [type(one).__name__ for one in await told_of(node.bus, "run", runs[0])]
                assert "RunCompleted" not in lost
            finally:
                sleeper.kill()
                await sleeper.wait()
