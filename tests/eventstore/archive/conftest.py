"""A log of a few segments, and a place to archive it."""

from __future__ import annotations

from pathlib import Path

import pytest
from rookery.eventstore.stores import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "cold"))
