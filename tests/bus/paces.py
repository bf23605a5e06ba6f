"""Tests of what happens within an ack wait, on a machine that may stand still for longer than a short one lasts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

ACK_WAITS_SECONDS = (0.15, 0.6, 2.4)


class Pace(NamedTuple):
    """How soon work that nobody settled is handed out again, and a capability that no other pace has."""

    ack_wait_seconds: float
    capability: str


async def at_some_pace(check: Callable[[Pace], Awaitable[None]]) -> None:
    """Have what is checked hold at the first pace that the machine is up to: who is held up settles too late.

    What is wrong by itself fails at every pace.
    """
    *hurried, slowest = (Pace(seconds, f"pace.{seconds}") for seconds in ACK_WAITS_SECONDS)
    for pace in hurried:
        with suppress(AssertionError, TimeoutError):
            await check(pace)
            return
    await check(slowest)
