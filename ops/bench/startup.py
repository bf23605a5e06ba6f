"""Starting: how long `rookery up` takes to be ready, and what an idle node holds in memory."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from .figures import Figure
from .node_process import node_process

IDLE_SECONDS = 3.0
RUNS = 3


def startup(runs: int = RUNS, *, idle_seconds: float = IDLE_SECONDS) -> list[Figure]:
    """Seconds from the command to ready, and mebibytes of the idle node with its nats-server: medians of a few runs."""
    measured = sorted(_once(idle_seconds) for _ in range(runs))
    middle_seconds, middle_mebibytes = measured[runs // 2]
    return [
        Figure.of("startup.ready", middle_seconds, "s"),
        Figure.of("startup.idle_memory", middle_mebibytes, "MiB"),
    ]


def _once(idle_seconds: float) -> tuple[float, float]:
    with TemporaryDirectory(prefix="rookery-bench-") as folder, node_process(Path(folder)) as running:
        time.sleep(idle_seconds)
        node = psutil.Process(running.process.pid)
        family = [node, *node.children(recursive=True)]
        return running.ready_seconds, sum(one.memory_info().rss for one in family) / 2**20
