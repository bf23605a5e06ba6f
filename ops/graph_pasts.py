"""The graph as it was: copies of it that have gone to a moment, made when somebody asks, of which a few are kept.

Each is made from the nearest there is: the graph as it is now, a moment that is kept, or nothing, from the first event
on. What that takes depends on the events in between, not on the log.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from ..projections import QueryFailed, moment_text
from ..projections.graph import PastGraphNotMade
from ..projections.graph.exchange import Imports
from .graph_copies import Copy
from .lanes import TooBusy

PASTS_KEPT_MAX = 4
KEPT_SECONDS_MAX = 900.0  # without a look: each holds on to files that the graph itself may have long replaced
MOMENTS_WAITING_MAX = 16
MAKING_SECONDS_MAX = 45.0

Vector = dict[str, int]


class Sources(NamedTuple):
    """What past graphs are made from, besides the graph as it is now, whose `vector` says how far that is.

    `ensure_room` raises if the disk is too full for another one.
    """

    log: Path
    imports: Imports
    vector: Callable[[], Vector]
    ensure_room: Callable[[], None]


class CopyUnreadable(QueryFailed):
    """A copy of the graph has been damaged or removed: another is made for whoever asks next."""


class _Moment(NamedTuple):
    """What tells graphs of the past apart: how far the log went, and how much reference data there was."""

    places: frozenset[tuple[str, int]]
    imports: int

    @property
    def vector(self) -> Vector:
        return dict(self.places)

    def distance(self, vector: Mapping[str, int]) -> int:
        """How many events lie between this moment and another."""
        mine = self.vector
        return sum(abs(mine.get(one, 0) - vector.get(one, 0)) for one in mine.keys() | vector.keys())


class _Making:
    """A graph that is being made, and for how many."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self.task = task
        self.waiting = 0


class _Kept:
    """A graph that is kept, until it has not been looked at for long."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self.expiry: asyncio.TimerHandle | None = None

    def stay(self) -> None:
        """Somebody looks at it."""
        if self.expiry:
            self.expiry.cancel()

    def expire_with(self, forget: Callable[[], None]) -> None:
        """Nobody does any more, as far as we know: it goes, with `forget`, unless somebody comes."""
        self.stay()
        self.expiry = asyncio.get_running_loop().call_later(KEPT_SECONDS_MAX, forget)


# Makes a graph in a process of its own, with the options of `projections.graph.past.make`.
Make = Callable[[dict[str, Any]], Awaitable[Vector]]


class Pasts:
    """The graphs of past moments. One is made at a time, once for all who ask for it; if all leave, it is given up."""

    def __init__(self, folder: Path, sources: Sources, now: Callable[[], Awaitable[Copy]], make: Make) -> None:
        self._folder = folder
        self._sources = sources
        self._now = now
        self._make_with = make
        self._numbers = count()
        self._room = asyncio.Semaphore(1)
        self._making: dict[_Moment, _Making] = {}
        self._kept: dict[_Moment, _Kept] = {}  # the latest used last
        shutil.rmtree(folder, ignore_errors=True)

    @asynccontextmanager
    async def at(self, vector: Vector) -> AsyncIterator[Copy]:
        """The graph of a node that stopped there, for as long as it is looked at.

        Raises `PastGraphNotMade` or `TooBusy`.
        """
        moment = _Moment(frozenset((origin, n) for origin, n in vector.items() if n), self._sources.imports.added)
        while (kept := self._kept.pop(moment, None)) is None:
            await self._made(moment)
        self._kept[moment] = kept
        kept.stay()
        copy = kept.copy.use()
        try:
            yield copy
        except CopyUnreadable:
            self._forget(moment, kept)
            raise
        finally:
            copy.release()
            kept.expire_with(partial(self._forget, moment, kept))

    def close(self) -> None:
        """Remove all of them."""
        for moment, kept in list(self._kept.items()):
            self._forget(moment, kept)

    async def _made(self, moment: _Moment) -> None:
        """Wait until it is made, by us or for somebody who asked before."""
        making = self._making.get(moment)
        if making is None:
            if len(self._making) >= MOMENTS_WAITING_MAX:
                raise TooBusy("graphs of past moments", MOMENTS_WAITING_MAX)
            making = self._making[moment] = _Making(asyncio.create_task(self._make(moment)))
        making.waiting += 1
        try:
            await asyncio.shield(making.task)
        finally:
            making.waiting -= 1
            if not making.waiting:
                making.task.cancel()
                if self._making.get(moment) is making:
                    del self._making[moment]

    async def _make(self, moment: _Moment) -> None:
        async with self._room:
            self._sources.ensure_room()
            # A node that was killed may have left a process that is still writing into a folder of its own.
            folder = self._folder / f"{os.getpid()}-{next(self._numbers)}"
            try:
                reached = await self._go(folder, moment)
            except BaseException as error:
                shutil.rmtree(folder, ignore_errors=True)
                if not isinstance(error, QueryFailed):
                    raise
                if "no space" in str(error).lower():
                    self.close()
                raise PastGraphNotMade(moment_text(moment.vector), str(error)) from error
        self._keep(moment._replace(places=frozenset(reached.items())), folder)
        if reached != moment.vector:
            reason = f"not done after {MAKING_SECONDS_MAX:g} seconds; ask again to go on"
            raise PastGraphNotMade(moment_text(moment.vector), reason)

    async def _go(self, folder: Path, moment: _Moment) -> Vector:
        base = await self._nearest(moment)
        try:
            return await self._make_with(
                {
                    "folder": str(folder),
                    "base": str(base.path) if base else None,
                    "log": str(self._sources.log),
                    "imports": str(self._sources.imports.folder),
                    "vector": moment.vector,
                    "seconds": MAKING_SECONDS_MAX,
                }
            )
        finally:
            if base:
                base.release()

    async def _nearest(self, moment: _Moment) -> Copy | None:
        """What the least lies between: a kept moment, now, or nothing."""
        kept = {one: moment.distance(one.vector) for one in self._kept}
        nearest = min(kept, key=lambda one: kept[one], default=None)
        now, nothing = moment.distance(self._sources.vector()), moment.distance({})
        if nearest is not None and kept[nearest] <= min(now, nothing):
            return self._kept[nearest].copy.use()
        return (await self._now()).use() if now < nothing else None

    def _keep(self, moment: _Moment, folder: Path) -> None:
        if before := self._kept.get(moment):
            self._forget(moment, before)
        while len(self._kept) >= PASTS_KEPT_MAX:
            self._forget(*next(iter(self._kept.items())))
        self._kept[moment] = _Kept(Copy(folder, moment, folder / "store-000001"))

    def _forget(self, moment: _Moment, kept: _Kept) -> None:
        if self._kept.get(moment) is kept:
            del self._kept[moment]
            kept.stay()
            kept.copy.release()
