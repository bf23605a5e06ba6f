"""A peer whose data folder can be read from here: a disk that was carried over, or another node of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from ...eventstore import EventStoreError, Log
from .offering import Offering
from .peers import Offer, PeerRefused, PeerUnreachable, Run

Result = TypeVar("Result")


class LogPeer:
    """A log as a peer."""

    def __init__(
        self, log: Log, own: str | None = None, name: str | None = None, *, spokes: Collection[str] = ()
    ) -> None:
        self._name = name or str(log.folder)
        self._offering = Offering(log, own, spokes=spokes)

    @property
    def name(self) -> str:
        """The folder."""
        return self._name

    async def offer(self) -> Offer:
        """What it has."""
        return await self._do(self._offering.offer)

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines."""
        return await self._do(partial(self._offering.chains, origin, numbers))

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines for what is sealed after `after`."""
        return await self._do(partial(self._offering.manifest, origin, after))

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """The sealed file that begins with a line."""
        path = await self._do(partial(self._offering.segment, origin, first))
        return await self._do(partial(_bytes_of, path, size_bytes))

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some of the lines after `after`."""
        return await self._do(partial(self._offering.lines, origin, after, up_to))

    async def _do(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.to_thread(work)
        except EventStoreError as error:
            raise PeerRefused(self._name, str(error)) from error
        except OSError as error:
            raise PeerUnreachable(self._name, error.strerror or str(error)) from error


def _bytes_of(path: Path, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size_bytes + 1)
