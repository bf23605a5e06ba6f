"""Where replays are heard: on `replay.<name>.>`, from a stream of the replay's own, or only by who listens right now.

The stream of the facts holds `evt.>` and nothing else, so no replay can come into it. A replay's stream may be deleted
when it has served: the log has it all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from ..schemas import Event, replay_name, replay_subject, replay_subjects
from . import streams
from .connection import CONNECT_TIMEOUT_SECONDS, Connection
from .contract import StreamState
from .errors import BusError, BusRefused
from .jetstream import STREAM_NOT_FOUND, call, last_message
from .outgoing import HEADER_BYTES_MAX, MESSAGE_ID
from .publisher import Publisher
from .streams import StreamConfig


class Told(NamedTuple):
    """A replayed event on its way: `event` as it was published, and its `payload` with the mark."""

    event: Event
    payload: bytes


class ReplayBus:
    """A replay's part of the bus. Made by `connect`; `close()` it. Every method raises `BusUnavailable`."""

    def __init__(self, connection: Connection, name: str, held: StreamState | None) -> None:
        self.name = replay_name(name)
        self._connection = connection
        self._stream = stream_of(name)
        self._publisher: Publisher | None = None
        if held is not None:
            self._publisher = Publisher(connection, self._stream.name, held.last_sequence)

    @classmethod
    async def connect(
        cls,
        url: str,
        name: str,
        *,
        kept: bool = True,
        timeout_seconds: float = CONNECT_TIMEOUT_SECONDS,
        credentials: Path | None = None,
    ) -> Self:
        """Connect; make the replay's stream, if what is told is to be kept. Raises `StreamDrifted`."""
        config = stream_of(name)
        connection = await Connection.open(
            url, name=f"rookery replay {name}", timeout_seconds=timeout_seconds, credentials=credentials
        )
        try:
            held = await connection.persist(lambda: streams.apply(connection, config)) if kept else None
        except BusError:
            await connection.close()
            raise
        return cls(connection, name, held)

    @property
    def subjects(self) -> str:
        """The filter for all that is told."""
        return replay_subjects(self.name)

    @property
    def url(self) -> str:
        """Where the bus is, without a password."""
        return self._connection.shown_url

    @property
    def event_bytes_max(self) -> int:
        """The largest event that the bus takes, its mark included."""
        return self._connection.max_payload_bytes - HEADER_BYTES_MAX

    async def last(self) -> bytes | None:
        """The event that was told last, as the stream has it; None if there is none, or no stream."""
        if self._publisher is None:
            return None
        return await last_message(self._connection, self._stream.name, self.subjects)

    async def tell(self, events: Sequence[Told]) -> None:
        """Return when all of them are in the stream, in this order, or on their way to who listens."""
        if self._publisher is not None:
            await self._keep(self._publisher, events)
            return
        await self._connection.ready()
        for event, payload in events:
            await self._connection.send(replay_subject(self.name, event), payload, {MESSAGE_ID: event.id})
        await self._connection.flush()

    async def forget(self) -> bool:
        """Delete the replay's stream; False if there is none. The facts, and the log, are not touched."""
        try:
            await call(self._connection, f"STREAM.DELETE.{self._stream.name}", None, dict[str, object])
        except BusRefused as refused:
            if refused.code != STREAM_NOT_FOUND:
                raise
            return False
        return True

    async def close(self) -> None:
        """Disconnect."""
        try:
            if self._publisher is not None:
                await self._publisher.close()
        finally:
            await self._connection.close()

    async def _keep(self, publisher: Publisher, events: Sequence[Told]) -> None:
        outcomes = await asyncio.gather(
            *(publisher.publish(event, payload, replay_subject(self.name, event)) for event, payload in events),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


def stream_of(name: str) -> StreamConfig:
    """The stream of a replay: like the facts', and yet it may be emptied and deleted."""
    return StreamConfig(
        name=f"REPLAY-{replay_name(name)}", subjects=(replay_subjects(name),), deny_delete=False, deny_purge=False
    )
