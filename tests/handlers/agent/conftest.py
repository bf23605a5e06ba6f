"""A colony on each bus, and what was published there."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest
from rookery import Colony
from rookery.bus import Bus
from rookery.schemas import Event, decode

EventsOf = Callable[[str], Coroutine[Any, Any, list[Event]]]


@pytest.fixture(params=["memory_bus", "nats_bus"])
def bus(request: pytest.FixtureRequest) -> Bus:
    """Each bus in turn."""
    found: Bus = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def colony(bus: Bus) -> Colony:
    """Who gives tasks to agents."""
    return Colony(bus, name="test")


@pytest.fixture
def events_of(bus: Bus) -> EventsOf:
    """The events of one type that the bus holds, in order."""
    return partial(events_on, bus)


async def events_on(bus: Bus, type: str) -> list[Event]:
    """The events of one type that a bus holds by now."""
    end = (await bus.state()).last_sequence
    found: list[Event] = []
    async for batch in bus.read():
        found += [decode(delivery.payload) for delivery in batch]
        if batch[-1].sequence >= end:
            break
    return [event for event in found if event.type == type]
