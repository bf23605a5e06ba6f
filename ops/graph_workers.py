"""Processes that answer questions about the knowledge graph, over copies of it that cost next to nothing.

No query of the graph's store can be interrupted, so each runs in a process of its own that can be ended: by the kernel
when its seconds are over, by the limit on its memory, by us when whoever asked has gone away.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from pyoxigraph import Store

from ..projections import QueryFailed, QueryRefused
from ..projections.graph.worker import LENGTH_BYTES, MEMORY_BYTES_MAX
from .lanes import Lane, TooBusy

WORKERS_MAX = 4
QUESTIONS_WAITING_MAX = 64
EXPORT_SECONDS_MAX = 600.0
EXPORTS_AT_ONCE_MAX = 2  # fewer than workers, so that slow readers leave some for questions
COPIES_PAUSE_SECONDS = 0.1
_COMMAND = (sys.executable, "-m", "rookery.projections.graph.worker")


class GraphWorkers:
    """Answers questions about the graph. A question sees everything that was in the graph when it was asked.

    `store` gives the graph's store as it is now, `version` something that differs whenever the graph does. Copies of
    the store are hard links in `folder`, which has to be on the same file system.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        version: Callable[[], object],
        folder: Path,
        *,
        seconds_max: float,
        workers_max: int = WORKERS_MAX,
    ) -> None:
        self._seconds_max = seconds_max
        self._copies = _Copies(store, version, folder)
        self._room = asyncio.Semaphore(workers_max)
        self._exports = asyncio.Semaphore(EXPORTS_AT_ONCE_MAX)
        self._idle: list[_Worker] = []
        self._waiting = 0

    async def ask(self, kind: str, **options: Any) -> bytes:
        """The answer. Raises `QueryRefused`, `QueryFailed`, `TooBusy`."""
        async with self._worker() as worker, aclosing(worker.answer(kind, options, self._seconds_max)) as frames:
            return b"".join([frame async for frame in frames])

    async def export(self, **options: Any) -> AsyncGenerator[bytes, None]:
        """The graph in parts, as they come; the first one is there once this returns."""
        if self._exports.locked():
            raise TooBusy("exports of the graph", EXPORTS_AT_ONCE_MAX)
        parts = self._parts(options)
        first = await anext(parts, b"")
        return _after(first, parts)

    async def close(self) -> None:
        """End the processes that are idle, and remove the copies. Call it when nobody asks any more."""
        for worker in self._idle:
            await worker.end()
        self._idle.clear()
        self._copies.close()

    async def _parts(self, options: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        async with (
            self._exports,
            self._worker() as worker,
            aclosing(worker.answer("export", options, EXPORT_SECONDS_MAX)) as frames,
        ):
            async for frame in frames:
                yield frame

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[_Worker]:
        """A worker that looks at the graph as it is now. One that is interrupted, or fails, is ended."""
        if self._waiting >= QUESTIONS_WAITING_MAX:
            raise TooBusy("questions about the graph", QUESTIONS_WAITING_MAX)
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        worker = None
        try:
            copy = await self._copies.current()
            worker = self._idle.pop() if self._idle else await _Worker.start()
            worker.look_at(copy)
            yield worker
        finally:
            if worker and worker.is_idle:
                self._idle.append(worker)
            elif worker:
                await worker.end()
            self._room.release()


class _Copy:
    """A copy of the graph, removed when nobody looks at it any more."""

    def __init__(self, path: Path, version: object) -> None:
        self.path = path
        self.version = version
        self._users = 1

    def use(self) -> _Copy:
        """One more looks at it."""
        self._users += 1
        return self

    def release(self) -> None:
        """One less does."""
        self._users -= 1
        if not self._users:
            shutil.rmtree(self.path, ignore_errors=True)


class _Copies:
    """Makes a copy when the graph has changed since the last one, with pauses between them."""

    def __init__(self, store: Callable[[], Store], version: Callable[[], object], folder: Path) -> None:
        self._store = store
        self._version = version
        self._folder = folder
        self._numbers = count()
        self._making = asyncio.Lock()
        self._lane = Lane("copies of the graph", 1, 1)
        self._made_at = float("-inf")
        self._newest: _Copy | None = None
        shutil.rmtree(folder, ignore_errors=True)

    async def current(self) -> _Copy:
        """A copy that has everything that is in the graph at the moment of the call."""
        clock = asyncio.get_running_loop().time
        async with self._making:
            if self._newest is None or self._newest.version != self._version():
                await asyncio.sleep(self._made_at + COPIES_PAUSE_SECONDS - clock())
                newer = await self._lane.run(self._make)
                self._made_at = clock()
                self.close()
                self._newest = newer
            return self._newest

    def close(self) -> None:
        """Let go of the newest."""
        if self._newest:
            self._newest.release()
            self._newest = None

    def _make(self) -> _Copy:
        version, path = self._version(), self._folder / str(next(self._numbers))
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._store().backup(path)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(path, ignore_errors=True)
            raise QueryFailed(f"the graph can't be asked now: {error}") from None
        return _Copy(path, version)


class _Worker:
    """One process. It is idle once its answer was read to the end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._copy: _Copy | None = None
        self.is_idle = True

    @classmethod
    async def start(cls) -> _Worker:
        """Start a process."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        return cls(await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe, stderr=null))

    def look_at(self, copy: _Copy) -> None:
        """Answer the next questions from this copy."""
        if self._copy is not copy:
            self._leave_copy()
            self._copy = copy.use()

    async def answer(self, kind: str, options: dict[str, Any], seconds: float) -> AsyncGenerator[bytes, None]:
        """The frames of the answer. Raises what the answer ends with."""
        assert self._copy
        assert self._process.stdin
        self.is_idle = False
        question = {"kind": kind, "options": options, "folder": str(self._copy.path), "seconds": seconds}
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
        if self._process.returncode is None:
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
    if "refused" in outcome:
        raise QueryRefused(outcome["refused"])
    if "failed" in outcome:
        raise QueryFailed(outcome["failed"])


def _why_ended(code: int, seconds: float) -> str:
    if code == -signal.SIGALRM:
        return f"it took longer than {seconds:g} s (query_seconds_max) and was stopped; ask for less"
    memory = f"{MEMORY_BYTES_MAX // 2**20:,} MiB"
    return f"it needed more than {memory} of memory, or was too deeply nested, and was stopped; ask for less"


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part
