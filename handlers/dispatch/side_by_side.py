"""Doing the same for many, several at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

# So many assignments are ended, or handed over again, at once.
AT_ONCE_MAX = 32

Item = TypeVar("Item")

logger = logging.getLogger(__name__)


async def each(items: Sequence[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do the work of each, several at once. What fails with one keeps no other from it, and is raised in the end."""
    waiting, failed = iter(items), list[Exception]()

    async def go_on() -> None:
        for item in waiting:
            try:
                await work(item)
            except Exception as error:
                logger.warning("%s: %s", item, error or type(error).__name__)
                failed.append(error)

    await asyncio.gather(*(go_on() for _ in range(min(len(items), AT_ONCE_MAX))))
    if failed:
        raise failed[0]
