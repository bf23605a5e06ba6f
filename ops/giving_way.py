"""Giving way: the graph is folded with the time that the read models leave over."""

from __future__ import annotations

import time

from ..eventstore import Log
from ..projections import Projections

SHARE = 0.4  # of the time that folding may take at most, so that it never holds up the rest of the node for long
SHARE_WHILE_BEHIND = 0.2
BEHIND_EVENTS = 2_000
PAUSE_SECONDS_MIN = 0.25  # few events cost almost as much as many, so a live node lets some gather
PAUSE_SECONDS_MAX = 0.5  # and so the longest that a node waits for it when it closes


class GivingWay:
    """Called after each batch with the seconds that it took; it waits, longer while the read models are behind."""

    def __init__(self, log: Log, projections: Projections) -> None:
        self._log = log
        self._projections = projections

    def __call__(self, worked_seconds: float) -> None:
        """Wait as long as others should have the processor."""
        share = SHARE_WHILE_BEHIND if self._behind() > BEHIND_EVENTS else SHARE
        time.sleep(min(max(worked_seconds * (1 / share - 1), PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX))

    def _behind(self) -> int:
        position = self._projections.vector()
        return sum(max(0, last - position.get(origin, 0)) for origin, last in self._log.vector().items())
