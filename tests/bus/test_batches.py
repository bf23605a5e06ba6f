"""What travels in an atomic batch, and what by itself, as a listener on the same server sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import nats
import pytest
from rookery.bus import Entity, NatsBus
from rookery.bus.appender import LONE_EVENTS_MAX
from rookery.ops.nats_server import NatsServer
from rookery.schemas import Event

MakeEvent = Callable[..., Event]
BATCH_ID = "Nats-Batch-Id"


@pytest.fixture
async def batched(nats_server: NatsServer) -> AsyncIterator[asyncio.Queue[bool]]:
    """Of each event on the wire, whether it is part of a batch."""
    seen: asyncio.Queue[bool] = asyncio.Queue()
    client = await nats.connect(nats_server.url)

    async def see(message: nats.aio.msg.Msg) -> None:
        seen.put_nowait(BATCH_ID in (message.headers or {}))

    await client.subscribe("evt.>", cb=see)
    await client.flush()
    yield seen
    await client.close()


@pytest.mark.parametrize("count", [LONE_EVENTS_MAX, LONE_EVENTS_MAX + 1])
async def test_few_lone_conditional_appends_go_by_themselves_and_many_together(
    nats_bus: NatsBus, make_event: MakeEvent, batched: asyncio.Queue[bool], count: int
) -> None:
    names = [f"as-{number}" for number in range(count)]
    await asyncio.gather(
        *(nats_bus.append([make_event(name)], expected={Entity("assignment", name): 0}) for name in names)
    )
    async with asyncio.timeout(10):
        found = [await batched.get() for _ in names]
    assert any(found) == (count > LONE_EVENTS_MAX)
