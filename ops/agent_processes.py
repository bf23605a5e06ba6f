"""Agents in processes of their own, as a user would run them; none is left in the end, whatever happens meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from ..schemas import RookeryError

EXAMPLES_FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"
STOP_SECONDS_MAX = 5.0


class AgentEnded(RookeryError):
    """An agent ended before its work was done."""

    def __init__(self, agent_id: str, said: str) -> None:
        self.agent_id = agent_id
        super().__init__(f"agent {agent_id!r} ended before its work was done: {said or 'it said nothing'}")


class Program(NamedTuple):
    """A program in docs/examples, the agent that it runs, and the arguments that it takes."""

    file: str
    agent_id: str
    arguments: tuple[str, ...] = ()


class AgentProcess(NamedTuple):
    """An agent that was started. What it says comes into the file `said`."""

    agent_id: str
    process: subprocess.Popen[bytes]
    said: IO[bytes]

    def refuse_ended(self) -> None:
        """Raises `AgentEnded` where it runs no longer."""
        if self.process.poll() is not None:
            self.said.seek(0)
            raise AgentEnded(self.agent_id, self.said.read().decode(errors="replace").strip().rpartition("\n")[2])


@contextmanager
def running_agents(programs: Sequence[Program], nats_url: str) -> Iterator[list[AgentProcess]]:
    """The programs' processes, on this bus."""
    agents: list[AgentProcess] = []
    try:
        for program in programs:
            agents.append(_started(program, nats_url))  # noqa: PERF401 (who is started is to be stopped)
        yield agents
    finally:
        _stop(agents)


def _started(program: Program, nats_url: str) -> AgentProcess:
    said = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the agent is stopped)
    process = subprocess.Popen(
        # -P: its neighbours must not take the place of modules
        [sys.executable, "-P", str(EXAMPLES_FOLDER / program.file), *program.arguments],
        env={**os.environ, "ROOKERY_NATS_URL": nats_url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # a Ctrl-C is for us: we stop them in good order
    )
    return AgentProcess(program.agent_id, process, said)


def _stop(agents: list[AgentProcess]) -> None:
    for agent in agents:
        agent.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS_MAX
    for agent in agents:
        try:
            agent.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            agent.process.kill()
            agent.process.wait()
        agent.said.close()
