"""A peer as the virtual world has them: another node's log at the end of a bad line, or in the hands of a liar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import TypeVar

from rookery.eventstore import Log
from rookery.ops.syncing import Offer, PeerError, PeerUnreachable, Run
from rookery.ops.syncing.log_peer import LogPeer

Result = TypeVar("Result")

PAUSES_SECONDS = (0.0, 0.0, 0.01, 0.5)
DROPPED = 0.05


class ShakyPeer:
    """It answers late, breaks off, gives only a part of what it was asked for, and lies where it is told to."""

    def __init__(
        self, log: Log, own: str, chance: Random, *, lies: float = 0.0, is_up: Callable[[], bool] = lambda: True
    ) -> None:
        self._is_up = is_up
        self._peer = LogPeer(log, own, name=f"the node of {own}")
        self._chance = chance
        self._lies = lies
        self.lied = 0

    @property
    def name(self) -> str:
        """Whose it is."""
        return self._peer.name

    async def offer(self) -> Offer:
        """What it has; this is told truly, for what follows is held against it."""
        return await self._late(self._peer.offer)

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chains at these lines."""
        return await self._late(lambda: self._peer.chains(origin, numbers))

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines; now and then only the first."""
        lines = await self._late(lambda: self._peer.manifest(origin, after))
        return list(map(self._bent, lines[: self._chance.choice((1, 2, len(lines)))]))

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """A sealed file, or a lie."""
        return self._bent(await self._late(lambda: self._peer.segment(origin, first, size_bytes)))

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some lines, now and then fewer than there are."""
        run = await self._late(lambda: self._peer.lines(origin, after, up_to))
        count = self._chance.choice((1, 5, len(run.lines)))
        return Run(run.segment, [self._bent(line) for line in run.lines[:count]])

    async def _late(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        await asyncio.sleep(self._chance.choice(PAUSES_SECONDS))
        if self._chance.random() < DROPPED:
            raise PeerUnreachable(self.name, "the line is dead")
        answer = await self._asked(ask)
        if self._chance.random() < DROPPED:
            raise PeerUnreachable(self.name, "it broke off")
        return answer

    async def _asked(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """A process that has ended says nothing; what its log still has in memory is no answer."""
        try:
            answer = await ask()
        except PeerError:
            if self._is_up():
                raise
        else:
            if self._is_up():
                return answer
        raise PeerUnreachable(self.name, "it has ended")

    def _bent(self, data: bytes) -> bytes:
        """One bit of it is another, if this is to be a lie."""
        if not data or self._chance.random() >= self._lies:
            return data
        self.lied += 1
        at = self._chance.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self._chance.randrange(8)]) + data[at + 1 :]
