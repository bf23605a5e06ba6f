"""Reading goes on where it was, whatever happens to the consumer that it reads from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime

import nats
import pytest
from nats.aio.client import Client
from rookery.bus import NatsBus, StreamRewound
from rookery.bus.reading import place_in
from rookery.ops.nats_server import NatsServer
from rookery.schemas import AssignmentFailed, Event
from rookery.tests.bus.conftest import asked

MakeEvent = Callable[..., Event]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


async def consumers(client: Client) -> list[str]:
    names: list[str] = (await asked(client, "CONSUMER.NAMES.EVENTS"))["consumers"]
    return names


@pytest.mark.parametrize(
    "reply",
    [
        "$JS.ACK.EVENTS.c0nsumer.1.41.7.1795189551620722315.12",
        "$JS.ACK._.ACC0UNTHASH.EVENTS.c0nsumer.1.41.7.1795189551620722315.12",
        "$JS.ACK.hub.ACC0UNTHASH.EVENTS.c0nsumer.1.41.7.1795189551620722315.12.t0ken",
    ],
)
def test_both_forms_of_the_reply_subject_say_where_an_event_is(reply: str) -> None:
    assert place_in(reply) == (41, 7, datetime(2026, 11, 20, 15, 45, 51, 620722, tzinfo=UTC))


async def test_a_deleted_consumer_is_replaced_without_a_gap(
    nats_bus: NatsBus, client: Client, make_event: MakeEvent
) -> None:
    await nats_bus.publish(make_event())
    async with aclosing(nats_bus.read()) as batches:
        assert [one.sequence for one in await anext(batches)] == [1]
        for sequence in (2, 3):
            for name in await consumers(client):
                await asked(client, f"CONSUMER.DELETE.EVENTS.{name}")
            await nats_bus.publish(make_event())
            assert [one.sequence for one in await anext(batches)] == [sequence]


async def test_a_reader_that_leaves_takes_its_consumer_along(
    nats_bus: NatsBus, client: Client, make_event: MakeEvent
) -> None:
    await nats_bus.publish(make_event())
    async with aclosing(nats_bus.read()) as batches:
        await anext(batches)
        assert len(await consumers(client)) == 1
    async with asyncio.timeout(10):
        while await consumers(client):
            await asyncio.sleep(0.005)


async def test_a_stream_that_is_replaced_by_a_shorter_one_stops_the_reader(
    nats_bus: NatsBus, client: Client, nats_server: NatsServer, make_event: MakeEvent
) -> None:
    for _ in range(3):
        await nats_bus.publish(make_event())
    async with aclosing(nats_bus.read(after=2)) as batches:
        await anext(batches)
        await asked(client, "STREAM.DELETE.EVENTS")
        async with await NatsBus.connect(nats_server.url) as other:
            await other.publish(make_event())
            with pytest.raises(StreamRewound):
                await anext(batches)


async def test_a_pull_that_ends_by_its_bytes_is_followed_by_the_next(nats_bus: NatsBus) -> None:
    large = [
        Event.of(AssignmentFailed(agent_id="a", error="x" * 900_000), subject=f"as-{n}", source="/agents/a")
        for n in range(40)
    ]
    for event in large:
        await nats_bus.publish(event)
    sequences: list[int] = []
    async with aclosing(nats_bus.read()) as batches:
        async for batch in batches:
            sequences += [one.sequence for one in batch]
            if len(sequences) == len(large):
                break
    assert sequences == list(range(1, 41))


async def test_what_others_publish_without_an_id_is_read_too(nats_bus: NatsBus, client: Client) -> None:
    await client.publish("evt.assignment.as-1.started.x", b"not an event")
    await client.flush()
    async with aclosing(nats_bus.read()) as batches:
        [delivery] = await anext(batches)
    assert delivery.payload == b"not an event"
