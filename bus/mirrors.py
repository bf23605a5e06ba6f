"""Mirrors: on a hub, what the bus of a spoke holds, at the same sequences, with the same times and bytes."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from ..schemas import EVENTS
from . import reading, streams
from .connection import Connection
from .contract import Delivery, StreamState
from .jetstream import first_after


class Mirror:
    """A stream that mirrors a spoke's; made when it is asked for first. See `EventSource`."""

    def __init__(self, connection: Connection, spoke: str, replicas: int) -> None:
        self._connection = connection
        self._stream = streams.mirror_of(spoke, replicas=replicas)
        self._made = False

    async def read(self, *, after: int = 0) -> AsyncGenerator[list[Delivery], None]:
        """See `EventSource.read`."""
        await self.state()
        async for batch in reading.read(self._connection, self._stream, after=after, subject=EVENTS):
            yield batch

    async def state(self) -> StreamState:
        """See `EventSource.state`. Raises `StreamDrifted`."""
        ask = streams.state if self._made else streams.apply
        held = await self._connection.persist(lambda: ask(self._connection, self._stream))
        self._made = True
        return held

    async def first_after(self, sequence: int) -> Delivery | None:
        """See `Bus.first_after`."""
        return await self._connection.persist(lambda: first_after(self._connection, self._stream.name, sequence))

    async def lost_events(self) -> int:
        """See `Bus.lost_events`."""
        return await self._connection.persist(lambda: streams.lost_events(self._connection, self._stream.name))
