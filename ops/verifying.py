"""Verifying: the node holds its log against what it must be, round after round, and serves only what it vouches for.

A round reads every byte and decodes every line, at a bounded rate, on a thread that lets everything else go first.
What it finds stands in health and metrics, and the lines that are lost are refused to whoever asks for them until they
are healed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import msgspec

from ..bus import Bus, BusError
from ..eventstore import Healed, Log
from ..eventstore.verification import Finding, bytes_to_verify, verify
from ..schemas import RookeryError
from .giving_way import step_back
from .health import Health
from .loose_thread import in_loose_thread

SUBSYSTEM = "log"
SETTLING_SECONDS = 60.0  # a node that starts has more urgent things to do
PAUSE_SECONDS = 60.0  # between two rounds, so that a small log isn't read all the time
FINDINGS_MAX = 1_000  # of one kind in one origin are listed, so that none keeps another from being told
MEGABYTE = 10**6
DEEP_KINDS = frozenset({"segment_root", "sequence_reused", "summary_damaged", "ids_damaged"})

Heal = Callable[[Sequence[Finding]], Awaitable[Sequence[Healed]]]

logger = logging.getLogger(__name__)


class VerificationRunning(RookeryError):
    """One verification is asked for at a time."""

    def __init__(self) -> None:
        super().__init__("the node is verifying its log already; GET /verify says how far it is, and what it finds")


class VerificationStopped(RookeryError):
    """The node was closed meanwhile."""

    def __init__(self) -> None:
        super().__init__("the node closes; `rookery verify` verifies its data folder without it")


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What one verification found. `deep`: every line was decoded. `more`: more is wrong than is listed.

    A notice is nothing wrong, listed or not. What was `healed` since is no longer among the findings. `stream_drift`:
    each setting of the bus's stream that somebody changed; a verification without a bus has none.
    """

    deep: bool
    bytes: int
    seconds: float
    ended_at: datetime
    findings: list[Finding]
    more: bool = False
    healed: list[Healed] = []
    stream_drift: list[str] = []

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.more or self.stream_drift) and all(finding.is_notice for finding in self.findings)


class VerifyRunning(msgspec.Struct, frozen=True):
    """How far a verification is."""

    bytes_done: int
    bytes_total: int


class VerifyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the log was found the last time, how far the one is that was asked for, and the rounds since the start."""

    running: VerifyRunning | None
    latest: Verified | None
    rounds: int
    bytes: int


def verified(find: Callable[..., Iterator[Finding]], *, deep: bool, watch: Callable[[int], object]) -> Verified:
    """What `find` finds; `watch` is told of every piece that it read."""
    began, done = time.perf_counter(), 0

    def count(size_bytes: int) -> None:
        nonlocal done
        done += size_bytes
        watch(size_bytes)

    findings: list[Finding] = []
    told, more = Counter[tuple[str, str]](), False
    for finding in find(watch=count):
        told[finding.origin, finding.kind] += 1
        if told[finding.origin, finding.kind] <= FINDINGS_MAX:
            findings.append(finding)
        else:
            more = more or not finding.is_notice
    return Verified(
        deep=deep,
        bytes=done,
        seconds=time.perf_counter() - began,
        ended_at=datetime.now(UTC),
        findings=findings,
        more=more,
    )


class Verifier:
    """Verifies a node's log in rounds, `megabytes_per_second` at most, and at once when somebody asks; 0: no rounds."""

    def __init__(
        self,
        log: Log,
        health: Health,
        own: Sequence[str],
        megabytes_per_second: float,
        *,
        heal: Heal | None = None,
        bus: Bus | None = None,
    ) -> None:
        self._heal = heal
        self.latest: Verified | None = None
        self.rounds = 0
        self.bytes = 0
        self._log = log
        self._health = health
        self._bus = bus
        self._signers = dict.fromkeys(own, log.signer.public) if log.signer else {}
        self._bytes_per_second = megabytes_per_second * MEGABYTE
        self._running: VerifyRunning | None = None
        self._stop = threading.Event()
        health.set(SUBSYSTEM, "ready")

    async def run(self) -> None:
        """Go round until cancelled."""
        if not self._bytes_per_second:
            return
        await asyncio.sleep(SETTLING_SECONDS)
        while True:
            try:
                with suppress(VerificationStopped):
                    self._note(await self._healed(await in_loose_thread(self._round, "verifier")))
                    self.rounds += 1
            except Exception as error:  # of one round: a file that can't be read, a peer that lies; the next may do
                logger.exception("a round of verification failed")
                what = f"a round of verification failed ({type(error).__name__}: {error}); the next follows"
                self._health.set(SUBSYSTEM, "degraded", what)
            await asyncio.sleep(PAUSE_SECONDS)

    async def verify(self, *, deep: bool = False, heal: bool = False) -> Verified:
        """Verify at once and as fast as it goes, and heal what can be. Raises `VerificationRunning` or `…Stopped`."""
        if self._running is not None:
            raise VerificationRunning
        self._running = VerifyRunning(0, 0)
        try:
            found = await in_loose_thread(lambda: self._asked_for(deep), "verifier")
            if heal:
                found = await self._healed(found)
            found = msgspec.structs.replace(found, stream_drift=await self._drift())
        finally:
            self._running = None
        self._note(found)
        return found

    def status(self) -> VerifyStatus:
        """How it is."""
        return VerifyStatus(running=self._running, latest=self.latest, rounds=self.rounds, bytes=self.bytes)

    def close(self) -> None:
        """Stop before the next piece."""
        self._stop.set()

    async def _healed(self, found: Verified) -> Verified:
        """What is left of the findings, once whoever has the bytes gave them; all of them stand where that fails."""
        if self._heal is None or found.is_sound:
            return found
        try:
            healed = list(await self._heal(found.findings))
        except Exception:
            self._note(found)
            raise
        whole = {f"{one.origin}/{one.file}" for one in healed}
        left = [finding for finding in found.findings if finding.file not in whole]
        return msgspec.structs.replace(found, findings=left, healed=healed)

    def _round(self) -> Verified:
        step_back()
        began, done = time.monotonic(), 0

        def pace(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            self._stop.wait(max(began + done / self._bytes_per_second - time.monotonic(), 0))

        return self._verified(True, pace)

    async def _drift(self) -> list[str]:
        if self._bus is not None:
            with suppress(BusError):  # health tells of a bus that is away
                return await self._bus.drift()
        return []

    def _asked_for(self, deep: bool) -> Verified:
        self._running = VerifyRunning(0, bytes_to_verify(self._log.folder, deep=deep))
        return self._verified(deep, self._advance)

    def _advance(self, size_bytes: int) -> None:
        if running := self._running:
            self._running = VerifyRunning(running.bytes_done + size_bytes, running.bytes_total)

    def _verified(self, deep: bool, watch: Callable[[int], object]) -> Verified:
        def watched(size_bytes: int) -> None:
            if self._stop.is_set():
                raise VerificationStopped
            self.bytes += size_bytes
            watch(size_bytes)

        find = partial(verify, self._log.folder, signers=self._signers, deep=deep, beside_writer=True)
        return verified(find, deep=deep, watch=watched)

    def _note(self, found: Verified) -> None:
        """Tell of what was found, and let nobody read what is lost."""
        if self.latest and not found.deep:  # it did not look at all that the one before had found
            unseen = [one for one in self.latest.findings if _is_deep(one) and one not in found.findings]
            found = msgspec.structs.replace(found, findings=[*found.findings, *unseen])
        self.latest = found
        self._log.distrust(_lost(found))
        wrong = [finding for finding in found.findings if not finding.is_notice]
        for finding in wrong:
            logger.error("the log is damaged: %s", finding)
        if found.more:
            logger.error("the log is damaged in more places than are listed: the next verification looks at them")
        if wrong:
            more = f" (and {len(wrong) - 1:,} more)" if len(wrong) > 1 else ""
            self._health.set(SUBSYSTEM, "degraded", f"{wrong[0]}{more}; `rookery verify` lists all")
        elif found.more:
            self._health.set(SUBSYSTEM, "degraded", "more was wrong than one round could heal; the next goes on")
        else:
            self._health.set(SUBSYSTEM, "ready")


def _is_deep(finding: Finding) -> bool:
    """Whether only a deep verification sees it."""
    return finding.kind in DEEP_KINDS or (finding.kind == "lines_altered" and finding.file.endswith(".zst"))


def _lost(found: Verified) -> dict[str, list[range]]:
    """The n's of each origin that can't be vouched for."""
    lost: defaultdict[str, list[range]] = defaultdict(list)
    for finding in found.findings:
        is_of_lines = finding.kind.startswith(("segment_", "lines_"))
        if is_of_lines and finding.first is not None and finding.last is not None:
            lost[finding.origin].append(range(finding.first, finding.last + 1))
    return lost
