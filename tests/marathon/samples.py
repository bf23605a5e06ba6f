"""What is sampled while a marathon runs, and whether it is flat: a slope that a few odd samples can't bend."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from rookery.ops.bench.figures import percentile

PAIRS_APART = 3  # of the samples' number, so that a slope is not made of two neighbours


class Vitals(NamedTuple):
    """A process's memory, open files and threads at a moment."""

    resident_mib: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        """Those of a process that lives."""
        process = psutil.Process(pid)
        with process.oneshot():
            return cls(process.memory_info().rss / 2**20, process.num_fds(), process.num_threads())


class Minute(NamedTuple):
    """How long one minute's answers took: the median and the 99th percentile of each kind, in milliseconds."""

    p50: dict[str, float]
    p99: dict[str, float]
    count: dict[str, int]


class Latencies:
    """Gathers how long answers took, and makes minutes of them."""

    def __init__(self) -> None:
        self._now: dict[str, list[float]] = defaultdict(list)
        self.minutes: list[Minute] = []

    def observe(self, name: str, seconds: float) -> None:
        """Note one."""
        self._now[name].append(seconds * 1_000)

    def turn(self) -> Minute:
        """A minute is over."""
        gathered, self._now = self._now, defaultdict(list)
        minute = Minute(
            {name: percentile(values, 0.5) for name, values in gathered.items()},
            {name: percentile(values, 0.99) for name, values in gathered.items()},
            {name: len(values) for name, values in gathered.items()},
        )
        self.minutes.append(minute)
        return minute


def slope(moments: Sequence[float], values: Sequence[float]) -> float:
    """By how much a value grows per unit of time: Theil and Sen's, the median of the slopes between pairs of samples.

    Up to 29 % of the samples may be anything at all. Pairs closer than a third of the whole say little, and are left
    out.
    """
    apart = max(1, len(moments) // PAIRS_APART)
    slopes = [
        (values[later] - values[sooner]) / (moments[later] - moments[sooner])
        for sooner in range(len(moments))
        for later in range(sooner + apart, len(moments))
    ]
    return median(slopes) if slopes else 0.0


def size_mib(folder: Path) -> float:
    """What the files in a folder take."""
    total_bytes = 0
    for within, _, names in os.walk(folder):  # which passes over what is gone meanwhile
        for name in names:
            with suppress(FileNotFoundError):
                total_bytes += os.stat(os.path.join(within, name)).st_size
    return total_bytes / 2**20
