"""Live readers: how soon each of many that follow the log's events has what is published."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psutil

from ...bus import NatsBus
from ...schemas import Event
from . import workload
from .figures import Figure, percentile
from .node_process import node_process

READERS = 100
EVENTS_PER_SECOND = 1_000
SECONDS = 10.0
TICK_SECONDS = 0.01
CHUNK_BYTES_MAX = 2**18
ID = b"id: local:"


def live_readers(
    readers: int = READERS, *, events_per_second: int = EVENTS_PER_SECOND, seconds: float = SECONDS
) -> list[Figure]:
    """From publish to delivery over Server-Sent Events, of every event to every reader; and what it costs the node.

    Publisher and readers are one process on the node's machine, and take of its processors too.
    """
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        node = psutil.Process(running.process.pid)
        count = int(events_per_second * seconds)
        measuring = _measure(running.node.url, running.node.nats_url, readers, events_per_second, count, node)
        delays, cores = asyncio.run(measuring)
    return [
        Figure.of("live_readers.delivered_p50", percentile(delays, 0.5) * 1e3, "ms"),
        Figure.of("live_readers.delivered_p99", percentile(delays, 0.99) * 1e3, "ms"),
        Figure.of("live_readers.delivered_max", max(delays) * 1e3, "ms"),
        Figure.of("live_readers.node_cpu", cores, "cores"),
    ]


async def _measure(
    url: str, nats_url: str, readers: int, events_per_second: int, count: int, node: psutil.Process
) -> tuple[list[float], float]:
    """The seconds that each event took to each reader, and how many cores the node used meanwhile."""
    bus = await NatsBus.connect(nats_url)
    joined = asyncio.Barrier(readers + 1)
    last = (await bus.state()).last_sequence + count
    following = [asyncio.create_task(_follow(url, last, joined)) for _ in range(readers)]
    await joined.wait()
    began, used = time.perf_counter(), _cpu_seconds(node)
    sent = await _publish(bus, list(workload.events(count)), events_per_second)
    arrivals = await asyncio.gather(*following)
    cores = (_cpu_seconds(node) - used) / (time.perf_counter() - began)
    await bus.close()
    return [delay for one in arrivals for delay in _delays(sent, one)], cores


async def _publish(bus: NatsBus, made: list[Event], events_per_second: int) -> dict[int, float]:
    """When each event was published, by its bus sequence, which in a fresh log is its number too."""
    sent: dict[int, float] = {}
    events = iter(made)
    while tick := list(islice(events, int(events_per_second * TICK_SECONDS))):
        began = time.perf_counter()
        receipts = await asyncio.gather(*(bus.publish(event) for event in tick))
        sent |= dict.fromkeys((receipt.sequence for receipt in receipts), began)
        await asyncio.sleep(max(0.0, began + TICK_SECONDS - time.perf_counter()))
    return sent


async def _follow(url: str, last: int, joined: asyncio.Barrier) -> list[tuple[int, float]]:
    """Up to which event a reader had come, each time that something came."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    source, sink = await asyncio.open_connection(host, port)
    sink.write(b"GET /events HTTP/1.1\r\nhost: %b\r\naccept: text/event-stream\r\n\r\n" % (host or "").encode())
    await source.readuntil(ID)  # the event of the node's start: from here on it is live
    await joined.wait()
    arrivals: list[tuple[int, float]] = []
    tail, n = b"", 0
    while n < last:
        tail = tail[-64:] + await source.read(CHUNK_BYTES_MAX)
        found, end = tail.rpartition(ID)[2].split(b"\n", 1), time.perf_counter()
        if len(found) == 2 and found[0].isdigit():
            n = int(found[0])
            arrivals.append((n, end))
    sink.close()
    return arrivals


def _delays(sent: dict[int, float], arrivals: list[tuple[int, float]]) -> list[float]:
    reached = 0
    delays: list[float] = []
    for n, moment in arrivals:
        delays += [moment - sent[number] for number in range(reached + 1, n + 1) if number in sent]
        reached = n
    return delays


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
