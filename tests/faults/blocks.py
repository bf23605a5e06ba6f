"""A flipped bit in what nats-server keeps: at every 32nd byte of its blocks, while the log has all that was in them.

nats-server tells nobody unasked: it ends the stream there, passes the event by, or doesn't come up. Harmless is what it
gives as before; healed, what the log has and it no longer gives, if that is told: by the node, or to whoever asks the
bus for that entity's history.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from rookery.bus import Delivery, Entity, NatsBus
from rookery.eventstore import Ingest, Log
from rookery.ops.embedded import forget_what_is_lost
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer, NatsServerError
from rookery.schemas import Event, RunStarted, decode, encode

from .flips import EVERY_BYTES, Flip
from .robbery import STREAM
from .rows import Row
from .specimen import NOON, ORIGIN
from .storms import Tell

EVENTS_BEFORE, EVENTS_AFTER = 60, 5
NOTICE_SECONDS_MAX = 60.0  # a reader that the server leaves without heartbeats begins again, after a while
BLOCKS = Path(STREAM).relative_to("nats")


async def flip(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """Every block of a small bus that was shut down, one bit at a time; `times` is how many flips at most."""
    pristine, chance, found = folder / "pristine", Random(seed), Counter[str]()
    async with _node(pristine) as (bus, log, ingest, _):
        await _published(bus, ingest, "before", EVENTS_BEFORE)
        lines = [record.line for record in log.read(ORIGIN)]
    flips = [
        Flip(path.relative_to(pristine), at, chance.randrange(8))
        for path in sorted((pristine / "nats" / BLOCKS).glob("*.blk"))
        for at in range(0, path.stat().st_size, EVERY_BYTES)
    ]
    chosen = flips[:: max(1, -(-len(flips) // times))]
    for each in chosen:
        tried = Path(shutil.copytree(pristine, folder / "tried"))
        each._replace(path=tried / each.path).do()
        try:
            end, _, why = (await _tried(tried, lines)).partition(": ")
        except NatsServerError:  # who starts a node on it is told
            end = "detected"
        shutil.rmtree(tried)
        found[end] += 1
        if end == "silent":
            tell(f"  silent: {each} {why}")
    tell(f"nats-server's blocks: {len(chosen):,} of {len(flips):,} flips: {dict(found)}")
    ends = {end: found[end] for end in ("detected", "healed", "harmless", "silent")}
    return [Row(fault="a flipped bit in nats-server's blocks", times=len(chosen), seed=seed, **ends)]


async def _tried(data: Path, lines: Sequence[bytes]) -> str:
    """The bus is read on, and more is published: the log has what it had, and all that came, once."""
    async with _node(data) as (bus, log, ingest, told):
        try:
            async with asyncio.timeout(NOTICE_SECONDS_MAX):
                await _published(bus, ingest, "after", EVENTS_AFTER)
        except Exception as error:
            state = ingest.status.state
            return "detected" if state == "failed" else f"silent: {type(error).__name__}, while ingest is {state}"
        held = list(log.read(ORIGIN))
        came = [record.payload for record in held[len(lines) :]]
        if [record.line for record in held[: len(lines)]] != lines:
            return "silent: the log is not what it was"
        if came != [encode(event) for event in _events("after", EVENTS_AFTER)]:
            return f"silent: {len(came)} events came of {EVENTS_AFTER}"
        given = [delivery.payload async for delivery in _given(bus)]
        if given == [record.payload for record in held]:
            return "harmless"
        gone = [record.payload for record in held if record.payload not in given]
        said = told or ingest.status.regressions
        unsaid = [payload for payload in gone if not said and not await _is_missed(bus, payload)]
        return f"silent: {len(unsaid)} events are gone, and their histories say nothing" if unsaid else "healed"


async def _given(bus: NatsBus) -> AsyncIterator[Delivery]:
    last = (await bus.state()).last_sequence
    async for batch in bus.read():
        for delivery in batch:
            yield delivery
        if batch[-1].sequence >= last:
            return


async def _is_missed(bus: NatsBus, payload: bytes) -> bool:
    """Whether the bus's history of the event's entity says that it is not whole."""
    event = decode(payload)
    return (await bus.history(Entity(event.entity, event.subject))).missing > 0


@asynccontextmanager
async def _node(data: Path) -> AsyncIterator[tuple[NatsBus, Log, Ingest, bool]]:
    """As much of a node as takes events from a bus into a log, and whether it told that nats-server has lost some."""
    async with await NatsServer.start(data, port=ANY_FREE_PORT) as server:
        told = bool(await forget_what_is_lost(server))
        async with await NatsBus.connect(server.url) as bus:
            with Log.open(data / "log", own=(ORIGIN,)) as log:
                ingest = Ingest(bus, log, ORIGIN, accept_regression=True)
                running = asyncio.create_task(ingest.run())
                try:
                    yield bus, log, ingest, told
                finally:
                    running.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await running


async def _published(bus: NatsBus, ingest: Ingest, name: str, count: int) -> None:
    for event in _events(name, count):
        receipt = await bus.publish(event)
    await ingest.wait_for(receipt.sequence)


def _events(name: str, count: int) -> list[Event]:
    made = (RunStarted(task=f"task {at}", agent_id="a") for at in range(count))
    return [
        Event.of(data, subject=f"run-{at % 7}", source="/agents/a", id=f"{name}-{at}", time=NOON)
        for at, data in enumerate(made)
    ]
