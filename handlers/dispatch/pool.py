"""The local pool: an ordinary agent beside the node, for capabilities that nobody alive in the colony has.

What it does is said by the node's settings: a command for each capability. The task's input comes to the command as
JSON on its standard input; what it prints is the result, as JSON where it is JSON, and else as text. A command that
ends with another exit code than 0 has failed, for the reason that it printed on standard error.

What is given while nobody alive can do it is given to the pool by name. What was given before, and waits when the last
one who could do it dies, the pool takes as any agent does, for as long as nobody else can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from asyncio.subprocess import Process
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ...bus import Bus
from ...schemas import InvalidInput, RookeryError
from ..agent import Agent, Task
from ..agent.serving import Serving
from .dispatcher import Dispatcher

POOL = "local-1"
ROLE = "local pool"
COMMANDS_AT_ONCE_MAX = 4
DRAIN_SECONDS = 5.0
# How often to look whether anybody else can: who can't be found at two looks is missed.
LOOK_SECONDS = 1.0
OUTPUT_BYTES_MAX = 256 * 1024
ERROR_CHARACTERS_MAX = 2_000
ERROR_BYTES_MAX = 4 * ERROR_CHARACTERS_MAX
READ_BYTES = 64 * 1024


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


async def serve_pool(bus: Bus, commands: Mapping[str, list[str]], dispatcher: Dispatcher) -> None:
    """Do what is for the pool, and what waits for anybody while the dispatcher knows of nobody, until cancelled."""
    async with pool_of(commands).serving(bus) as pool:
        standing_in = asyncio.create_task(_stand_in(pool, commands, dispatcher), name="pool: stand in")
        try:
            await pool.until_it_fails()
        finally:
            standing_in.cancel()
            await asyncio.wait([standing_in])


async def _stand_in(pool: Serving, capabilities: Iterable[str], dispatcher: Dispatcher) -> None:
    await dispatcher.until_begun()
    missed = set[str]()
    while True:
        for capability in capabilities:
            if not dispatcher.stands_in(capability):
                missed.discard(capability)
                await pool.leave_off(capability)
            elif capability in missed:
                pool.take_up(capability)
            else:  # a suspect may be back in a moment
                missed.add(capability)
        await asyncio.sleep(LOOK_SECONDS)


def _offer(agent: Agent, capability: str, command: list[str]) -> None:
    @agent.on(capability)
    async def carry_out(task: Task) -> Any:
        return await _result_of(capability, command, task.input)


async def _result_of(capability: str, command: list[str], given: Any) -> Any:
    pipe = asyncio.subprocess.PIPE
    try:
        program = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
    except OSError as error:
        raise CommandFailed(capability, f"can't be started: {error}") from None
    try:
        told, complained, _ = await asyncio.gather(
            _told(capability, program), _complained(program), _ask(program, given)
        )
        await program.wait()
    except BaseException:
        _end(program)
        raise
    if program.returncode:
        reason = complained.decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:]
        raise CommandFailed(capability, f"ended with exit code {program.returncode}: {reason or 'it said nothing'}")
    try:
        return msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return told.decode(errors="replace").rstrip("\n")


async def _ask(program: Process, given: Any) -> None:
    assert program.stdin is not None, "started with a pipe"
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # not every command reads what it is given
        program.stdin.write(msgspec.json.encode(given))
        await program.stdin.drain()
    program.stdin.close()


async def _told(capability: str, program: Process) -> bytes:
    """All that it prints; no more of it is held than is allowed. Raises `CommandFailed`."""
    assert program.stdout is not None, "started with a pipe"
    told = bytearray()
    while part := await program.stdout.read(READ_BYTES):
        told += part
        if len(told) > OUTPUT_BYTES_MAX:
            raise CommandFailed(capability, f"printed more than the {OUTPUT_BYTES_MAX:,} bytes that are allowed")
    return bytes(told)


async def _complained(program: Process) -> bytes:
    """The last of what it says on standard error."""
    assert program.stderr is not None, "started with a pipe"
    said = bytearray()
    while part := await program.stderr.read(READ_BYTES):
        said += part
        del said[:-ERROR_BYTES_MAX]
    return bytes(said)


def _end(program: Process) -> None:
    """Kill it with whatever it has started. It isn't waited for: asyncio would wait until its last word is read."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    transport = getattr(program, "_transport", None)
    if transport is not None:
        transport.close()
