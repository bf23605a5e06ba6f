"""Logs for tests, with segments of a few events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.eventstore import Log
from rookery.tests.eventstore.deliveries import mixed


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    with Log.open(tmp_path / "log", segment_events_max=8) as opened:
        yield opened


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A log with a bit of everything, partly sealed."""
    with Log.open(tmp_path_factory.mktemp("log"), segment_events_max=8) as opened:
        opened.append("here", mixed(60))
        opened.seal_full_segments()
        yield opened
