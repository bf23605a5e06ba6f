"""Lanes: bounded work on threads of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest
from rookery.ops.lanes import Lane, TooBusy


async def test_what_waits_for_a_caller_who_left_is_never_begun_and_makes_room() -> None:
    lane, gate, begun = Lane("jobs", at_once_max=1, waiting_max=1), threading.Event(), []
    first = asyncio.create_task(lane.run(gate.wait))
    second = asyncio.create_task(lane.run(lambda: begun.append("second")))
    await asyncio.sleep(0)
    with pytest.raises(TooBusy, match="2 jobs are under way or waiting"):
        await lane.run(lambda: None)
    second.cancel()
    await asyncio.wait([second])
    third = asyncio.create_task(lane.run(lambda: begun.append("third")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, third)
    assert begun == ["third"]


async def test_what_fails_raises_at_its_caller_and_makes_room() -> None:
    lane = Lane("jobs", at_once_max=1, waiting_max=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await lane.run(lambda: 1 // 0)
    assert await lane.run(lambda: 7) == 7
