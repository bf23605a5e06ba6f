"""Processes that answer questions about the knowledge graph, over copies of it that cost next to nothing.

No query of the graph's store can be interrupted, so each runs in a process of its own that can be ended: by the kernel
when its seconds are over, by the limit on its memory, by us when whoever asked has gone away.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from pyoxigraph import Store

from ..projections import QueryFailed, QueryRefused
from ..projections.graph.worker import LENGTH_BYTES, MEMORY_BYTES_MAX, NETWORKED
from .graph_copies import Copies, Copy
from .graph_pasts import CopyUnreadable, Pasts, Sources, Vector
from .lanes import TooBusy

WORKERS_MAX = 4
QUESTIONS_WAITING_MAX = 64
EXPORT_SECONDS_MAX = 600.0
EXPORTS_AT_ONCE_MAX = 2  # fewer than workers, so that slow readers leave some for questions
PAST_SPARE_SECONDS = 60.0  # that it may take longer to end with what has been made than to be told to
_COMMAND = (sys.executable, "-m", "rookery.projections.graph.worker")


class GraphWorkers:
    """Answers questions about the graph. A question sees everything that was in the graph when it was asked.

    `store` gives the graph's store as it is now, `version` something that differs whenever the graph does. Copies of
    the store are hard links in `folder`, which has to be on the same file system. With `sources` the past can be asked
    too; its graphs lie in the folder `past` beside.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        version: Callable[[], object],
        folder: Path,
        *,
        seconds_max: float,
        workers_max: int = WORKERS_MAX,
        sources: Sources | None = None,
    ) -> None:
        self._seconds_max = seconds_max
        self._copies = Copies(store, version, folder)
        self._pasts = Pasts(folder.with_name("past"), sources, self._copies.current, _make) if sources else None
        self._room = asyncio.Semaphore(workers_max)
        self._exports = asyncio.Semaphore(EXPORTS_AT_ONCE_MAX)
        self._idle: list[Worker] = []
        self._waiting = 0

    async def ask(self, kind: str, *, as_of: Vector | None = None, **options: Any) -> bytes:
        """The answer, of the graph as it is now or was then.

        Raises `QueryRefused`, `QueryFailed`, `TooBusy`, and `PastGraphNotMade`.
        """
        async with self._worker(as_of) as worker, aclosing(worker.answer(kind, options, self._seconds_max)) as frames:
            return b"".join([frame async for frame in frames])

    async def check(self, content: bytes, media_type: str) -> None:
        """Read a file of reference data where nothing comes to harm. Raises as `ask` does if it can't be taken in."""
        await self.ask("check", content=b64encode(content).decode(), media_type=media_type)

    async def export(self, *, as_of: Vector | None = None, **options: Any) -> AsyncGenerator[bytes, None]:
        """The graph in parts, as they come; the first one is there once this returns."""
        if self._exports.locked():
            raise TooBusy("exports of the graph", EXPORTS_AT_ONCE_MAX)
        parts = self._parts(as_of, options)
        first = await anext(parts, b"")
        return _after(first, parts)

    async def close(self) -> None:
        """End the processes that are idle, and remove the copies. Call it when nobody asks any more."""
        for worker in self._idle:
            await worker.end()
        self._idle.clear()
        self._copies.close()
        if self._pasts:
            self._pasts.close()

    async def _parts(self, as_of: Vector | None, options: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        async with (
            self._exports,
            self._worker(as_of) as worker,
            aclosing(worker.answer("export", options, EXPORT_SECONDS_MAX)) as frames,
        ):
            async for frame in frames:
                yield frame

    @asynccontextmanager
    async def _worker(self, as_of: Vector | None) -> AsyncIterator[Worker]:
        """A worker that looks at the graph as it is now, or was. One that is interrupted, or fails, is ended."""
        async with self._past(as_of) as past, self._turn():
            copy = (past or await self._copies.current()).use()  # another may be the newest before a worker has begun
            try:
                worker = await self._rested() or await Worker.start()
                try:
                    worker.look_at(copy)
                    yield worker
                finally:
                    if worker.is_idle:
                        self._idle.append(worker)
                    else:
                        await worker.end()
            except CopyUnreadable:
                self._copies.give_up(copy)
                raise
            finally:
                copy.release()

    async def _rested(self) -> Worker | None:
        """A worker that is idle, and was not ended by somebody else meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive:
                return worker
            await worker.end()
        return None

    @asynccontextmanager
    async def _past(self, as_of: Vector | None) -> AsyncIterator[Copy | None]:
        if as_of is None:
            yield None
            return
        assert self._pasts, "no sources were given to make the past from"
        async with self._pasts.at(as_of) as copy:
            yield copy

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """One of the workers is free."""
        if self._waiting >= QUESTIONS_WAITING_MAX:
            raise TooBusy("questions about the graph", QUESTIONS_WAITING_MAX)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._room.release()


async def _make(options: dict[str, Any]) -> Vector:
    """Make a graph of the past, in a process that then ends, and with it all the memory that it took."""
    worker = await Worker.start(NETWORKED)
    try:
        seconds = options["seconds"] + PAST_SPARE_SECONDS
        async with aclosing(worker.answer("past", options, seconds)) as frames:
            reached = b"".join([frame async for frame in frames])
        return cast(Vector, json.loads(reached))
    finally:
        await worker.end()


class Worker:
    """One process. It is idle once its answer was read to the end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._copy: Copy | None = None
        self.is_idle = True

    @classmethod
    async def start(cls, *arguments: str) -> Worker:
        """Start a process."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        # Each of glibc's arenas reserves 64 MiB of what the process may have: threads that meet there make up to 16.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2"}
        return cls(
            await asyncio.create_subprocess_exec(
                *_COMMAND, *arguments, stdin=pipe, stdout=pipe, stderr=null, env=environment
            )
        )

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def look_at(self, copy: Copy) -> None:
        """Answer the next questions from this copy."""
        if self._copy is not copy:
            self._leave_copy()
            self._copy = copy.use()

    async def answer(self, kind: str, options: dict[str, Any], seconds: float) -> AsyncGenerator[bytes, None]:
        """The frames of the answer. Raises what the answer ends with."""
        assert self._process.stdin
        self.is_idle = False
        folder = str(self._copy.path) if self._copy else None
        question = {"kind": kind, "options": options, "folder": folder, "seconds": seconds}
        frame = json.dumps(question).encode()
        try:
            self._process.stdin.write(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)
            await self._process.stdin.drain()
            while frame := await self._receive():
                yield frame
            outcome = json.loads(await self._receive())
        except (asyncio.IncompleteReadError, ConnectionError):
            raise QueryFailed(_why_ended(await self._process.wait(), seconds)) from None
        self.is_idle = True
        _raise(outcome)

    async def end(self) -> None:
        """Kill the process: it has nothing that has to be saved."""
        self.is_idle = False
        if self.is_alive:
            self._process.kill()
        await self._process.wait()
        self._leave_copy()

    def _leave_copy(self) -> None:
        if self._copy:
            self._copy.release()
            self._copy = None

    async def _receive(self) -> bytes:
        assert self._process.stdout
        length = int.from_bytes(await self._process.stdout.readexactly(LENGTH_BYTES), "big")
        return await self._process.stdout.readexactly(length)


def _raise(outcome: dict[str, str]) -> None:
    if "unreadable" in outcome:
        raise CopyUnreadable(outcome["unreadable"])
    if "refused" in outcome:
        raise QueryRefused(outcome["refused"])
    if "failed" in outcome:
        raise QueryFailed(outcome["failed"])


def _why_ended(code: int, seconds: float) -> str:
    if code == -signal.SIGALRM:
        return f"it took longer than {seconds:g} s (query_seconds_max) and was stopped; ask for less"
    memory = f"{MEMORY_BYTES_MAX // 2**20:,} MiB"
    reason = f"it needed more than {memory} of memory, or was too deeply nested"
    return f"{reason}, and was stopped (exit code {code}); ask for less"


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part
