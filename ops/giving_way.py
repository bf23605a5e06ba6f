"""Giving way: the graph is folded with the time that the read models leave over."""

from __future__ import annotations

import os
import sys

from ..eventstore import Log
from ..projections import Projections

# Of the time, that folding the graph may take: when nothing else is to do, while events come in, and while the read
# models have a backlog.
SHARE_ALONE = 0.8
SHARE = 0.2
SHARE_WHILE_BEHIND = 0.1
BEHIND_EVENTS = 2_000
PAUSE_SECONDS_MIN = 0.02  # a live node lets a few events gather
NICENESS = 10


def step_back() -> None:
    """Let every other thread and process go before the calling thread, where the system tells threads apart."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)  # there, 0 is the calling thread, and not its process


class GivingWay:
    """Called after each batch with the seconds that it took: how many seconds others should have the processor now."""

    def __init__(self, log: Log, projections: Projections) -> None:
        self._log = log
        self._projections = projections

    def __call__(self, worked_seconds: float) -> float:
        """The seconds to wait: more while the read models are behind, few when they have nothing to do."""
        behind = self._behind()
        if not behind:
            return worked_seconds * (1 / SHARE_ALONE - 1)
        share = SHARE_WHILE_BEHIND if behind > BEHIND_EVENTS else SHARE
        return max(worked_seconds * (1 / share - 1), PAUSE_SECONDS_MIN)

    def _behind(self) -> int:
        position = self._projections.vector()
        return sum(max(0, last - position.get(origin, 0)) for origin, last in self._log.vector().items())
