"""Copies of the graph, which cost next to nothing: hard links to files that are never changed."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

from pyoxigraph import Store

from ..projections import QueryFailed
from .lanes import Lane

COPIES_PAUSE_SECONDS = 0.1


class Copy:
    """A copy of the graph, removed when nobody looks at it any more."""

    def __init__(self, folder: Path, version: object, path: Path | None = None) -> None:
        self.path = path or folder
        self.version = version
        self._folder = folder
        self._users = 1

    def use(self) -> Copy:
        """One more looks at it."""
        self._users += 1
        return self

    def release(self) -> None:
        """One less does."""
        self._users -= 1
        if not self._users:
            shutil.rmtree(self._folder, ignore_errors=True)


class Copies:
    """Makes a copy when the graph has changed since the last one, with pauses between them."""

    def __init__(self, store: Callable[[], Store], version: Callable[[], object], folder: Path) -> None:
        self._store = store
        self._version = version
        self._folder = folder
        self._numbers = count()
        self._making = asyncio.Lock()
        self._lane = Lane("copies of the graph", 1, 1)
        self._made_at = float("-inf")
        self._newest: Copy | None = None
        self._begun: asyncio.Future[Copy] | None = None
        shutil.rmtree(folder, ignore_errors=True)

    async def current(self) -> Copy:
        """A copy that has everything that is in the graph at the moment of the call."""
        clock = asyncio.get_running_loop().time
        async with self._making:
            if self._begun:  # by somebody who has left since
                await asyncio.wait([self._begun])
            if self._newest is None or self._newest.version != self._version():
                await asyncio.sleep(self._made_at + COPIES_PAUSE_SECONDS - clock())
                self._begun = asyncio.ensure_future(self._lane.run(self._make))
                self._begun.add_done_callback(self._take)
                await asyncio.shield(self._begun)
            assert self._newest
            return self._newest

    def give_up(self, copy: Copy) -> None:
        """This one can't be read: another is made for whoever asks next."""
        if self._newest is copy:
            self.close()

    def close(self) -> None:
        """Let go of the newest."""
        if self._newest:
            self._newest.release()
            self._newest = None

    def _take(self, made: asyncio.Future[Copy]) -> None:
        """What was made is the newest, also where nobody waits for it any more: none is left that nobody removes."""
        self._begun = None
        self._made_at = made.get_loop().time()
        if not made.cancelled() and not made.exception():
            self.close()
            self._newest = made.result()

    def _make(self) -> Copy:
        version, path = self._version(), self._folder / str(next(self._numbers))
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._store().backup(path)
        except (OSError, RuntimeError) as error:
            shutil.rmtree(path, ignore_errors=True)
            raise QueryFailed(f"the graph can't be asked now: {error}") from None
        return Copy(path, version)
