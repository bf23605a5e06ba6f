"""Storms: a node and its nats-server are killed, or hang, again and again, while everybody publishes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

from rookery.eventstore import Log

from .auditing import audit, check_fresh_fold, check_rebuilt
from .colony import ORIGIN, Colony, colony
from .ledger import Ledger, Verdict
from .publishing import Publishers
from .rows import Row

Tell = Callable[[str], None]

ACKNOWLEDGED_BETWEEN_MAX = 2_500
REBUILD_EVERY = 25
SEGMENT_EVENTS = 4_000
HANG_SECONDS_MAX = 6.0
SHARES = {"node": 5, "nats-server": 4, "both": 1}


async def kill(folder: Path, seed: int, times: int, tell: Tell, *, separate: bool) -> list[Row]:
    """`kill -9` of the node, of the nats-server, or of both, at any moment."""
    where = "separate" if separate else "embedded"
    storm = _Storm(folder, seed, tell, separate=separate)
    return await storm.blow(times, storm.kill, f"kill -9 of the {{}}, {where} nats-server")


async def hang(folder: Path, seed: int, times: int, tell: Tell, *, separate: bool) -> list[Row]:
    """SIGSTOP of the node or of the nats-server, and SIGCONT some time later."""
    where = "separate" if separate else "embedded"
    storm = _Storm(folder, seed, tell, separate=separate)
    return await storm.blow(times, storm.hang, f"SIGSTOP of the {{}} for up to {HANG_SECONDS_MAX:g} s, {where} server")


class _Storm:
    """One data folder, one ledger, and what each kind of fault has cost."""

    def __init__(self, folder: Path, seed: int, tell: Tell, *, separate: bool) -> None:
        self._folder = folder
        self._seed = seed
        self._chance = Random(seed)
        self._tell = tell
        self._separate = separate
        self._ledger = Ledger()
        self._before = Verdict(0)
        self._times: Counter[str] = Counter()
        self._costs: dict[str, Counter[str]] = {}

    async def blow(self, times: int, strike: Callable[[Colony, str], Awaitable[None]], name: str) -> list[Row]:
        """Strike so many times, and audit after each."""
        segments = f"--segment-events-max={SEGMENT_EVENTS}"
        async with colony(self._folder, segments, separate=self._separate) as running:
            assert running.node is not None
            publishers = Publishers(self._ledger, f"s{self._seed}")
            async with publishers.at_work(running.node.nats_url, running.node.url):
                for count in range(1, times + 1):
                    victim = self._draw(strike)
                    self._times[victim] += 1
                    await publishers.a_while(self._chance.randrange(ACKNOWLEDGED_BETWEEN_MAX))
                    await strike(running, victim)
                    async with publishers.resting():
                        verdict = self._book(victim, await audit(running, self._ledger))
                        if count % REBUILD_EVERY == 0:
                            await check_rebuilt(running)
                    self._tell(f"{count}/{times} {name.format(victim)}: {verdict}")
            await check_rebuilt(running)
            await running.stop()
            self._book(victim, self._recounted(running))
            await asyncio.to_thread(check_fresh_fold, running.data)
        return [self._row(name, victim) for victim in SHARES if self._times[victim]]

    async def kill(self, running: Colony, victim: str) -> None:
        await running.kill(victim)

    async def hang(self, running: Colony, victim: str) -> None:
        await running.suspend(victim, self._chance.uniform(0.05, HANG_SECONDS_MAX))

    def _recounted(self, running: Colony) -> Verdict:
        """The whole log once more: what an audit saw may have been lost since."""
        self._ledger.begin_again()
        with Log.open(running.log, writable=False) as log:
            self._ledger.take(log.read(ORIGIN))
        return self._ledger.verdict()

    def _draw(self, strike: object) -> str:
        victims = [victim for victim in SHARES if victim != "both" or strike == self.kill]
        return self._chance.choices(victims, [SHARES[victim] for victim in victims])[0]

    def _book(self, victim: str, now: Verdict) -> Verdict:
        """Charge what has changed since the last audit to the fault that was between."""
        costs = self._costs.setdefault(victim, Counter())
        for field in ("acknowledged", "lost", "doubled", "wrong"):
            costs[field] += getattr(now, field) - getattr(self._before, field)
        self._before = now
        return now

    def _row(self, name: str, victim: str) -> Row:
        costs = self._costs[victim]
        return Row(
            fault=name.format("node and the nats-server at once" if victim == "both" else victim),
            times=self._times[victim],
            acknowledged=costs["acknowledged"],
            lost=costs["lost"],
            doubled=costs["doubled"],
            wrong=costs["wrong"],
            healed=self._times[victim],
            seed=self._seed,
        )
