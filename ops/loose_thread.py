"""A loose thread: work that nobody waits for when the process ends, because it may hang and nothing depends on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")


async def in_loose_thread(work: Callable[[], Result], name: str) -> Result:
    """What `work` returns or raises, done in a thread of its own."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    outcome: list[Result | BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(error)
        with suppress(RuntimeError):  # the loop is closed: nobody is there to hear
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name=name, daemon=True).start()
    await done.wait()
    (result,) = outcome
    if isinstance(result, BaseException):
        raise result
    return result
