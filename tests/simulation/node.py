"""A node of the virtual world: real ingest, real log and real read models over one folder."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from rookery.bus import Bus
from rookery.eventstore import Ingest, Log, LogClosed, LogWriteFailed, Signer
from rookery.ops.syncing import PeerError, Pull, Pulled
from rookery.projections import Catalogue, Projections, RebuildReport, Resources
from rookery.tests.eventstore.faults import Crash

from .checker import ORIGIN, check_growth, check_pulled
from .peer import ShakyPeer
from .weather import FaultyDisk

RETRY_SECONDS_MAX = 2.0
RESOURCES = Resources(threads=1, memory_size_mib_max=256)


class Limits(NamedTuple):
    """When a segment of a node's log is full."""

    segment_events_max: int
    segment_size_bytes_max: int


class Node:
    """It starts, works, and ends in many ways. After a crash the next process finds a copy of what was on the disk."""

    def __init__(
        self,
        folder: Path,
        bus: Bus,
        limits: Limits,
        catalogue: Catalogue,
        *,
        origin: str = ORIGIN,
        signer: Signer | None = None,
    ) -> None:
        self.limits = limits
        self.origin = origin
        self._signer = signer
        self.disk = FaultyDisk()
        self.up = False
        self._root = folder
        self._lives = 0
        self._bus = bus
        self._catalogue = catalogue
        self._opened = ExitStack()
        self._models: Projections | None = None
        self._pulls: set[asyncio.Task[None]] = set()
        self._shown: dict[str, int] = {}

    def __str__(self) -> str:
        return self._root.name

    @property
    def folder(self) -> Path:
        """Where this life's files are."""
        return self._root / str(self._lives)

    @property
    def models(self) -> Projections:
        """The read models, opened when they are first asked for: that takes longer than everything else in a life."""
        if self._models is None:
            path = self.folder / "models.duckdb"
            models = Projections.open(path, self.log, catalogue=self._catalogue, resources=RESOURCES)
            self._models = self._opened.enter_context(models)
        return self._models

    async def start(self, disk: FaultyDisk) -> None:
        """Open everything. A disk that refuses leaves the node down, and so does one that dies."""
        self.disk, self._models = disk, None
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            log = Log.open(
                self.folder / "log", own=(self.origin,), signer=self._signer, disk=disk, **self.limits._asdict()
            )
            self.log = self._opened.enter_context(log)
        except LogWriteFailed:
            return self._opened.close()
        except Crash:
            return _close(self._leave())
        self.ingest = Ingest(self._bus, self.log, self.origin, retry_seconds_max=RETRY_SECONDS_MAX)
        self._work = asyncio.create_task(self.ingest.run())
        self.up = True
        await self.look()
        return None

    async def look(self) -> None:
        """Notice if the process died, and see how far it is if it didn't."""
        if self.up and (self.disk.dead or self._work.done()):
            await self.crash()
            return
        over = {pull for pull in self._pulls if pull.done()}
        self._pulls -= over
        for pull in over:
            pull.result()
        if not self.up:
            return
        folded = self._models.vector() if self._models else {}
        self._shown = check_growth(self.log.vector(), folded, self._shown)

    def begin_pull(self, peer: ShakyPeer) -> None:
        """Pull from a peer, beside everything else."""
        if self.up:
            self._pulls.add(asyncio.create_task(self._pull(peer)))

    async def pull(self, peer: ShakyPeer) -> Pulled | None:
        """Pull from a peer; None if it did not answer, or if the node or its disk were not well."""
        try:
            return await Pull(self.log, peer, (self.origin,)).run()
        except (PeerError, LogWriteFailed, LogClosed):
            return None

    def forget_shown(self) -> None:
        """Something else than the node's own work has changed its files: what it has shown may come a second time."""
        self._shown = {}

    async def fold(self) -> int:
        """Fold what the log has, and say how much that was."""
        if not self.up:
            return 0
        try:
            return self.models.catch_up().events
        except Crash:
            await self.crash()
            return 0

    async def rebuild(self) -> RebuildReport | None:
        """Make the read models anew, if the node lives."""
        if not self.up:
            return None
        try:
            return self.models.rebuild()
        except Crash:
            await self.crash()
            return None

    async def arrive(self, sequence: int) -> None:
        """Wait until the log holds the bus up to there, and nothing is left to seal."""
        await self.ingest.wait_for(sequence)
        while self.log.has_full_segments:
            await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """End as a process that is asked to."""
        if not self.up:
            return
        try:
            await self._end_ingest()
            self._opened.close()
            self.up = False
        except Crash:
            await self.crash()

    async def crash(self, *, power_cut: bool = False) -> None:
        """End as a process that is killed; with `power_cut`, as one whose machine stops."""
        if not self.up:
            return
        self.up = False
        if power_cut:
            self.disk.cut_power()
        left = self._leave()
        with suppress(Crash):
            await self._end_ingest()
        _close(left)

    async def _pull(self, peer: ShakyPeer) -> None:
        if (pulled := await self.pull(peer)) is not None:
            check_pulled(pulled, lied=bool(peer.lied))

    async def _end_ingest(self) -> None:
        pulls, self._pulls = self._pulls, set()
        for work in (*pulls, self._work):
            work.cancel()
        ended = await asyncio.gather(*pulls, self._work, return_exceptions=True)
        for error in ended:
            if isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    def _leave(self) -> ExitStack:
        """Give the next life what is on the disk. What this one still has open can only change what it leaves."""
        left = self.folder
        self._lives += 1
        shutil.copytree(left, self.folder)
        return self._opened.pop_all()


def _close(left: ExitStack) -> None:
    with suppress(Crash):
        left.close()
