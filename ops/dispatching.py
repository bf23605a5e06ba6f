"""Dispatching at a node: the dispatcher and the local pool, as the settings have them."""

from __future__ import annotations

from ..bus import Bus
from ..eventstore import Log
from ..handlers.dispatch import POOL, Dispatcher, commands_in, pool_of
from ..handlers.proficiency import Lookup
from .settings import Settings


def dispatcher_of(log: Log, bus: Bus, settings: Settings, lookup: Lookup) -> Dispatcher:
    """`lookup` tells how good agents are. Raises `CommandUnusable`."""
    offered = commands_in(settings.local_work)
    return Dispatcher(
        log,
        bus,
        settings.origin,
        assignments_max=settings.assignments_max,
        lookup=lookup,
        pool=POOL if offered else "",
        offered=offered,
    )


async def serve_pool(bus: Bus, settings: Settings) -> None:
    """Do what the node offers to do itself, until cancelled; nothing, where it offers nothing."""
    if commands := commands_in(settings.local_work):
        await pool_of(commands).serve(bus)
