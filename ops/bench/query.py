"""Asking: how long one row by its key takes while events pour in, beside what any answer takes just then."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

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
    """How long `/query/runs` takes for one run, with nothing else to do and while a process publishes.

    Beside it, in turn with it, `/health/live`, which looks at no table: the least that the node takes for an answer.
    """
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
        *_figures("_quiet", quiet),
        *_figures("", busy),
    ]


class _Taken(NamedTuple):
    """The seconds of each answer."""

    by_key: list[float]
    at_least: list[float]


def _figures(when: str, taken: _Taken) -> list[Figure]:
    return [
        Figure.of(
            f"query.by_key_{name}{when}",
            percentile(taken.by_key, share) * 1e3,
            "ms",
            rival="/health/live, which looks at no table",
            rival_value=percentile(taken.at_least, share) * 1e3,
        )
        for name, share in (("p50", 0.5), ("p99", 0.99))
    ]


def _until_level(client: Client) -> None:
    while any(one["lag_events"] for one in client.get("/status")["projections"]):
        time.sleep(TICK_SECONDS)


def _ask(client: Client, runs: list[str], seconds: float) -> _Taken:
    taken = _Taken([], [])
    until = time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        answer = client.get("/query/runs", run_id=runs[len(taken.by_key) % len(runs)])
        taken.by_key.append(time.perf_counter() - began)
        assert len(answer["rows"]) == 1
        time.sleep(PAUSE_SECONDS)
        began = time.perf_counter()
        client.get("/health/live")
        taken.at_least.append(time.perf_counter() - began)
        time.sleep(PAUSE_SECONDS)
    return taken
