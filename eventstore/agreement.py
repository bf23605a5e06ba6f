"""Where bus and log agree: the last event that both have at the same place, after the bus has lost some."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from ..bus import EventSource
from .log import Log


class Agreement(NamedTuple):
    """The line `n` of the log is on the bus at `sequence`, and so is what both have before."""

    n: int
    sequence: int


async def agreement(bus: EventSource, log: Log, origin: str) -> Agreement | None:
    """The last line of the log that the bus has at its place; None if there is none. Raises `BusError`.

    A bus loses its end, so the lines that it has are followed by those that it hasn't. Where the log goes on behind an
    earlier loss, its oldest lines have the sequences of a bus that is gone: so it looks from the end, in growing steps.
    """
    held = await bus.state()
    last = log.vector().get(origin, 0)
    step, missed = 1, last + 1
    while (n := last + 1 - step) > 0:
        if await _agrees(bus, log, origin, n, held.last_sequence):
            return await _last_between(bus, log, origin, n, missed, held.last_sequence)
        step, missed = step * 2, n
    if missed > 1 and await _agrees(bus, log, origin, 1, held.last_sequence):
        return await _last_between(bus, log, origin, 1, missed, held.last_sequence)
    return None


async def _last_between(bus: EventSource, log: Log, origin: str, agreed: int, missed: int, bus_last: int) -> Agreement:
    while missed - agreed > 1:
        middle = (agreed + missed) // 2
        if await _agrees(bus, log, origin, middle, bus_last):
            agreed = middle
        else:
            missed = middle
    record = await asyncio.to_thread(log.get, origin, agreed)
    assert record is not None
    return Agreement(agreed, record.sequence)


async def _agrees(bus: EventSource, log: Log, origin: str, n: int, bus_last: int) -> bool:
    record = await asyncio.to_thread(partial(log.get, origin, n))
    if record is None or record.sequence > bus_last:
        return False
    found = await bus.first_after(record.sequence - 1)
    held = (record.sequence, record.payload, record.recorded_time)
    return found is not None and held == (found.sequence, found.payload, found.stored_at)
