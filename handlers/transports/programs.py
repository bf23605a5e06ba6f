"""A program that is talked to in lines over its standard streams, and that leaves no process behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

from .calls import ANSWER_BYTES_MAX, shortened

# After its input has been closed, and again after SIGTERM; then it is killed with its whole group.
END_SECONDS = 1.0
SAID_BYTES_MAX = 4 * 1024
READ_BYTES = 64 * 1024
POLL_SECONDS = 0.01


class NotStarted(Exception):
    """The program can't be started."""


class LineTooLong(Exception):
    """The program wrote a line that is longer than may be."""


class Program:
    """A running program. Of what it says on stderr the end is kept, to tell why it failed."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._said = bytearray()
        self._listening = asyncio.create_task(self._listen(), name=f"stderr of {process.pid}")
        self._ending: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, command: Sequence[str]) -> Program:
        """Start it in a process group of its own. Raises `NotStarted`."""
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=ANSWER_BYTES_MAX, start_new_session=True
            )
        )
        try:
            return cls(await asyncio.shield(starting))
        except asyncio.CancelledError:  # it starts all the same: nobody else would end it
            with contextlib.suppress(OSError, ValueError):
                await cls(await starting).end()
            raise
        except (OSError, ValueError) as error:
            raise NotStarted(getattr(error, "strerror", None) or str(error)) from None

    @property
    def pid(self) -> int:
        """Its process, which is also its group."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._process.returncode is not None

    async def write(self, line: bytes) -> None:
        """Send it a line; waits while it doesn't read. Raises `OSError` where it has ended."""
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.write(line + b"\n")
        await self._process.stdin.drain()

    async def read(self) -> bytes | None:
        """The next line it says, without its end; None when it says no more. Raises `LineTooLong`."""
        assert self._process.stdout is not None, "started with a pipe"
        try:
            line = await self._process.stdout.readline()
        except ValueError:
            raise LineTooLong(f"wrote a line of more than {ANSWER_BYTES_MAX:,} bytes") from None
        return line.rstrip(b"\r\n") if line else None

    async def end(self) -> None:
        """End it, and whatever it started: asked first, killed when it doesn't. Bounded, also when it is cancelled."""
        self._ending = self._ending or asyncio.create_task(self._end(), name=f"end {self.pid}")
        cancelled = False
        while not self._ending.done():
            try:
                await asyncio.shield(self._ending)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    def why(self) -> str:
        """How it ended, and the last it said."""
        code = self._process.returncode
        how = "closed its output" if code is None else _told(code)
        last = shortened(self._said.decode(errors="replace")[-500:])
        return f"{how}; it last said: {last}" if last else how

    async def _end(self) -> None:
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if await self._ended_within(END_SECONDS):
                break
            self._signal(number)
        await self._ended_within(END_SECONDS)
        self._signal(signal.SIGKILL)  # what it started and left behind is in its group still
        self._listening.cancel()
        await asyncio.wait([self._listening])
        # What the group's dead held open is closed; asyncio's own end of it warns unless it is told.
        transport = getattr(self._process, "_transport", None)
        if transport is not None:
            transport.close()

    async def _ended_within(self, seconds: float) -> bool:
        """Polled: `wait` would wait for everybody who has inherited its streams, too."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not self.has_ended and loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        return self.has_ended

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _listen(self) -> None:
        assert self._process.stderr is not None, "started with a pipe"
        while said := await self._process.stderr.read(READ_BYTES):
            self._said += said
            del self._said[:-SAID_BYTES_MAX]


def _told(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
