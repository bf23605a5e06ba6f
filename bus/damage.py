"""What nats-server found damaged in its streams when it started, which it tells nobody unasked.

It cuts a damaged block off at the damage. In its memory the sequences that it cut off stay marked as deleted: what is
published under them afterwards is on its disk and is acknowledged, and no reader gets it until it is started again.
"""

from __future__ import annotations

import msgspec

from .connection import Connection
from .jetstream import call
from .streams import lost_events

# Where so many messages were taken out, as in buckets, their list is too long to ask for.
DELETED_LISTED_MAX = 100_000


class _State(msgspec.Struct, frozen=True):
    num_deleted: int = 0


class _Config(msgspec.Struct, frozen=True):
    name: str


class _Stream(msgspec.Struct, frozen=True):
    config: _Config
    state: _State


class _Page(msgspec.Struct, frozen=True):
    total: int
    streams: list[_Stream] | None = None


class _Ask(msgspec.Struct, frozen=True):
    offset: int


async def damaged_streams(url: str) -> dict[str, int]:
    """How many messages of which streams the server found lost when it started. Raises `BusError`."""
    connection = await Connection.open(url)
    try:
        found = {name: await lost_events(connection, name) for name in await _listed(connection)}
    finally:
        await connection.close()
    return {name: lost for name, lost in found.items() if lost}


async def _listed(connection: Connection) -> list[str]:
    names, seen = list[str](), 0
    while True:
        page = await call(connection, "STREAM.LIST", _Ask(seen), _Page)
        streams = page.streams or []
        names += (one.config.name for one in streams if one.state.num_deleted <= DELETED_LISTED_MAX)
        seen += len(streams)
        if not streams or seen >= page.total:
            return names
