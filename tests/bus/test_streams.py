"""The event stream is what we say it is, or nothing is served from it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec
import nats
import pytest
from nats.aio.client import Client
from rookery.bus import EVENT_STREAM, NatsBus, StreamDrifted
from rookery.ops.nats_server import NatsServer
from rookery.schemas import Event
from rookery.tests.bus.conftest import asked

MakeEvent = Callable[..., Event]


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


async def api(client: Client, subject: str, question: object = None) -> dict[str, object]:
    found = await asked(client, subject, question)
    assert "error" not in found, found
    return found


async def update(client: Client, **changes: object) -> None:
    config = (await api(client, "STREAM.INFO.EVENTS"))["config"]
    assert isinstance(config, dict)
    await api(client, "STREAM.UPDATE.EVENTS", {**config, **changes})


async def test_connecting_again_changes_nothing(nats_server: NatsServer, make_event: MakeEvent) -> None:
    async with await NatsBus.connect(nats_server.url) as bus:
        await bus.publish(make_event())
        before = await bus.state()
    async with await NatsBus.connect(nats_server.url) as bus:
        assert await bus.state() == before


async def test_what_somebody_changes_while_it_is_used_is_told(nats_bus: NatsBus, client: Client) -> None:
    assert await nats_bus.drift() == []
    await update(client, max_msgs=10)
    assert await nats_bus.drift() == ["EVENTS: max_msgs is 10, not -1"]


async def test_nothing_can_be_taken_out_of_the_event_stream(
    nats_bus: NatsBus, client: Client, make_event: MakeEvent
) -> None:
    await nats_bus.publish(make_event())
    for subject, question in (("STREAM.PURGE.EVENTS", {}), ("STREAM.MSG.DELETE.EVENTS", {"seq": 1})):
        assert "error" in await asked(client, subject, question)
    assert (await nats_bus.state()).messages == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"max_msgs": 10}, "max_msgs is 10, not -1"),
        ({"max_age": 3_600_000_000_000}, "max_age is 3600000000000, not 0"),
        ({"discard": "old"}, "discard is 'old', not 'new'"),
        ({"allow_msg_ttl": True}, "allow_msg_ttl is True, not False"),
        ({"subjects": ["evt.>", "more.>"]}, "subjects is ['evt.>', 'more.>'], not ['evt.>']"),
    ],
)
async def test_drift_that_could_lose_events_is_named_and_refused(
    nats_server: NatsServer, nats_bus: NatsBus, client: Client, change: dict[str, object], named: str
) -> None:
    await update(client, **change)
    with pytest.raises(StreamDrifted) as drifted:
        await NatsBus.connect(nats_server.url)
    assert drifted.value.drift == [named]


async def test_harmless_drift_is_brought_in_line(
    nats_server: NatsServer, client: Client, make_event: MakeEvent
) -> None:
    older = msgspec.structs.replace(EVENT_STREAM, duplicate_window=1_000_000_000)
    async with await NatsBus.connect(nats_server.url, stream=older) as bus:
        await bus.publish(make_event())
    async with await NatsBus.connect(nats_server.url) as bus:
        assert (await bus.state()).messages == 1
    config = (await api(client, "STREAM.INFO.EVENTS"))["config"]
    assert isinstance(config, dict)
    assert config["duplicate_window"] == EVENT_STREAM.duplicate_window


async def test_metadata_and_unknown_settings_are_no_drift(
    nats_server: NatsServer, nats_bus: NatsBus, client: Client
) -> None:
    await update(client, description="ours", metadata={"team": "blue"})
    await (await NatsBus.connect(nats_server.url)).close()
