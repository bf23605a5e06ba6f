"""Robbery: nats-server is killed, loses a part of its store while it is down, and comes back as if nothing were."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from rookery.bus import NatsBus
from rookery.eventstore import Log
from rookery.schemas import InvalidEvent, decode

from .auditing import audit
from .colony import ORIGIN, Colony, NodeGone, colony
from .ledger import Ledger
from .publishing import Publishers
from .rows import Row
from .storms import Tell

STREAM = "nats/jetstream/$G/streams/EVENTS/msgs"
EVENTS_BEFORE, EVENTS_AFTER = 1_500, 2_500  # so that the bus is soon past the place where the log is
MEANWHILE = ("running", "down", "hanging")
NOTICE_SECONDS_MAX = 25.0
POLL_SECONDS = 0.1


async def rob(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """Each way of robbing, so many times; meanwhile the node runs, is down, or hangs."""
    chance = Random(seed)
    rows = []
    for name, take in WAYS.items():
        found = Counter[str]()
        for count in range(times):
            outcome = await _one(
                folder / f"{take.__name__}-{count}", chance, take, node=MEANWHILE[count % len(MEANWHILE)]
            )
            found.update(outcome)
            tell(f"{count + 1}/{times} {name}: {', '.join(f'{each} {value}' for each, value in outcome.items())}")
        costs = {each: found[each] for each in ("acknowledged", "lost", "doubled", "wrong")}
        ends = {each: found[each] for each in ("detected", "healed", "harmless", "silent")}
        rows.append(Row(fault=f"nats-server loses {name}", times=times, seed=seed, **costs, **ends))
    return rows


async def _one(folder: Path, chance: Random, take: Callable[[Path, Random], None], *, node: str) -> Counter[str]:
    ledger = Ledger()
    async with colony(folder, separate=True) as running:
        assert running.node is not None
        assert running.server is not None
        publishers = Publishers(ledger, "r")
        async with publishers.at_work(running.node.nats_url, None):
            await publishers.a_while(EVENTS_BEFORE)
            async with publishers.resting():
                await audit(running, ledger)
                await _absent(running, node)
                held = await _held(running)
                os.kill(running.server.pid, signal.SIGKILL)
                await running.server.wait()
                take(folder / "server" / STREAM, chance)
                await running.server.restart()
                harmless = await _held(running) == held
            await publishers.a_while(EVENTS_AFTER)
            try:
                await _back(running, node)
            except NodeGone as gone:
                return Counter(acknowledged=ledger.acknowledged, detected=int("bus" in str(gone)))
        return await _outcome(running, ledger, harmless=harmless)


async def _absent(running: Colony, node: str) -> None:
    if node == "down":
        await running.stop()
    elif node == "hanging":
        os.kill(running.pid, signal.SIGSTOP)


async def _back(running: Colony, node: str) -> None:
    """Let the node see what the bus has become: it may have gone past the place where the node was."""
    if node == "down":
        await running.start()
    elif node == "hanging":
        os.kill(running.pid, signal.SIGCONT)


async def _outcome(running: Colony, ledger: Ledger, *, harmless: bool) -> Counter[str]:
    """What became of it: the log has everything, or the node says why not, or nobody noticed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + NOTICE_SECONDS_MAX
    named = ""
    while ledger.is_waiting and loop.time() < deadline:
        named = await _named(running) or named
        _read(running, ledger)
        await asyncio.sleep(POLL_SECONDS)
    _read(running, ledger)
    verdict = ledger.verdict()
    unseen = len(ledger.awaited - await _on_the_bus(running)) if ledger.is_waiting else 0
    end = "detected" if named else "silent"
    if not ledger.is_waiting:
        end = "harmless" if harmless else "healed"
    costs = {"acknowledged": verdict.acknowledged, "doubled": verdict.doubled, "wrong": verdict.wrong}
    return Counter({**costs, "lost": unseen if end == "detected" else verdict.lost, end: 1})


def _read(running: Colony, ledger: Ledger) -> None:
    with Log.open(running.log, writable=False) as log:
        ledger.take(log.read(ORIGIN, after=ledger.last))


async def _named(running: Colony) -> str:
    """What the node says is wrong with its bus."""
    status = await running.get("/status")
    part = status["subsystems"]["ingest"] if status else {"state": "ready"}
    return part["detail"] if part["state"] == "failed" else ""


async def _held(running: Colony) -> tuple[int, int]:
    assert running.server is not None
    async with await NatsBus.connect(running.server.url) as bus:
        state = await bus.state()
    return state.messages, state.last_sequence


async def _on_the_bus(running: Colony) -> set[str]:
    """The events that the bus has: what the log lacks is not lost while they are there."""
    assert running.server is not None
    found: set[str] = set()
    async with await NatsBus.connect(running.server.url) as bus:
        last = (await bus.state()).last_sequence
        async for batch in bus.read():
            for delivery in batch:
                with suppress(InvalidEvent):
                    found.add(decode(delivery.payload).id)
            if batch[-1].sequence >= last:
                break
    return found


def index_gone(store: Path, chance: Random) -> None:
    (store / "index.db").unlink(missing_ok=True)


def end_cut_off(store: Path, chance: Random) -> None:
    """The last block ends somewhere else, and what says where it ended is gone."""
    index_gone(store, chance)
    block = max(store.glob("*.blk"), key=_number)
    size_bytes = block.stat().st_size
    os.truncate(block, max(0, size_bytes - chance.randrange(1, 64 * 1024)))


def blocks_gone(store: Path, chance: Random) -> None:
    """Everything after the first events, as when a file system comes back as it was some time ago."""
    index_gone(store, chance)
    first, *later = sorted(store.glob("*.blk"), key=_number)
    for block in later:
        block.unlink()
    os.truncate(first, first.stat().st_size // 2)


def bit_flipped(store: Path, chance: Random) -> None:
    """One bit of a block, and no index: the stream ends there, and nobody says so."""
    index_gone(store, chance)
    block = max(store.glob("*.blk"), key=_number)
    at = chance.randrange(block.stat().st_size)
    with block.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def _number(block: Path) -> int:
    return int(block.stem)


WAYS = {
    "its index": index_gone,
    "its index and the end of its last block": end_cut_off,
    "its index and half of its blocks": blocks_gone,
    "its index, and a bit of a block flips": bit_flipped,
}
