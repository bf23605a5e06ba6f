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
SETTLE_SECONDS = 3.0
TICK_SECONDS = 0.01
POLL_SECONDS = 0.01
# Watching should not take from what is watched: after one fold, no other is done so soon.
QUIET_SECONDS = 0.05
# Model calls stand for all events: a batch becomes visible at once, and counting them costs the node next to nothing.
WATCHED = "llm_call.completed"
VISIBLE = msgspec.json.encode({"sql": "select count(*) as calls from llm_calls"})


def live(
    events: int = EVENTS,
    *,
    publishers: int = PUBLISHERS,
    steady_seconds: float = STEADY_SECONDS,
    settle_seconds: float = SETTLE_SECONDS,
) -> list[Figure]:
    """How soon an event is visible at a steady pace; events per second, sustained; and how soon then.

    What the second leaves behind, segments to seal and events for the graph, is still being worked off in the third.
    """
    steady = int(STEADY_EVENTS_PER_SECOND * steady_seconds)
    with (
        TemporaryDirectory(prefix="rookery-bench-") as folder,
        node_process(Path(folder)) as running,
        Client(running.node.url) as client,
    ):
        delays = asyncio.run(_steady(running.node.nats_url, client, steady, seed=1))
        sustained = asyncio.run(_sustained(running.node.nats_url, client, events, publishers, seed=2))
        time.sleep(settle_seconds)
        delays_after = asyncio.run(_steady(running.node.nats_url, client, steady, seed=3))
    return [
        Figure.of("live.throughput", sustained, "events/s"),
        Figure.of("live.visible_p50", percentile(delays, 0.5) * 1e3, "ms"),
        Figure.of("live.visible_p99", percentile(delays, 0.99) * 1e3, "ms"),
        Figure.of("live.visible_p99_beside_backlog", percentile(delays_after, 0.99) * 1e3, "ms"),
    ]


async def _sustained(nats_url: str, client: Client, events: int, publishers: int, seed: int) -> float:
    bus = await NatsBus.connect(nats_url)
    made = list(workload.events(events, seed=seed))
    expected = sum(event.type == WATCHED for event in made)
    before = await asyncio.to_thread(_visible, client)
    share = iter(made)
    started = time.perf_counter()
    await asyncio.gather(*(_publisher(bus, share) for _ in range(publishers)))
    while await asyncio.to_thread(_visible, client) - before < expected:
        await asyncio.sleep(POLL_SECONDS)
    taken = time.perf_counter() - started
    await bus.close()
    return events / taken


async def _publisher(bus: Bus, share: Iterator[Event]) -> None:
    for event in share:
        await bus.publish(event)


async def _steady(nats_url: str, client: Client, count: int, seed: int) -> list[float]:
    """The seconds from `publish` to visible of every watched event, to the poll that first saw it."""
    bus = await NatsBus.connect(nats_url)
    made = list(workload.events(count, seed=seed))
    sent: list[float] = []
    before = await asyncio.to_thread(_visible, client)  # by then: what comes later is watched
    watcher = asyncio.create_task(_watch(client, sent, before, sum(event.type == WATCHED for event in made)))
    events = iter(made)
    while tick := list(islice(events, int(STEADY_EVENTS_PER_SECOND * TICK_SECONDS))):
        began = time.perf_counter()
        sent += [began] * sum(event.type == WATCHED for event in tick)
        await asyncio.gather(*(bus.publish(event) for event in tick))
        await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.perf_counter()))
    delays = await watcher
    await bus.close()
    return delays


async def _watch(client: Client, sent: list[float], before: int, count: int) -> list[float]:
    delays: list[float] = []
    while len(delays) < count:
        visible = await asyncio.to_thread(_visible, client) - before
        now = time.perf_counter()
        seen = [now - moment for moment in sent[len(delays) : visible]]
        delays += seen
        await asyncio.sleep(QUIET_SECONDS if seen else POLL_SECONDS)
    return delays


def _visible(client: Client) -> int:
    return int(client.post("/sql", VISIBLE)["rows"][0]["calls"])
