"""Replays on a real bus: apart from the facts, kept or not, and resumed behind the last event."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rookery.bus import BusRefused, EventTooLarge, NatsBus, ReplayBus, StreamConfig, StreamDrifted, Told, streams
from rookery.bus.connection import Connection
from rookery.ops.nats_server import NatsServer
from rookery.schemas import Event, Mark, RunStarted, encode, mark_in, marked

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def told(n: int, *, task: str = "t") -> Told:
    event = Event.of(RunStarted(task=task), subject=f"run-{n}", source="/agents/coder-7", id=f"id-{n}", time=NOON)
    return Told(event, marked(encode(event), Mark("past", f"local:{n}", NOON, f"local:{n}")))


async def stored(url: str, name: str, count: int) -> list[tuple[str, bytes]]:
    """What the replay's stream holds, as anybody reads it."""
    connection = await Connection.open(url)
    try:
        subscription = await connection.client.jetstream().subscribe(f"replay.{name}.>", ordered_consumer=True)
        messages = [await subscription.next_msg(timeout=5) for _ in range(count)]
        return [(message.subject, message.data) for message in messages]
    finally:
        await connection.close()


async def test_a_kept_replay_is_in_a_stream_of_its_own_and_in_order(nats_server: NatsServer, nats_bus: NatsBus) -> None:
    bus = await ReplayBus.connect(nats_server.url, "past")
    assert await bus.last() is None
    events = [told(n) for n in range(1, 1_201)]
    await bus.tell(events[:1_000])
    await bus.tell(events[1_000:])
    await bus.close()
    found = await stored(nats_server.url, "past", len(events))
    assert [payload for _, payload in found] == [payload for _, payload in events]
    assert found[8][0] == "replay.past.run.run-9.started.coder-7"
    assert (await nats_bus.state()).messages == 0


async def test_who_comes_back_hears_what_was_told_last(nats_server: NatsServer) -> None:
    bus = await ReplayBus.connect(nats_server.url, "past")
    await bus.tell([told(1), told(2)])
    await bus.close()
    again = await ReplayBus.connect(nats_server.url, "past")
    assert await again.last() == told(2).payload
    await again.close()
    other = await ReplayBus.connect(nats_server.url, "other")
    assert await other.last() is None
    await other.close()


async def test_a_replay_is_forgotten_and_begins_anew(nats_server: NatsServer, nats_bus: NatsBus) -> None:
    bus = await ReplayBus.connect(nats_server.url, "past")
    await bus.tell([told(1), told(2)])
    await bus.close()
    bus = await ReplayBus.connect(nats_server.url, "past", kept=False)
    assert await bus.forget()
    assert not await bus.forget()
    await bus.close()
    again = await ReplayBus.connect(nats_server.url, "past")
    assert await again.last() is None
    await again.tell([told(1)])
    await again.close()
    assert await stored(nats_server.url, "past", 1) == [("replay.past.run.run-1.started.coder-7", told(1).payload)]


async def test_an_unkept_replay_is_heard_by_who_listens_and_leaves_nothing(nats_server: NatsServer) -> None:
    listener = await Connection.open(nats_server.url)
    subscription = await listener.client.subscribe("replay.past.>")
    await listener.flush()
    bus = await ReplayBus.connect(nats_server.url, "past", kept=False)
    await bus.tell([told(1), told(2)])
    heard = [await subscription.next_msg(timeout=5) for _ in range(2)]
    marks = [mark_in(message.data) for message in heard]
    assert [mark.replayaddress for mark in marks if mark] == ["local:1", "local:2"]
    assert await bus.last() is None
    await bus.close()
    await listener.close()
    with pytest.raises(BusRefused):
        await _stream_info(nats_server.url, "REPLAY-past")


async def test_a_mark_may_make_an_event_too_large_and_the_bus_says_from_where_on(nats_server: NatsServer) -> None:
    bus = await ReplayBus.connect(nats_server.url, "past")
    fits = told(1, task="x" * (bus.event_bytes_max - len(told(1).payload) - 1))
    await bus.tell([fits])
    with pytest.raises(EventTooLarge):
        await bus.tell([told(2, task="x" * bus.event_bytes_max)])
    assert await bus.last() == fits.payload
    await bus.close()


async def test_a_stream_of_that_name_that_is_somebody_elses_is_left_alone(nats_server: NatsServer) -> None:
    connection = await Connection.open(nats_server.url)
    await streams.apply(connection, StreamConfig(name="REPLAY-past", subjects=("mine.>",)))
    await connection.close()
    with pytest.raises(StreamDrifted):
        await ReplayBus.connect(nats_server.url, "past")


async def _stream_info(url: str, stream: str) -> None:
    connection = await Connection.open(url)
    try:
        await streams.call(connection, f"STREAM.INFO.{stream}", None, dict)
    finally:
        await connection.close()
