"""What the properties of the graph share: bounds that small histories reach, and a folder for every example."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from rookery.projections.graph import graph, resemblance, rules, sightings


@pytest.fixture
def small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that the histories reach."""
    monkeypatch.setattr(graph, "BATCH_EVENTS_MAX", 7)
    monkeypatch.setattr(graph, "UNDONE_AT_ONCE_EVENTS", 4)
    monkeypatch.setattr(resemblance, "BLOCK_LESSONS_MAX", 3)
    monkeypatch.setattr(rules, "STEPS_MAX", 2)
    monkeypatch.setattr(sightings, "EDGES_KEPT_MAX", 2)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder for every example."""
    return (tmp_path / str(number) for number in count())
