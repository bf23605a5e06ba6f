"""Logs and the read models on them, without a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rookery.handlers.importers import azure_llm
from rookery.handlers.importers.found import Found
from rookery.schemas import Event, decode
from rookery.tests.projections.colony import Colony

from .history import history


class Recorded(NamedTuple):
    """A recorded trace of model calls, as events and as read models."""

    events: list[Event]
    colony: Colony


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    """An empty log and empty read models."""
    with Colony(tmp_path / "colony") as colony:
        yield colony


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Colony]:
    """What `history()` comes to, for tests that only look."""
    with Colony(tmp_path_factory.mktemp("busy")) as colony:
        yield colony.given(*history())


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, recorded_data: Path) -> Iterator[Recorded]:
    """Azure's trace, by an agent named `tracer`, for tests that only look."""
    path = recorded_data / "azure-llm" / "AzureLLMInferenceTrace_conv.csv"
    with path.open("rb") as file:
        rows = azure_llm.read(file, path.name, provider="openai", model="gpt-4o", agent="tracer")
        payloads = [row.payload for row in rows if isinstance(row, Found)]
    assert len(payloads) == len(path.read_text().splitlines()) - 1
    with Colony(tmp_path_factory.mktemp("recorded")) as colony:
        yield Recorded([decode(payload) for payload in payloads], colony.given(*payloads))
