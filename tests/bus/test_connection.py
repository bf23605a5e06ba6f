"""The connection says what is wrong with it, and to whom."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from rookery.bus import BusUnavailable, NatsBus, shown_url
from rookery.bus.connection import _unless_cancelled
from rookery.ops.nats_server import NatsServer, find_binary
from rookery.schemas import Event

MakeEvent = Callable[..., Event]


async def test_a_bus_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(BusUnavailable, match="rookery up") as missing:
            await NatsBus.connect(url, timeout_seconds=0.1)
    assert missing.value.url == url
    assert url in str(missing.value)


async def test_passwords_are_not_shown() -> None:
    with pytest.raises(BusUnavailable) as missing:
        await NatsBus.connect("nats://me:secret@127.0.0.1:1", timeout_seconds=0.05)
    assert "secret" not in str(missing.value)
    assert "me:***@127.0.0.1" in str(missing.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://me:secret@h:4222", "nats://me:***@h:4222"),
        ("nats://token@h", "nats://***@h"),
        ("nats://a:b@h, nats://c:d@i", "nats://a:***@h,nats://c:***@i"),
        ("http://h:8800/a:b@c", "http://h:8800/a:b@c"),
    ],
)
def test_neither_passwords_nor_tokens_are_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


async def test_wrong_credentials_are_said_at_once(tmp_path: Path) -> None:
    guarded = {"host": "127.0.0.1", "port": -1, "ports_file_dir": str(tmp_path), "authorization": {"token": "right"}}
    (tmp_path / "guarded.conf").write_text(json.dumps(guarded))
    server = await asyncio.create_subprocess_exec(
        find_binary(), "-c", tmp_path / "guarded.conf", stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(10):
        while not (ports := list(tmp_path.glob("*.ports"))):
            await asyncio.sleep(0.005)
    url = json.loads(ports[0].read_text())["nats"][0]
    with pytest.raises(BusUnavailable, match=r"(?i)authorization.*credentials"):
        await NatsBus.connect(url, timeout_seconds=600)
    server.kill()
    await server.wait()


async def test_a_stream_whose_end_somebody_else_gave_up_waiting_for_cancels_nobody_who_closes(
    nats_server: NatsServer,
) -> None:
    bus = await NatsBus.connect(nats_server.url)
    # As nats-py does with its reader when a server goes: the protocol's one future is cancelled with who waited for it.
    bus._connection.client._transport._io_writer.transport.get_protocol()._closed.cancel()
    await bus.close()
    assert not bus.connected


async def test_who_is_cancelled_while_closing_is_cancelled() -> None:
    async def close() -> None:
        with _unless_cancelled():
            await asyncio.Event().wait()

    closing = asyncio.create_task(close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_who_is_cancelled_as_the_server_answers_is_cancelled(
    nats_bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def flush() -> None:
        asked.set()
        with contextlib.suppress(asyncio.CancelledError):  # as `wait_for` of Python 3.11 does where it is done by then
            await asyncio.Event().wait()

    monkeypatch.setattr(nats_bus._connection.client, "flush", flush)
    listening = asyncio.create_task(nats_bus.listen("beat.>", lambda subject, payload: None))
    await asked.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


async def test_connected_follows_the_server(nats_server: NatsServer, nats_bus: NatsBus, make_event: MakeEvent) -> None:
    assert nats_bus.connected
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    while nats_bus.connected:
        await asyncio.sleep(0)
    await nats_server.restart()
    await nats_bus.publish(make_event())
    assert nats_bus.connected


async def test_a_lost_connection_is_logged_and_nothing_is_printed(
    nats_server: NatsServer,
    nats_bus: NatsBus,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO, "rookery.bus")
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    await nats_server.restart()
    await nats_bus.publish(make_event())
    assert f"lost the connection to {nats_server.url}" in caplog.text
    assert f"reconnected to {nats_server.url}" in caplog.text
    assert {record.name.partition(".")[0] for record in caplog.records} == {"rookery"}
    assert capfd.readouterr() == ("", "")


async def test_closing_ends_waiting_readers(nats_server: NatsServer) -> None:
    bus = await NatsBus.connect(nats_server.url)
    waiting = asyncio.ensure_future(anext(bus.read()))
    await asyncio.sleep(0.02)
    await bus.close()
    with pytest.raises(BusUnavailable, match="closed"):
        await waiting


async def test_closing_without_a_server_ends_within_the_deadlines(
    nats_server: NatsServer, make_event: MakeEvent
) -> None:
    bus = await NatsBus.connect(nats_server.url, publish_deadline_seconds=0.2)
    os.kill(nats_server.pid, signal.SIGKILL)
    await nats_server.wait()
    publishing = asyncio.create_task(bus.publish(make_event()))
    await asyncio.sleep(0)
    await bus.close()
    with pytest.raises(BusUnavailable, match="publishing the same event again is safe"):
        await publishing
