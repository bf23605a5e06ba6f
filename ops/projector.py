"""The projector: folds what the log gains into read models or the graph, and tells who waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Protocol

from ..projections import Folded, TablesOutdated
from .health import Health
from .timings import Timings

RETRY_SECONDS_MIN = 0.1
RETRY_SECONDS_MAX = 30.0
# To fold a few events takes nearly as long as a thousand. So a trickle of them, where nobody waits to see one, takes
# half of the time at most: after a fold of so few, others have the processor for as long as it took.
FEW_EVENTS = 25
REST_SECONDS_MAX = 0.1

logger = logging.getLogger(__name__)


class Foldable(Protocol):
    """What is kept level with the log: the SQL read models, the knowledge graph."""

    def catch_up(self) -> Folded:
        """Fold everything that the log has beyond it. Blocks. Raises `TablesOutdated` where that has to wait."""

    def vector(self) -> dict[str, int]:
        """How far it is: the last folded n of each origin."""

    def stop(self) -> None:
        """Let a fold end after its present batch, for good."""


class Projector:
    """One fold at a time, on a thread of its own; `wake` it when the log has grown. `name` is its name in health.

    `on_thread` is called on that thread before all else.
    """

    def __init__(
        self,
        projections: Foldable,
        health: Health,
        name: str = "projector",
        *,
        on_thread: Callable[[], None] | None = None,
    ) -> None:
        self._projections = projections
        self._health = health
        self._name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name, initializer=on_thread)
        self._grown = asyncio.Event()
        self._folded = asyncio.Condition()
        self._waiting = 0
        self._awaited = asyncio.Event()
        self._grown.set()
        self.fold_seconds = Timings()
        self.folded_events = 0

    def wake(self) -> None:
        """Say that the log has grown. Call it on the event loop."""
        self._grown.set()

    async def run(self) -> None:
        """Fold until cancelled. A fold that fails is tried again with growing pauses, and health shows it."""
        retry_seconds = RETRY_SECONDS_MIN
        while True:
            await self._grown.wait()
            self._grown.clear()
            try:
                await self._catch_up()
            except TablesOutdated:
                continue  # whoever replaces them tells health how far that is, and wakes this in the end
            except Exception as error:
                logger.warning("the %s can't take on events; trying again", self._name, exc_info=error)
                self._health.set(self._name, "failed", str(error))
                self._grown.set()
                await asyncio.sleep(retry_seconds)
                retry_seconds = min(retry_seconds * 2, RETRY_SECONDS_MAX)
            else:
                self._health.set(self._name, "ready")
                retry_seconds = RETRY_SECONDS_MIN

    async def wait_for(self, vector: Mapping[str, int]) -> None:
        """Return when everything up to `vector` is folded."""
        self._waiting += 1
        self._awaited.set()
        try:
            async with self._folded:
                await self._folded.wait_for(lambda: self.has(vector))
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._awaited.clear()

    def has(self, vector: Mapping[str, int]) -> bool:
        """Whether everything up to `vector` is folded."""
        position = self._projections.vector()
        return all(position.get(origin, 0) >= n for origin, n in vector.items())

    async def _catch_up(self) -> None:
        folded = await asyncio.get_running_loop().run_in_executor(self._thread, self._projections.catch_up)
        if folded.events:
            self.fold_seconds.observe(folded.seconds)
            self.folded_events += folded.events
        async with self._folded:
            self._folded.notify_all()
        if 0 < folded.events < FEW_EVENTS:
            await self._rest(min(folded.seconds, REST_SECONDS_MAX))

    async def _rest(self, seconds: float) -> None:
        """Let a few events gather, unless somebody waits for them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._awaited.wait()

    def close(self) -> None:
        """End folding after the present batch, and wait for that."""
        self._projections.stop()
        self._thread.shutdown()
