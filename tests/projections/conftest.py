"""A log and the read models on it, without a bus: events are appended as a bus would deliver them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .colony import Colony

MakeColony = Callable[[], Colony]


@pytest.fixture
def colony(make_colony: MakeColony) -> Colony:
    """An empty log and empty read models."""
    return make_colony()


@pytest.fixture
def make_colony(tmp_path: Path) -> Iterator[MakeColony]:
    """Make colonies, each with a log and read models of its own."""
    with ExitStack() as stack:
        made = iter(range(1_000_000))
        yield lambda: stack.enter_context(Colony(tmp_path / str(next(made))))
