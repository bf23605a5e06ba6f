"""A log and the read models on it, without a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rookery.tests.projections.colony import Colony


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    """An empty log and empty read models."""
    with Colony(tmp_path / "colony") as colony:
        yield colony
