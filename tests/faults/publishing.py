"""Publishers that never give an event up, and note in the ledger what was acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from rookery.bus import BusUnavailable, NatsBus
from rookery.schemas import Event, RunStarted

from .ledger import Ledger

OVER_NATS = 60
OVER_HTTP = 4
WAITS = ("durable", "logged", "visible", "durable")
RETRY_SECONDS = 0.05
POLL_SECONDS = 0.005


class Publishers:
    """Each publishes one event of its own entity after the other, the next when the last was acknowledged.

    `events_per_second`: altogether and about; None is as fast as it goes.
    """

    def __init__(self, ledger: Ledger, name: str, *, events_per_second: float | None = None) -> None:
        self.ledger = ledger
        self._name = name
        self._pause_seconds = (OVER_NATS + OVER_HTTP) / events_per_second if events_per_second else 0.0
        self._going = asyncio.Event()
        self._going.set()
        self._busy = 0
        self._over = False

    @asynccontextmanager
    async def at_work(self, nats_url: str, http_url: str | None) -> AsyncIterator[None]:
        """Publish until the body ends; then every event that was begun is acknowledged, too."""
        bus = await NatsBus.connect(nats_url)
        async with bus, httpx.AsyncClient(base_url=http_url or "", timeout=60, trust_env=False) as http:
            works = [self._over_nats(bus, f"{self._name}-n{one}") for one in range(OVER_NATS)]
            if http_url:
                works += [self._over_http(http, f"{self._name}-h{one}", WAITS[one]) for one in range(OVER_HTTP)]
            tasks = [asyncio.create_task(work) for work in works]
            try:
                yield
                self._over = True
                self._going.set()
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()

    async def a_while(self, events: int) -> None:
        """Return when so many more events have been acknowledged."""
        count = self.ledger.acknowledged + events
        while self.ledger.acknowledged < count:
            await asyncio.sleep(POLL_SECONDS)

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Nothing is on its way while the body runs: everything that was sent has been acknowledged."""
        self._going.clear()
        while self._busy:
            await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self._going.set()

    async def _over_nats(self, bus: NatsBus, entity: str) -> None:
        async for event, payload in self._events(entity):
            while True:
                try:
                    await bus.publish(event, payload)
                except BusUnavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                else:
                    break
            self.ledger.acknowledge(event)

    async def _over_http(self, http: httpx.AsyncClient, entity: str, wait: str) -> None:
        async for event, payload in self._events(entity):
            while not await _posted(http, payload, wait):
                await asyncio.sleep(RETRY_SECONDS)
            self.ledger.acknowledge(event)

    async def _events(self, entity: str) -> AsyncIterator[tuple[Event, bytes]]:
        while True:
            await self._going.wait()
            if self._over:
                return
            self._busy += 1
            event = Event.of(RunStarted(task="t" * 80), subject=entity, source="/agents/publisher")
            yield event, self.ledger.promise(event)
            self._busy -= 1
            await asyncio.sleep(self._pause_seconds)


async def _posted(http: httpx.AsyncClient, payload: bytes, wait: str) -> bool:
    headers = {"content-type": "application/x-ndjson"}
    try:
        answer = await http.post("/events", params={"wait": wait}, content=payload, headers=headers)
    except httpx.TransportError:
        return False
    if answer.status_code not in (202, 503, 507):
        raise AssertionError(f"{answer.status_code}: {answer.text}")
    return answer.status_code == 202
