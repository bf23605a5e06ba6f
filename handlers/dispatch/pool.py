"""The local pool: an ordinary agent beside the node, for capabilities that nobody alive in the colony has.

What it does is said by the node's settings: a command for each capability. The task's input comes to the command as
JSON on its standard input; what it prints is the result, as JSON where it is JSON, and else as text. A command that
ends with another exit code than 0 has failed, for the reason that it printed on standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Mapping
from typing import Any

import msgspec

from ...schemas import InvalidInput, RookeryError
from ..agent import Agent, Task

POOL = "local-1"
ROLE = "local pool"
COMMANDS_AT_ONCE_MAX = 4
DRAIN_SECONDS = 5.0
OUTPUT_BYTES_MAX = 256 * 1024
ERROR_CHARACTERS_MAX = 2_000


class CommandUnusable(InvalidInput):
    """What is offered locally is no command (capability, reason)."""

    def __init__(self, capability: str, reason: str) -> None:
        self.capability = capability
        self.reason = reason
        super().__init__(f"the command for {capability!r} {reason}")


class CommandFailed(RookeryError):
    """The command of a capability did not do its task."""

    def __init__(self, capability: str, reason: str) -> None:
        self.capability = capability
        self.reason = reason
        super().__init__(f"the command for {capability} {reason}")


def commands_in(local_work: tuple[str, ...]) -> dict[str, list[str]]:
    """What is offered, by capability, from `capability=command`. Raises `CommandUnusable`."""
    found: dict[str, list[str]] = {}
    for one in local_work:
        capability, _, command = one.partition("=")
        try:
            found[capability.strip()] = shlex.split(command)
        except ValueError as error:
            raise CommandUnusable(capability, f"can't be read: {error}") from None
        if not found[capability.strip()]:
            raise CommandUnusable(capability, "is missing: write capability=command")
    return found


def pool_of(commands: Mapping[str, list[str]]) -> Agent:
    """The agent that does with these commands what is given to it by name."""
    agent = Agent(
        POOL, list(commands), concurrency=COMMANDS_AT_ONCE_MAX, drain_seconds=DRAIN_SECONDS, role=ROLE, pulls=False
    )
    for capability, command in commands.items():
        _offer(agent, capability, command)
    return agent


def _offer(agent: Agent, capability: str, command: list[str]) -> None:
    @agent.on(capability)
    async def carry_out(task: Task) -> Any:
        return await _result_of(capability, command, task.input)


async def _result_of(capability: str, command: list[str], given: Any) -> Any:
    pipe = asyncio.subprocess.PIPE
    try:
        program = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise CommandFailed(capability, f"can't be started: {error}") from None
    try:
        told, complained = await program.communicate(msgspec.json.encode(given))
    finally:
        with contextlib.suppress(ProcessLookupError):
            program.kill()
        await program.wait()
    if program.returncode:
        reason = complained.decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:]
        raise CommandFailed(capability, f"ended with exit code {program.returncode}: {reason or 'it said nothing'}")
    if len(told) > OUTPUT_BYTES_MAX:
        raise CommandFailed(capability, f"printed {len(told):,} bytes, and {OUTPUT_BYTES_MAX:,} are allowed")
    try:
        return msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return told.decode(errors="replace").rstrip("\n")
