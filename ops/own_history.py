"""A node that starts takes its own history back from its peers, where it was restored from an older state."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from ..bus import Bus
from ..eventstore import Log
from ..schemas import RookeryError
from .data_folder import DataFolder
from .syncing import HttpPeer, NatsPeer, Pulled, is_behind, recover_own

LOOK_SECONDS_MAX = 3.0  # at all peers at once: a node must start where none of them answers

Reach = Callable[[str], HttpPeer | NatsPeer]

logger = logging.getLogger(__name__)


async def complete_own_history(folder: DataFolder, own: str, peers: Sequence[str], bus: Bus, reach: Reach) -> None:
    """Before anything is written: once it is, there are two histories. Only where the bus has nothing that is newer.

    A peer that doesn't answer in time is passed over; should it have had more, that shows as a fork later.
    """
    if not peers or not folder.log.is_dir():
        return
    try:
        looks = await _looks(folder, own, peers, bus, reach)
    except RookeryError as error:  # whoever opens the log to write it tells, or heals it
        logger.info("the history of %s was not compared with the peers': %s", own, error)
        return
    for url, is_ahead in zip(peers, looks, strict=True):
        if is_ahead:
            await _complete(folder, own, url, reach)


async def _looks(folder: DataFolder, own: str, peers: Sequence[str], bus: Bus, reach: Reach) -> list[bool]:
    """Which of the peers have more of the own history; none of them, if the bus has something newer."""
    with Log.open(folder.log, writable=False) as log:
        held = await bus.state()
        if held.last_sequence > (0 if folder.restored.exists() else log.bus_sequence(own)):
            return [False] * len(peers)
        return await asyncio.gather(*(_is_ahead(url, log, own, reach) for url in peers))


async def _is_ahead(url: str, log: Log, own: str, reach: Reach) -> bool:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX), aclosing(reach(url)) as peer:
            return await is_behind(log, own, peer)
    except (TimeoutError, RookeryError) as error:
        logger.info("%s can't say whether it has more of %s: %s", url, own, error)
        return False


async def _complete(folder: DataFolder, own: str, url: str, reach: Reach) -> None:
    try:
        async with aclosing(reach(url)) as peer:
            pulled: Pulled = await recover_own(folder.log, own, peer)
    except RookeryError as error:
        logger.error("the history of %s could not be completed from %s: %s", own, url, error)
        return
    if pulled.events:
        folder.restored.touch()
        logger.warning("took %d events of %s back from %s", sum(pulled.events.values()), own, url)
    for wrong in pulled.wrong:
        logger.error("%s", wrong)
