"""Living: events from a publisher on the same machine, through bus and log, to where a query sees them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from ...bus import Bus, NatsBus
from ...schemas import Event
from ..client import Client
from . import workload
from .figures import Figure, percentile
from .node_process import node_process

EVENTS = 200_000
PUBLISHERS = 1_000
STEADY_EVENTS_PER_SECOND = 1_000
STEADY_SECONDS = 10
TICK_SECONDS = 0.01
POLL_SECONDS = 0.02
VISIBLE = msgspec.json.encode({"sql": "select coalesce(sum(events), 0) as events from fleet_hourly"})


def live(events: int = EVENTS, *, publishers: int = PUBLISHERS, steady_seconds: float = STEADY_SECONDS) -> list[Figure]:
    """Events per second from publish to visible, sustained; and how soon one is visible at a steady pace."""
    with (
        TemporaryDirectory(prefix="rookery-bench-") as folder,
        node_process(Path(folder)) as running,
        Client(running.node.url) as client,
    ):
        sustained = asyncio.run(_sustained(running.node.nats_url, client, events, publishers))
        delays = asyncio.run(_steady(running.node.nats_url, client, int(STEADY_EVENTS_PER_SECOND * steady_seconds)))
    return [
        Figure.of("live.throughput", sustained, "events/s"),
        Figure.of("live.visible_p50", percentile(delays, 0.5) * 1e3, "ms"),
        Figure.of("live.visible_p99", percentile(delays, 0.99) * 1e3, "ms"),
    ]


async def _sustained(nats_url: str, client: Client, events: int, publishers: int) -> float:
    bus = await NatsBus.connect(nats_url)
    share = workload.events(events)
    started = time.perf_counter()
    await asyncio.gather(*(_publisher(bus, share) for _ in range(publishers)))
    last = (await bus.state()).messages
    while await asyncio.to_thread(_visible, client) < last:
        await asyncio.sleep(POLL_SECONDS)
    taken = time.perf_counter() - started
    await bus.close()
    return events / taken


async def _publisher(bus: Bus, share: Iterator[Event]) -> None:
    for event in share:
        await bus.publish(event)


async def _steady(nats_url: str, client: Client, count: int) -> list[float]:
    """The seconds from `publish` to visible of every event, to the poll that first saw it."""
    bus = await NatsBus.connect(nats_url)
    first = (await bus.state()).messages
    sent: list[float] = []
    watcher = asyncio.create_task(_watch(client, first, sent, count))
    events = workload.events(count, seed=2)
    while tick := list(islice(events, int(STEADY_EVENTS_PER_SECOND * TICK_SECONDS))):
        began = time.perf_counter()
        sent += [began] * len(tick)
        await asyncio.gather(*(bus.publish(event) for event in tick))
        await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.perf_counter()))
    delays = await watcher
    await bus.close()
    return delays


async def _watch(client: Client, first: int, sent: list[float], count: int) -> list[float]:
    delays: list[float] = []
    while len(delays) < count:
        visible = await asyncio.to_thread(_visible, client) - first
        now = time.perf_counter()
        delays += [now - moment for moment in sent[len(delays) : visible]]
        await asyncio.sleep(POLL_SECONDS)
    return delays


def _visible(client: Client) -> int:
    return int(client.post("/sql", VISIBLE)["rows"][0]["events"])
