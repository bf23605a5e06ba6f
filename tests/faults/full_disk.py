"""A full disk: it fills up while everybody publishes, and has room again some time later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from rookery.tests.small_disk import small_disk

from .auditing import audit
from .colony import Colony, colony
from .ledger import Ledger
from .publishing import Publishers
from .rows import Row
from .storms import Tell

SIZE_MIB = 256
EVENTS_PER_SECOND = 800.0
EVENTS_BETWEEN = 300
FULL_SECONDS_MAX = 4.0


async def fill(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """Under everything, and under the log alone."""
    return [
        await _fill(folder / "all", Path("data"), "a full disk under everything", seed, times, tell),
        await _fill(folder / "log", Path("data/log"), "a full disk under the log alone", seed, times, tell),
    ]


async def _fill(folder: Path, where: Path, fault: str, seed: int, times: int, tell: Tell) -> Row:
    chance, ledger, detected = Random(seed), Ledger(), 0
    with small_disk(folder / where, size_mib=SIZE_MIB) as fill_up:
        async with colony(folder, separate=False) as running:
            assert running.node is not None
            publishers = Publishers(ledger, "d", events_per_second=EVENTS_PER_SECOND)
            async with publishers.at_work(running.node.nats_url, running.node.url):
                for count in range(1, times + 1):
                    await publishers.a_while(EVENTS_BETWEEN)
                    await asyncio.to_thread(fill_up)
                    await asyncio.sleep(chance.uniform(1.0, FULL_SECONDS_MAX))
                    detected += await _is_told(running)
                    (folder / where / "ballast").unlink()
                    async with publishers.resting():
                        verdict = await audit(running, ledger)
                    tell(f"{count}/{times} {fault}: {verdict}")
            verdict = await audit(running, ledger)
    return Row(
        fault=fault,
        times=times,
        acknowledged=verdict.acknowledged,
        lost=verdict.lost,
        doubled=verdict.doubled,
        wrong=verdict.wrong,
        detected=detected,
        healed=times,
        seed=seed,
    )


async def _is_told(running: Colony) -> bool:
    status = await running.get("/status")
    return bool(status) and any(
        "free" in part["detail"] for part in status["subsystems"].values() if part["state"] != "ready"
    )
