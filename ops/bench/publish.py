"""Durable publishing: a thousand concurrent publishers in one process, beside a plain `await js.publish` loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import nats

from ...bus import Bus, NatsBus
from ...schemas import Event, encode, subject_of
from ..nats_server import ANY_FREE_PORT, NatsServer
from . import workload
from .figures import Figure, percentile

EVENTS = 60_000
PUBLISHERS = 1_000
RIVAL_EVENTS = 3_000
LONE_EVENTS = 1_000


def publish(
    events: int = EVENTS,
    *,
    publishers: int = PUBLISHERS,
    lone_events: int = LONE_EVENTS,
    rival_events: int = RIVAL_EVENTS,
) -> list[Figure]:
    """Events per second with `sync_interval: always`, and the latency of a lone publisher."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        return asyncio.run(_measure(Path(folder), events, publishers, lone_events, rival_events))


async def _measure(folder: Path, events: int, publishers: int, lone_events: int, rival_events: int) -> list[Figure]:
    async with await NatsServer.start(folder, port=ANY_FREE_PORT) as server:
        bus = await NatsBus.connect(server.url)
        many = await _together(bus, list(workload.events(events)), publishers)
        lone = await _alone(bus, list(workload.events(lone_events, seed=2)))
        await bus.close()
        plain = await _plain_loop(server.url, list(workload.events(rival_events, seed=3)))
    rival = "await js.publish, one by one (nats-py)"
    return [
        Figure.of("publish.throughput", many, "events/s", rival=rival, rival_value=len(plain) / sum(plain)),
        Figure.of(
            "publish.latency_p99",
            percentile(lone, 0.99) * 1e3,
            "ms",
            rival=rival,
            rival_value=percentile(plain, 0.99) * 1e3,
        ),
    ]


async def _together(bus: Bus, events: list[Event], publishers: int) -> float:
    async def publisher(share: Iterator[Event]) -> None:
        for event in share:
            await bus.publish(event)

    share = iter(events)
    started = time.perf_counter()
    await asyncio.gather(*(publisher(share) for _ in range(publishers)))
    return len(events) / (time.perf_counter() - started)


async def _alone(bus: Bus, events: list[Event]) -> list[float]:
    taken = []
    for event in events:
        started = time.perf_counter()
        await bus.publish(event)
        taken.append(time.perf_counter() - started)
    return taken


async def _plain_loop(url: str, events: list[Event]) -> list[float]:
    connection = await nats.connect(url)
    stream = connection.jetstream()
    taken = []
    for event in events:
        started = time.perf_counter()
        await stream.publish(subject_of(event), encode(event), headers={"Nats-Msg-Id": event.id})
        taken.append(time.perf_counter() - started)
    await connection.close()
    return taken
