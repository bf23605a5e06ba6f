"""The load: everybody who uses a node, at a modest pace, each noting how long what he asked for took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import count, islice
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from rookery.bus import BusUnavailable, NatsBus
from rookery.handlers.agent import Agent, Colony, Task
from rookery.ops.bench import workload
from rookery.schemas import Event
from rookery.tests.faults.ledger import Ledger

PUBLISHERS = 10
OVER_HTTP_EVERY = 10  # one event of so many is posted, and seen by queries before the next
TASKS_PER_SECOND = 2.0
CAPABILITY = "marathon.nothing"
RETRY_SECONDS = 0.1
PAST_AT_ONCE = 1_000

Observe = Callable[[str, float], None]


class Asked(NamedTuple):
    """What is asked of the node over HTTP, and how often."""

    name: str
    every_seconds: float
    method: str
    path: str
    body: dict[str, Any] | None = None


# What doesn't grow with the log: an answer that takes longer in the end has another reason.
SQL = (
    "select model, count(*) as calls, sum(cost_usd) as cost_usd from llm_calls "
    "where n > (select max(n) from llm_calls) - 10000 group by model order by model"
)
SPARQL = "select ?subject ?type { ?subject a ?type } limit 100"

QUESTIONS = (
    Asked("query", 1.0, "GET", "/query/cost_by_model"),
    Asked("sql", 2.0, "POST", "/sql", {"sql": SQL}),
    Asked("sparql", 10.0, "GET", f"/sparql?query={quote(SPARQL)}"),
    Asked("status", 5.0, "GET", "/status"),
    Asked("archive", 120.0, "POST", "/hobby/archive", {}),
)


async def publish_past(nats_url: str, ledger: Ledger, events: int) -> None:
    """Publish what happened before the marathon, as fast as the bus takes it."""
    made = workload.events(events, seed=0)
    async with await NatsBus.connect(nats_url) as bus:
        while together := list(islice(made, PAST_AT_ONCE)):
            await asyncio.gather(*(_over_nats(bus, event, ledger.promise(event, by="past")) for event in together))
            for event in together:
                ledger.acknowledge(event)


@asynccontextmanager
async def everybody(
    nats_url: str, http_url: str, ledger: Ledger, events_per_second: float, observe: Observe
) -> AsyncIterator[None]:
    """All of them at work, until the body ends; what was begun is then brought to its end."""
    over = asyncio.Event()
    agent = _agent()
    async with (
        await NatsBus.connect(nats_url) as bus,
        await NatsBus.connect(nats_url) as agents_bus,
        httpx.AsyncClient(base_url=http_url, timeout=120, trust_env=False) as http,
        agent.serving(agents_bus),
    ):
        every_seconds = PUBLISHERS / events_per_second
        works = [_publish(bus, http, one, ledger, every_seconds, observe, over) for one in range(PUBLISHERS)]
        works += [_ask(http, asked, observe, over) for asked in QUESTIONS]
        tasks = [asyncio.create_task(work) for work in (*works, _assign(bus, observe, over))]
        following = asyncio.create_task(_follow(http, observe))
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*tasks)
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _publish(
    bus: NatsBus,
    http: httpx.AsyncClient,
    number: int,
    ledger: Ledger,
    every_seconds: float,
    observe: Observe,
    over: asyncio.Event,
) -> None:
    made = _endless(seed=number + 1)
    for place in count():
        if over.is_set():
            return
        event = next(made)
        payload = ledger.promise(event, by=f"publisher-{number}")
        began = time.perf_counter()
        if place % OVER_HTTP_EVERY:
            await _over_nats(bus, event, payload)
            observe("publish", time.perf_counter() - began)
        else:
            await _over_http(http, payload)
            observe("publish and see", time.perf_counter() - began)
        ledger.acknowledge(event)
        await asyncio.sleep(max(0.0, began + every_seconds - time.perf_counter()))


def _endless(seed: int) -> Iterator[Event]:
    return workload.events(2**62, seed=seed)


async def _over_nats(bus: NatsBus, event: Event, payload: bytes) -> None:
    while True:
        try:
            await bus.publish(event, payload)
        except BusUnavailable:
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return


async def _over_http(http: httpx.AsyncClient, payload: bytes) -> None:
    while True:
        with suppress(httpx.TransportError):
            answer = await http.post(
                "/events", content=payload, headers={"content-type": "application/x-ndjson"}, params={"wait": "visible"}
            )
            if answer.status_code == 202:
                return
        await asyncio.sleep(RETRY_SECONDS)


async def _ask(http: httpx.AsyncClient, asked: Asked, observe: Observe, over: asyncio.Event) -> None:
    while not over.is_set():
        began = time.perf_counter()
        try:
            answer = await http.request(asked.method, asked.path, json=asked.body)
            end = "" if answer.status_code < 400 else f", refused with {answer.status_code}"
        except httpx.TransportError as error:
            end = f", {type(error).__name__}"
        observe(f"{asked.name}{end}", time.perf_counter() - began)
        with suppress(TimeoutError):
            async with asyncio.timeout(asked.every_seconds):
                await over.wait()


async def _assign(bus: NatsBus, observe: Observe, over: asyncio.Event) -> None:
    colony = Colony(bus)
    while not over.is_set():
        began = time.perf_counter()
        await colony.assign(CAPABILITY)
        observe("assign", time.perf_counter() - began)
        await asyncio.sleep(1 / TASKS_PER_SECOND)


async def _follow(http: httpx.AsyncClient, observe: Observe) -> None:
    """A reader of Server-Sent Events for as long as it lasts, which takes whatever comes."""
    async with http.stream("GET", "/events", headers={"accept": "text/event-stream"}, params={"last": 0}) as answer:
        async for _ in answer.aiter_bytes():
            pass


def _agent() -> Agent:
    agent = Agent("marathon-agent", [CAPABILITY])

    @agent.on(CAPABILITY)
    async def nothing(task: Task) -> None:
        pass

    return agent
