"""Ingest from a real nats-server: what anybody may publish, and a server that is killed or replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import nats
import pytest
from rookery.bus import NatsBus
from rookery.eventstore import BusRegressed, Ingest, Log
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.schemas import encode
from rookery.tests.eventstore.deliveries import UNKNOWN, UNKNOWN_SUBJECT, event
from rookery.tests.eventstore.test_ingest import logged, published, running

JUNK = [
    ("evt.run.r.completed.coder-7", b"not JSON at all"),
    ("evt.run.r.completed.coder-7", b""),
    ("evt.run.r.completed.mallory", encode(event("r", at=2))),
    (UNKNOWN_SUBJECT, UNKNOWN % 1),
    ("evt.x", b"\x00\xff\n"),
]


async def test_whatever_is_published_is_kept(log: Log, nats_server: NatsServer, nats_bus: NatsBus) -> None:
    client = await nats.connect(nats_server.url)
    for subject, payload in JUNK:
        await client.jetstream().publish(subject, payload)
    await client.close()
    receipt = await nats_bus.publish(event("run-1", at=1))
    async with running(Ingest(nats_bus, log, "here")) as ingest:
        await ingest.wait_for(receipt.sequence)
    assert logged(log) == [payload for _, payload in JUNK] + published(1, 1)
    assert [letter.payload for letter in log.dead_letters()] == [payload for _, payload in JUNK]


async def test_a_server_that_is_killed_costs_nothing(log: Log, nats_server: NatsServer, nats_bus: NatsBus) -> None:
    async with running(Ingest(nats_bus, log, "here", check_seconds=0.05)) as ingest:
        for first in (1, 101, 201):
            publishing = [
                asyncio.create_task(nats_bus.publish(event(f"run-{at}", at=at))) for at in range(first, first + 100)
            ]
            await publishing[0]
            os.kill(nats_server.pid, signal.SIGKILL)
            await nats_server.wait()
            await nats_server.restart()
            receipts = await asyncio.gather(*publishing)
            await ingest.wait_for(max(receipt.sequence for receipt in receipts))
    assert sorted(logged(log)) == sorted(published(1, 300))
    assert [record.n for record in log.read("here")] == list(range(1, 301))


async def test_a_server_with_an_empty_store_is_not_mistaken_for_the_old_one(
    log: Log, nats_bus: NatsBus, tmp_path: Path
) -> None:
    receipt = await nats_bus.publish(event("run-1", at=1))
    async with running(Ingest(nats_bus, log, "here")) as ingest:
        await ingest.wait_for(receipt.sequence)
    async with (
        await NatsServer.start(tmp_path / "another", port=ANY_FREE_PORT) as server,
        await NatsBus.connect(server.url) as bus,
    ):
        with pytest.raises(BusRegressed, match="the bus ends at 0"):
            await Ingest(bus, log, "here").run()
        await bus.publish(event("run-2", at=2))
        with pytest.raises(BusRegressed, match="another event at 1"):
            await Ingest(bus, log, "here").run()
        async with running(Ingest(bus, log, "here", accept_regression=True)) as ingest:
            await ingest.wait_for(1)
    assert logged(log) == published(1, 2)
