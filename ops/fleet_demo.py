"""Ten agents at work on the files of a folder, one of which is killed in the midst of it: the work goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..bus import Bus, Entity
from ..handlers.agent import Colony, connect
from ..handlers.agent.assigning import end_in
from ..schemas import InvalidInput, RookeryError, decode
from .agent_processes import AgentProcess, Program, running_agents
from .client import Client

FILES_MAX = 60
START_SECONDS_MAX = 30.0
WORK_SECONDS_MAX = 90.0
ARRIVING_SECONDS = 0.1  # by then, the bus has what an agent had sent when it was stopped
ROUNDS_MAX = 3
ROUND_SECONDS_MAX = 10.0
TASK_SECONDS_MAX = 30.0
POLL_SECONDS = 0.1
_SQL = Path(__file__).parent / "sql"
STANDING = (_SQL / "fleet_demo.sql").read_text("utf-8")
ENDS = (_SQL / "fleet_demo_ends.sql").read_text("utf-8")

PROGRAM = "fleet_agent.py"
STARTED = "evt.assignment.*.started.*"
COUNT, LINT, TEST = "file.count", "file.lint", "file.test"
NAMES = {COUNT: ("counter", 4), LINT: ("linter", 3), TEST: ("tester", 3)}
FLEET = tuple(
    Program(PROGRAM, f"{name}-{number}", (f"{name}-{number}", capability))
    for capability, (name, count) in NAMES.items()
    for number in range(1, count + 1)
)

Tell = Callable[[str], object]


class NoFiles(InvalidInput):
    """The folder has nothing to work on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} has no files of text that git knows; go into a clone of a repository")


class FleetStuck(RookeryError):
    """The fleet did not come so far in the time that it has."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} after {seconds:.0f} s; `rookery agents list` and `rookery assignments list` say more")


class Killed(msgspec.Struct, frozen=True, kw_only=True):
    """Who was killed, with what in hand; how soon the colony knew, and who did that work then."""

    agent_id: str
    assignment_id: str
    noticed_seconds: float
    taken_up_by: str


class Worked(msgspec.Struct, frozen=True, kw_only=True):
    """What the fleet did. `ended_once` counts tasks of which there is exactly one end in the log."""

    folder: str
    files: int
    tasks: int
    completed: int
    ended_once: int
    killed: Killed
    work: list[dict[str, Any]]
    seconds: float


def files_of(folder: Path) -> list[Path]:
    """The first files of text that git knows in the folder. Raises `NoFiles`."""
    command = ["git", "grep", "-Ilz", ""]  # what is binary is left out
    listed = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    paths = [folder / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    found = [path for path in paths if not path.is_symlink() and path.is_file()][:FILES_MAX]
    if not found:
        raise NoFiles(folder)
    return found


def at_work(client: Client, folder: Path, files: Sequence[Path], tell: Tell) -> Worked:
    """Start the fleet, give it its tasks, kill one of it, and wait for the end. Blocks.

    Raises `AgentEnded` or `FleetStuck`.
    """
    nats_url = client.get("/status")["bus"]["url"]
    with running_agents(FLEET, nats_url) as agents:
        return _Fleet(client, nats_url, files, agents, tell).work(folder)


class _Fleet:
    """The fleet, as the node knows it."""

    def __init__(
        self, client: Client, nats_url: str, files: Sequence[Path], agents: Sequence[AgentProcess], tell: Tell
    ) -> None:
        self._client = client
        self._nats_url = nats_url
        self._files = files
        self._agents = {agent.agent_id: agent for agent in agents}
        self._tell = tell
        self._began = datetime.now(UTC)
        self._tasks: list[str] = []
        self._killed: str | None = None

    def work(self, folder: Path) -> Worked:
        self._until("not all agents are there", START_SECONDS_MAX, lambda now: now["alive"] == len(self._agents))
        self._tell(f"{len(self._agents)} agents are there")
        began = time.monotonic()
        agent_id, assignment_id = asyncio.run(self._give_and_stop_one())
        killed = self._kill(agent_id, assignment_id)
        now = self._until("the work is not done", WORK_SECONDS_MAX, lambda now: now["over"] == len(self._tasks))
        return Worked(
            folder=str(folder),
            files=len(self._files),
            tasks=len(self._tasks),
            completed=now["completed"],
            ended_once=self._ask(ENDS, assignments=self._tasks)["ended_once"],
            killed=msgspec.structs.replace(killed, taken_up_by=self._holder(killed.assignment_id)),
            work=now["work"],
            seconds=time.monotonic() - began,
        )

    async def _give_and_stop_one(self) -> tuple[str, str]:
        """Give the work, and stop somebody's process in the midst of a task: who, and which. Raises `FleetStuck`."""
        async with connect(self._nats_url, name="demo") as colony:
            for _ in range(ROUNDS_MAX):
                before = (await colony.bus.state()).last_sequence
                given = await _given(colony, self._files)
                self._tell(f"{len(given)} tasks are given, for {len(self._files)} files")
                self._tasks += given
                with suppress(TimeoutError):  # all of it was done before anybody could be stopped
                    async with asyncio.timeout(ROUND_SECONDS_MAX):
                        return await self._stop_one(colony.bus, before)
        raise FleetStuck("nobody could be stopped with a task in hand", ROUNDS_MAX * ROUND_SECONDS_MAX)

    async def _stop_one(self, bus: Bus, after: int) -> tuple[str, str]:
        begun = 0
        async for deliveries in bus.read(after=after, subject=STARTED):
            event = decode(deliveries[-1].payload)
            begun += len(deliveries)
            if begun > len(self._agents) and event.subject in self._tasks:
                process = self._agents[event.publisher].process
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(ARRIVING_SECONDS)
                if not await _is_over(bus, event.subject):
                    return event.publisher, event.subject
                process.send_signal(signal.SIGCONT)
        raise AssertionError("the bus is read for ever")

    def _kill(self, agent_id: str, assignment_id: str) -> Killed:
        """Kill who was stopped, and wait until the colony knows that it is dead."""
        self._killed = agent_id
        self._agents[agent_id].process.kill()
        at = time.monotonic()
        self._tell(f"{agent_id} is killed, with a task in hand")
        otherwise = f"{agent_id} is not known to be dead"
        self._until(otherwise, WORK_SECONDS_MAX, lambda now: now["states"][agent_id] == "expired")
        noticed = time.monotonic() - at
        self._tell(f"{agent_id} is known to be dead, {noticed:.1f} s after")
        return Killed(agent_id=agent_id, assignment_id=assignment_id, noticed_seconds=noticed, taken_up_by="")

    def _holder(self, assignment_id: str) -> str:
        return str(self._client.get(f"/assignments/{assignment_id}")["agent_id"])

    def _until(self, otherwise: str, seconds: float, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while not is_so(now := self._now()):
            if time.monotonic() > deadline:
                raise FleetStuck(otherwise, seconds)
            for agent in self._agents.values():
                if agent.agent_id != self._killed:
                    agent.refuse_ended()
            time.sleep(POLL_SECONDS)
        return now

    def _now(self) -> dict[str, Any]:
        return self._ask(STANDING, assignments=self._tasks, agents=list(self._agents))

    def _ask(self, statement: str, **parameters: Any) -> dict[str, Any]:
        began = f"{self._began:%Y-%m-%d %H:%M:%S.%f}"
        question = {"sql": statement, "parameters": parameters | {"began": began}}
        [row] = self._client.post("/sql", msgspec.json.encode(question))["rows"]
        return dict(row)


async def _given(colony: Colony, files: Sequence[Path]) -> list[str]:
    """Every file is counted and linted, and Python's are tested."""
    wanted = [(kind, path) for path in files for kind in NAMES if kind != TEST or path.suffix == ".py"]
    return await asyncio.gather(
        *(colony.assign(kind, {"path": str(path)}, timeout_seconds=TASK_SECONDS_MAX) for kind, path in wanted)
    )


async def _is_over(bus: Bus, assignment_id: str) -> bool:
    history = await bus.history(Entity("assignment", assignment_id))
    return any(end_in(delivery) for delivery in history.deliveries)
