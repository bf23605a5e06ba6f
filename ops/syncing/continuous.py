"""Continuous sync: a node pulls from each of its peers every so often, each by itself, and tells how that goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ...eventstore import Log, LogWriteFailed
from ...eventstore.archive import Progress, Watch, unwatched
from ...schemas import RookeryError
from ..health import Health
from .forks import Fork
from .peers import Peer, PeerError
from .pulling import Pull, Pulled
from .quarantine import set_aside

SUBSYSTEM = "sync"
STATUSES_MAX = 64
FORKS_TOLD_MAX = 1_000
PAUSE_SECONDS_MAX = 60.0  # between attempts at a peer that does not answer

logger = logging.getLogger(__name__)


class PeerStatus(msgspec.Struct, kw_only=True):
    """How it goes with one peer. `lag_events` is what it had and this log lacked after the last pull; None: unknown."""

    peer: str
    lag_events: int | None = None
    last_success: datetime | None = None
    events: int = 0
    bytes: int = 0
    failed: str | None = None
    forks: list[Fork] = []
    doing: str | None = None
    done: int = 0
    total: int = 0


class SyncStatus(msgspec.Struct, frozen=True):
    """How it goes with each peer."""

    peers: list[PeerStatus]


class Syncing:
    """Pulls from the peers that the settings name, and from any other when somebody asks.

    `on_fork` hears once in the node's life of each peer that has another history of an origin.
    """

    def __init__(
        self,
        log: Log,
        own: Collection[str],
        health: Health,
        data: Path,
        *,
        on_fork: Callable[[Fork], object] = lambda _: None,
        before_taking: Callable[[], object] = lambda: None,
        on_growth: Callable[[], object] = lambda: None,
        on_seal: Callable[[], object] = lambda: None,
    ) -> None:
        self.statuses: dict[str, PeerStatus] = {}
        self._log = log
        self._own = own
        self._health = health
        self._data = data
        self._on_fork = on_fork
        self._before_taking = before_taking
        self._on_growth = on_growth
        self._on_seal = on_seal
        self._followed: set[str] = set()
        self._known_forks: set[tuple[str, str]] = set()  # by peer and origin
        self._pulling: dict[str, asyncio.Lock] = {}
        health.set(SUBSYSTEM, "ready")

    async def run(self, peers: Sequence[Peer], pause_seconds: float) -> None:
        """Pull from each of these peers again and again until cancelled, none of them behind another."""
        self._followed = {peer.name for peer in peers}
        async with asyncio.TaskGroup() as following:
            for peer in peers:
                following.create_task(self._follow(peer, pause_seconds))

    async def pull(self, peer: Peer, watch: Watch = unwatched) -> Pulled:
        """Pull from a peer once, after whoever pulls from it right now. Raises what `Pull.run` raises."""
        async with self._pulling.setdefault(peer.name, asyncio.Lock()):
            return await self._pull(peer, watch)

    def status(self) -> SyncStatus:
        """How it goes with each peer right now."""
        return SyncStatus(list(self.statuses.values()))

    async def _pull(self, peer: Peer, watch: Watch) -> Pulled:
        status = self._status_of(peer.name)

        def look(progress: Progress) -> None:
            status.doing, status.done, status.total = progress
            watch(progress)

        pull = Pull(
            self._log, peer, self._own, watch=look, before_taking=self._before_taking,
            on_growth=self._on_growth, on_seal=self._on_seal,
        )  # fmt: skip
        try:
            pulled = await pull.run()
            for fork in pulled.forks:
                await self._keep(peer, fork)
            self._note(status, pulled)
            return pulled
        except (RookeryError, OSError) as error:
            self._tell(status, str(error))
            raise
        finally:
            status.events += sum(pull.pulled.events.values())
            status.bytes += pull.pulled.bytes
            status.doing, status.done, status.total = None, 0, 0

    async def _follow(self, peer: Peer, seconds: float) -> None:
        pause_seconds = seconds
        while True:
            try:
                await self.pull(peer)
                pause_seconds = seconds
            except (PeerError, LogWriteFailed, RookeryError, OSError) as error:
                pause_seconds = min(max(pause_seconds * 2, seconds), max(PAUSE_SECONDS_MAX, seconds))
                logger.warning("sync with %s failed: %s", peer.name, error)
            except Exception:
                pause_seconds = PAUSE_SECONDS_MAX
                logger.exception("sync with %s failed unforeseen", peer.name)
                self._tell(self._status_of(peer.name), "it failed unforeseen; the node's log says how")
            await asyncio.sleep(pause_seconds)

    def _status_of(self, peer: str) -> PeerStatus:
        """What is known of a peer. Anybody may name one, so those that were named longest ago are forgotten."""
        while len(self.statuses) >= STATUSES_MAX and peer not in self.statuses:
            oldest = next((name for name in self.statuses if name not in self._followed), None)
            if oldest is None:
                break
            del self.statuses[oldest]
            self._pulling.pop(oldest, None)
        return self.statuses.setdefault(peer, PeerStatus(peer=peer))

    async def _keep(self, peer: Peer, fork: Fork) -> None:
        """Keep the other branch aside, and let the log say so: once, however often the peer changes it."""
        known = (peer.name, fork.origin)
        if known in self._known_forks or len(self._known_forks) >= FORKS_TOLD_MAX:
            return
        with suppress(RookeryError, OSError):  # it stays at the peer, also where there is no room for it
            await set_aside(self._data, peer, fork, self._log, self._before_taking)
        self._on_fork(fork)
        self._known_forks.add(known)

    def _note(self, status: PeerStatus, pulled: Pulled) -> None:
        status.forks = pulled.forks
        status.lag_events = sum(pulled.missing.values()) - sum(pulled.events.values())
        if not pulled.wrong:
            status.lag_events, status.last_success = 0, datetime.now(UTC)
        self._tell(status, "; ".join(pulled.wrong) or None)

    def _tell(self, status: PeerStatus, failed: str | None) -> None:
        status.failed = failed
        # A peer that somebody asked for once, and that did not answer, is no worry of the node's.
        told = [one for one in self.statuses.values() if one.peer in self._followed or one.forks]
        failures = [one.failed for one in told if one.failed]
        self._health.set(SUBSYSTEM, "degraded" if failures else "ready", "; ".join(failures))
