"""Incidents: what went wrong with log or bus and was put right is told in health, in metrics, and by an event."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from ..bus import Bus, BusError
from ..eventstore import Healed, Regression
from ..schemas import BusDamaged, BusRegressed, Event, EventData, LogHealed, OriginForked, derived_id, new_id
from .health import Health
from .syncing import Fork

BUS_HISTORY = "bus-history"
BUS_STORE = "bus-store"
HEALING = "healing"
WAITING_MAX = 1_000  # events that are not told yet; more would be a disk that damages everything
RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Incidents:
    """One node's. Each is told once, however often the node is killed meanwhile: its event's id derives from it."""

    def __init__(self, bus: Bus, origin: str, health: Health) -> None:
        self.counts: Counter[str] = Counter()
        self._bus = bus
        self._origin = origin
        self._health = health
        self._waiting: deque[Event] = deque(maxlen=WAITING_MAX)
        self._fresh = asyncio.Event()

    def regressed(self, found: Regression) -> None:
        """The bus had lost events, and ingest goes on."""
        self.counts["bus_regressed"] += 1
        what = (
            f"{found.reason}: {found.events:,} events of {found.origin} are in the log alone; the bus is read again "
            f"after sequence {found.agreed}. Nothing is missing in the log; what agents decide from the bus's own "
            "history doesn't see those events. This note stays until the node is started again"
        )
        self._health.set(BUS_HISTORY, "degraded", what)
        logger.error("%s", what)
        fact = BusRegressed(
            position=found.position, agreed=found.agreed, missing_events=found.events, reason=found.reason
        )
        self._tell(fact, found.origin, str(found.position), str(found.agreed), str(found.events))

    def damaged(self, lost: Mapping[str, int]) -> None:
        """The node's nats-server had found its store damaged, and was started once more."""
        for stream, messages in lost.items():
            what = (
                f"nats-server's store was damaged when it started: {messages:,} messages of its stream {stream} are "
                "gone, and it was started once more, so that it gives what is published from now on. Look after the "
                "disk; this note stays until the node is started again"
            )
            self._health.set(BUS_STORE, "degraded", what)
            self._tell(BusDamaged(stream=stream, lost_messages=messages), self._origin, stream, new_id())

    def forked(self, fork: Fork) -> None:
        """An origin has another history at a peer than here; neither is merged."""
        self.counts["origin_forked"] += 1
        logger.error("%s", fork)
        fact = OriginForked(first_line=fork.n, own_chain=fork.ours, peer_chain=fork.theirs, peer=fork.peer)
        self._tell(fact, fork.origin, str(fork.n), fork.ours, fork.theirs)

    def healed(self, found: Iterable[Healed]) -> None:
        """Files of the log were damaged, and are whole again."""
        for one in found:
            self.counts["log_healed"] += 1
            what = f"healed {one.origin}:{one.first} to {one.last} ({one.file}) from {one.source}: {one.what}"
            self._health.set(HEALING, "ready", what)
            fact = LogHealed(segment=one.file, first=one.first, last=one.last, giver=one.source, reason=one.what)
            self._tell(fact, one.origin, one.file, new_id())

    async def hear_of(self, damages: asyncio.Queue[Mapping[str, int]]) -> None:
        """Note what the node's nats-server found damaged, until cancelled."""
        while True:
            self.damaged(await damages.get())

    async def run(self) -> None:
        """Publish what has to be told, until cancelled; a bus that is away is waited for."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            while self._waiting:
                try:
                    await self._bus.publish(self._waiting[0])
                except BusError as error:
                    logger.info("an incident is not told yet: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    self._waiting.popleft()

    def _tell(self, fact: EventData, subject: str, *parts: str) -> None:
        event = Event.of(
            fact,
            subject=subject,
            source=f"/nodes/{self._origin}",
            id=derived_id(type(fact).__name__, subject, *parts),
        )
        self._waiting.append(event)
        self._fresh.set()
