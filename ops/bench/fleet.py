"""The fleet: what many agents cost, and how soon the colony notices what becomes of them."""

from __future__ import annotations

from .assigning import ASSIGNMENTS, DECISIONS, PROCESSES, STEADY_SECONDS, assigning
from .figures import Figure
from .heartbeats import COUNT, INTERVAL_SECONDS, MEASURED_SECONDS, heartbeats


def fleet(
    agents: int = COUNT,
    *,
    interval_seconds: float = INTERVAL_SECONDS,
    measured_seconds: float = MEASURED_SECONDS,
    decisions: int = DECISIONS,
    steady_seconds: float = STEADY_SECONDS,
    assignments: int = ASSIGNMENTS,
    processes: int = PROCESSES,
) -> list[Figure]:
    """Everything about a large fleet, each part on a node of its own."""
    return [
        *heartbeats(agents, interval_seconds=interval_seconds, measured_seconds=measured_seconds),
        *assigning(decisions=decisions, steady_seconds=steady_seconds, assignments=assignments, processes=processes),
    ]
