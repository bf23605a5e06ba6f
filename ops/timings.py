"""Timings: how often something took how long, counted so cheaply that the way of every event can afford it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Timings:
    """A histogram of durations. One thread observes; any may read, and then sees a moment's figures or the next's."""

    __slots__ = ("_counts", "sum_seconds")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most so many seconds, as Prometheus counts: each bucket holds those before it."""
        return list(zip([*map(str, BOUNDS_SECONDS), "+Inf"], accumulate(self._counts), strict=True))

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)
