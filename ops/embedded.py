"""The node's own nats-server: started with it, started again whenever it ends, and stopped with it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from ..bus import BusError, damaged_streams
from .disk import Disk
from .health import Health
from .nats_server import NatsServer, NatsServerError
from .running import running
from .settings import Settings

STOP_SECONDS_MAX = 5.0  # then it is killed: what it acknowledged is on disk
RESTART_SECONDS_MIN = 0.1
RESTART_SECONDS_MAX = 10.0
WATCH_SECONDS = 0.5
DAMAGES_MAX = 100  # that nobody has told of yet

logger = logging.getLogger(__name__)


class Damages:
    """What the node's nats-server found lost in its streams, start by start, until somebody tells of it."""

    def __init__(self) -> None:
        self.found: asyncio.Queue[Mapping[str, int]] = asyncio.Queue(DAMAGES_MAX)

    def note(self, lost: Mapping[str, int]) -> None:
        """So many messages of these streams."""
        if lost:
            with suppress(asyncio.QueueFull):
                self.found.put_nowait(lost)


async def start_server(
    stack: AsyncExitStack, folder: Path, settings: Settings, health: Health, disk: Disk, damages: Damages
) -> str:
    """Start the node's nats-server, keep it alive until the stack ends, and say where it is."""
    server = await NatsServer.start(
        folder, port=settings.nats_port, binary=settings.nats_server, max_payload_bytes=settings.event_bytes_max
    )
    stack.push_async_callback(server.stop, timeout_seconds=STOP_SECONDS_MAX)
    damages.note(await forget_what_is_lost(server))
    health.set("nats-server", "ready")
    await stack.enter_async_context(running(_keep_alive(server, health, damages)))
    await stack.enter_async_context(running(_end_after_full_disk(server, disk)))
    return server.url


async def forget_what_is_lost(server: NatsServer) -> dict[str, int]:
    """Start a server once more that found its store damaged; returns how many messages of which streams it has lost.

    It gives to nobody what is published under the sequences of what it lost, until it reads its store anew. A stream
    whose store was put right has lost 0.
    """
    found = {leap.stream: 0 for leap in server.mended}
    try:
        lost = await damaged_streams(server.url)
    except BusError as error:  # whoever connects next is told
        logger.warning("nats-server doesn't say whether its store is whole: %s", error)
        return found
    if lost:
        what = ", ".join(f"{count:,} of {name}" for name, count in lost.items())
        logger.error("nats-server found its store damaged, and lost messages (%s); starting it once more", what)
        await server.start_again()
    return found | lost


async def _keep_alive(server: NatsServer, health: Health, damages: Damages) -> None:
    """Start nats-server again whenever it ends by itself, with growing pauses, unless it had been well for a while."""
    pause_seconds = RESTART_SECONDS_MIN
    while True:
        started = time.monotonic()
        code = await server.wait()
        if time.monotonic() - started > RESTART_SECONDS_MAX:
            pause_seconds = RESTART_SECONDS_MIN
        health.set("nats-server", "failed", f"ended with exit code {code}; it is started again")
        logger.error("nats-server ended with exit code %s; starting it again", code)
        await asyncio.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 2, RESTART_SECONDS_MAX)
        with suppress(NatsServerError, OSError):  # a full disk, say: the next attempt may succeed
            await server.restart()
            damages.note(await forget_what_is_lost(server))
            health.set("nats-server", "ready")


async def _end_after_full_disk(server: NatsServer, disk: Disk) -> None:
    """End nats-server, so that it is started again, when a full disk has room.

    A stream that it once could not write to it does not try again for as long as it lives.
    """
    while True:
        while disk.has_room():
            await asyncio.sleep(WATCH_SECONDS)
        while not disk.has_room():
            await asyncio.sleep(WATCH_SECONDS)
        if server.running:
            logger.warning("the disk has room again; starting nats-server again")
            os.kill(server.pid, signal.SIGTERM)
