"""Spokes: on a hub, the events of other sites' buses, each taken into the log as an origin of its own.

The hub's bus mirrors each spoke's stream, so what the hub's node reads has the spoke's sequences, times and bytes, and
its log gets the very lines that the spoke's node writes. A spoke that is cut off is told of, and keeps nobody waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..bus import Mirror, StreamState
from ..eventstore import Ingest, Log
from .health import SPOKE, Health, State, ask_source

SILENT_SECONDS_MAX = 30.0
WATCH_SECONDS = 2.0


class Spoke:
    """One spoke, as the hub sees it. `held` is what its mirror held when it was looked at last."""

    def __init__(self, name: str, mirror: Mirror, log: Log, on_append: Callable[[], object]) -> None:
        self.name = name
        self.ingest = Ingest(mirror, log, name, on_append=on_append)
        self.held: StreamState | None = None
        self._mirror = mirror

    @property
    def lag_events(self) -> int:
        """How many events the spoke's bus is known to hold that this node's log doesn't."""
        if self.held is None:
            return 0
        behind = self.held.upstream.lag_events if self.held.upstream else 0
        return max(self.held.last_sequence - self.ingest.position, 0) + behind

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """What is to run for as long as the node does."""
        return [self.ingest.run(), self._watch()]

    def look(self, health: Health) -> None:
        """Note how it is. What is wrong with a spoke keeps nobody from using the hub."""
        state, reason = self._found()
        health.set(f"{SPOKE}{self.name}", state, reason)

    def _found(self) -> tuple[State, str]:
        status = self.ingest.status
        if status.state in ("failing", "failed"):
            return "degraded", status.reason
        upstream = self.held and self.held.upstream
        if upstream is None or upstream.silent_seconds is None:
            return "degraded", "the bus has not heard from it yet"
        if upstream.silent_seconds > SILENT_SECONDS_MAX:
            return "degraded", f"the bus has not heard from it for {upstream.silent_seconds:.0f} s"
        return "ready", ""

    async def _watch(self) -> None:
        while True:
            self.held = await ask_source(self._mirror) or self.held
            await asyncio.sleep(WATCH_SECONDS)
