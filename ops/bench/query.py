"""Asking: how long one row by its key takes while events pour in."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ..client import Client
from . import workload
from .figures import Figure, percentile
from .node_process import node_process

KNOWN_EVENTS = 50_000
EVENTS_PER_SECOND = 5_000
SECONDS = 10.0
TICK_SECONDS = 0.02
PAUSE_SECONDS = 0.005


def query(
    known_events: int = KNOWN_EVENTS, *, events_per_second: int = EVENTS_PER_SECOND, seconds: float = SECONDS
) -> list[Figure]:
    """How long `/query/runs` takes for one run, with nothing else to do and while a process publishes."""
    with (
        TemporaryDirectory(prefix="rookery-bench-") as folder,
        node_process(Path(folder)) as running,
        Client(running.node.url) as client,
    ):
        workload.publish(running.node.nats_url, known_events, known_events, seed=1)
        _until_level(client)
        runs = [row["run_id"] for row in client.get("/query/runs", limit=500)["rows"]]
        quiet = _ask(client, runs, seconds / 2)
        publisher = multiprocessing.get_context("spawn").Process(
            target=workload.publish,
            args=(running.node.nats_url, int(events_per_second * seconds), events_per_second, 2),
        )
        publisher.start()
        try:
            time.sleep(seconds / 4)  # until the publisher has started
            busy = _ask(client, runs, seconds / 2)
        finally:
            publisher.join()
    return [
        Figure.of("query.by_key_p50_quiet", percentile(quiet, 0.5) * 1e3, "ms"),
        Figure.of("query.by_key_p99_quiet", percentile(quiet, 0.99) * 1e3, "ms"),
        Figure.of("query.by_key_p50", percentile(busy, 0.5) * 1e3, "ms"),
        Figure.of("query.by_key_p99", percentile(busy, 0.99) * 1e3, "ms"),
    ]


def _until_level(client: Client) -> None:
    while any(one["lag_events"] for one in client.get("/status")["projections"]):
        time.sleep(TICK_SECONDS)


def _ask(client: Client, runs: list[str], seconds: float) -> list[float]:
    taken: list[float] = []
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        answer = client.get("/query/runs", run_id=runs[len(taken) % len(runs)])
        taken.append(time.perf_counter() - began)
        assert len(answer["rows"]) == 1
        time.sleep(PAUSE_SECONDS)
    return taken
