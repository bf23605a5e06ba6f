"""Sync: how fast a node copies another's log, and how long the last few events take where the log is long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from ...bus import Delivery
from ...eventstore import Log
from ..client import Client
from ..syncing import LogPeer, Pull
from . import workload
from .figures import Figure
from .node_process import node_process
from .trust import ORIGIN, SEGMENT_EVENTS, make_log

EVENTS = 1_000_000
BACKLOG_EVENTS = 10_000_000
MISSING_EVENTS = 1_000
NODES = (("east", ORIGIN), ("west", "west"))
POLL_SECONDS = 0.2


def sync(
    events: int = EVENTS, backlog_events: int = BACKLOG_EVENTS, missing_events: int = MISSING_EVENTS
) -> list[Figure]:
    """All of a log between two nodes over HTTP on loopback; then a few events behind a long log, from log to log.

    The nodes do what nodes do meanwhile: one folds its graph yet, the other all that it is given. Making the long log
    takes some minutes.
    """
    with TemporaryDirectory(prefix="rookery-bench-") as name:
        folder = Path(name)
        copied, level = _between_nodes(folder, events, missing_events)
        return [
            Figure.of(f"sync.{events:_}_events", events / copied, "events/s"),
            Figure.of(f"sync.{missing_events:_}_of_{events:_}.http", level, "s"),
            Figure.of(
                f"sync.{missing_events:_}_of_{backlog_events:_}", _of_long(folder, backlog_events, missing_events), "s"
            ),
        ]


def _between_nodes(folder: Path, events: int, missing_events: int) -> tuple[float, float]:
    """The seconds that copying all takes, and the seconds for what is published afterwards."""
    _made(folder / "east" / "log", events, workload.deliveries(events))
    (folder / "east" / "restored").touch()  # its bus is a new one
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(node_process(folder / name, f"--origin={origin}")).node.url for name, origin in NODES
        ]
        east, west = (stack.enter_context(Client(url, timeout_seconds=3_600)) for url in nodes)
        _until_folded(east)
        copied = _seconds_of_sync(west, nodes[0])
        for at in range(0, missing_events, 1_000):
            made = islice(workload.deliveries(min(1_000, missing_events - at), seed=2 + at), None)
            east.publish([delivery.payload for delivery in made], wait="logged")
        return copied, _seconds_of_sync(west, nodes[0])


def _until_folded(node: Client) -> None:
    while any(one["lag_events"] for one in node.get("/status")["projections"]):
        time.sleep(POLL_SECONDS)


def _seconds_of_sync(to: Client, url: str) -> float:
    started = time.perf_counter()
    pulled = to.post("/sync", b"", peer=url)
    assert not pulled["failures"], pulled["failures"]
    return time.perf_counter() - started


def _of_long(folder: Path, backlog_events: int, missing_events: int) -> float:
    """From a log of so many events to another that lacks the last few."""
    _made(folder / "long", backlog_events - missing_events)
    with Log.open(folder / "long", own=(ORIGIN,)) as home, Log.open(folder / "copy", own=("west",)) as copy:
        asyncio.run(Pull(copy, LogPeer(home), ("west",)).run())
        sequence = home.bus_sequence(ORIGIN)
        made = workload.deliveries(missing_events, seed=3)
        home.append(ORIGIN, [one._replace(sequence=sequence + one.sequence) for one in made])
        started = time.perf_counter()
        pulled = asyncio.run(Pull(copy, LogPeer(home), ("west",)).run())
        assert pulled.events == {ORIGIN: missing_events}
        return time.perf_counter() - started


def _made(folder: Path, events: int, deliveries: Iterable[Delivery] | None = None) -> None:
    open_events = events % SEGMENT_EVENTS or SEGMENT_EVENTS  # there is always something that is not sealed
    make_log(folder, events - open_events, open_events, SEGMENT_EVENTS, deliveries=deliveries)
