"""What the tests of the handlers share."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from rookery.handlers.importers import Published
from rookery.schemas import Event, check_strictly


class Shelf:
    """What a bus and a log make of an import: events in their order, the second of an id a duplicate."""

    def __init__(self) -> None:
        self.payloads: dict[str, bytes] = {}
        self.chunks: list[int] = []

    async def publish(self, payloads: list[bytes]) -> Published:
        before = len(self.payloads)
        for payload in payloads:
            event, _ = check_strictly(payload)
            assert self.payloads.setdefault(event.id, payload) == payload, "one id, two contents"
        self.chunks.append(len(payloads))
        new = len(self.payloads) - before
        return Published(new, len(payloads) - new)

    @property
    def events(self) -> list[Event]:
        return [check_strictly(payload)[0] for payload in self.payloads.values()]

    def count(self) -> dict[str, int]:
        return Counter(event.type for event in self.events)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    folder = os.environ.get("ROOKERY_TEST_DATA")
    if not folder:
        pytest.skip("ROOKERY_TEST_DATA names no folder with the public data sets")
    return Path(folder)
