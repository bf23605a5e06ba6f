"""A node that starts takes its own history back from its peers, where something shows that it lost some of it.

A peer that merely says so is not believed: what it gives would stand here as this node's own, and be signed by it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from itertools import compress

from ..bus import Bus, shown_url
from ..eventstore import Log
from ..eventstore.origin import LOCK
from ..schemas import RookeryError
from .data_folder import DataFolder
from .syncing import HttpPeer, NatsPeer, Pulled, is_behind, recover_own

LOOK_SECONDS_MAX = 3.0  # at all peers at once: a node must start where none of them answers
NOT_BELIEVED = (
    "%s has more of %s than this log, which was not restored and has not lost its end: that is not believed. If this "
    "node was set back in another way, end it before it writes more, and `rookery sync %s --recover-own`"
)

Reach = Callable[[str], HttpPeer | NatsPeer]

logger = logging.getLogger(__name__)


async def complete_own_history(folder: DataFolder, own: str, peers: Sequence[str], bus: Bus, reach: Reach) -> None:
    """Before anything is written: once it is, there are two histories. Only where the bus has nothing that is newer.

    A peer that doesn't answer in time is passed over; should it have had more, that shows as a fork later.
    """
    if not peers or not folder.log.is_dir():
        return
    try:
        has_lost_some, looks = await _looks(folder, own, peers, bus, reach)
    except RookeryError as error:  # whoever opens the log to write it tells, or heals it
        logger.info("the history of %s was not compared with the peers': %s", own, error)
        return
    for url in compress(peers, looks):
        if has_lost_some:
            await _complete(folder, own, url, reach)
        else:
            logger.warning(NOT_BELIEVED, shown_url(url), own, shown_url(url))


async def _looks(
    folder: DataFolder, own: str, peers: Sequence[str], bus: Bus, reach: Reach
) -> tuple[bool, Sequence[bool]]:
    """Whether the log lacks something, and which of the peers have more of it; none, if the bus has something newer."""
    with Log.open(folder.log, writable=False) as log:
        has_lost_some = folder.restored.exists() or _was_durable_up_to(folder, own) > log.vector().get(own, 0)
        held = await bus.state()
        if held.last_sequence > (0 if folder.restored.exists() else log.bus_sequence(own)):
            return has_lost_some, [False] * len(peers)
        return has_lost_some, await asyncio.gather(*(_is_ahead(url, log, own, reach) for url in peers))


def _was_durable_up_to(folder: DataFolder, own: str) -> int:
    """How far the log was once, as its writer noted beside the lines."""
    with suppress(OSError, ValueError):
        return int((folder.log / own / LOCK).read_bytes())
    return 0


async def _is_ahead(url: str, log: Log, own: str, reach: Reach) -> bool:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX), aclosing(reach(url)) as peer:
            return await is_behind(log, own, peer)
    except (TimeoutError, RookeryError) as error:
        logger.info("%s can't say whether it has more of %s: %s", shown_url(url), own, error)
        return False


async def _complete(folder: DataFolder, own: str, url: str, reach: Reach) -> None:
    try:
        async with aclosing(reach(url)) as peer:
            pulled: Pulled = await recover_own(folder.log, own, peer)
    except RookeryError as error:
        logger.error("the history of %s could not be completed from %s: %s", own, shown_url(url), error)
        return
    if pulled.events:
        folder.restored.touch()
        logger.warning("took %d events of %s back from %s", sum(pulled.events.values()), own, shown_url(url))
    for wrong in pulled.wrong:
        logger.error("%s", wrong)
