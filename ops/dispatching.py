"""Dispatching at a node: the dispatcher, what it goes by, and the local pool, as the settings have them."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from ..bus import Bus
from ..eventstore import Log
from ..handlers.dispatch import POOL, Candidates, Dispatcher, commands_in, serve_pool
from ..handlers.proficiency import Lookup
from ..projections import ProjectionError, ReadModels
from .health import Health
from .settings import Settings

SUBSYSTEM = "dispatcher"
PRICE_SECONDS = 10.0
# Of the time, that may at most go into asking what agents cost.
PRICE_SHARE_MAX = 0.05
PAGE_AGENTS = 10_000

RUN_COSTS = (Path(__file__).parent / "sql" / "run_costs.sql").read_text("utf-8")

logger = logging.getLogger(__name__)


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


def tell_of(dispatcher: Dispatcher, health: Health) -> None:
    """Have health say what the dispatcher can't do."""
    health.set(SUBSYSTEM, "degraded" if dispatcher.trouble else "ready", dispatcher.trouble)


async def serve_offered(bus: Bus, settings: Settings, dispatcher: Dispatcher) -> None:
    """Do what the node offers to do itself, until cancelled; nothing, where it offers nothing."""
    if commands := commands_in(settings.local_work):
        await serve_pool(bus, commands, dispatcher)


async def keep_priced(candidates: Candidates, models: ReadModels) -> None:
    """Tell the candidates what their work costs by the read models, until cancelled."""
    while True:
        began = time.monotonic()
        try:
            await price(candidates, models)
        except ProjectionError as error:
            logger.info("what agents cost is not known anew: %s", error)
        except Exception:
            logger.exception("what agents cost is not known anew")
        await asyncio.sleep(max(PRICE_SECONDS, (time.monotonic() - began) / PRICE_SHARE_MAX))


async def price(candidates: Candidates, models: ReadModels) -> None:
    """Tell them once. Raises `ProjectionError`."""
    after, unpriced = "", set(candidates.agents())
    while rows := await asyncio.to_thread(_run_costs, models, after):
        for row in rows:
            if row["agent_id"] in unpriced:
                unpriced.discard(row["agent_id"])
                candidates.price(row["agent_id"], row["cost_usd"])
        after = rows[-1]["agent_id"]
    for agent_id in unpriced:
        candidates.price(agent_id, None)


def _run_costs(models: ReadModels, after: str) -> list[dict[str, Any]]:
    return models.sql(RUN_COSTS, {"after": after}, limit=PAGE_AGENTS).records()
