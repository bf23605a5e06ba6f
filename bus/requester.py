"""A connection that only asks: it needs no stream, and connects when it is used first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from .commands import request
from .connection import Connection
from .contract import REQUEST_TIMEOUT_SECONDS


class Requester:
    """Sends commands over a bus that need not be one's own. Close it in the end."""

    def __init__(self, url: str, *, name: str = "rookery", credentials: Path | None = None) -> None:
        self._url = url
        self._name = name
        self._credentials = credentials
        self._connection: Connection | None = None
        self._opening = asyncio.Lock()

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_TIMEOUT_SECONDS) -> bytes:
        """See `Bus.request`; raises `BusUnavailable`, too."""
        return await request(await self._opened(), subject, payload, timeout_seconds)

    async def max_payload_bytes(self) -> int:
        """The largest message that the server takes. Raises `BusUnavailable`."""
        return (await self._opened()).max_payload_bytes

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()

    async def _opened(self) -> Connection:
        async with self._opening:
            if self._connection is None:
                self._connection = await Connection.open(self._url, name=self._name, credentials=self._credentials)
        return self._connection
