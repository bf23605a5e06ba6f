"""Serving: a node and its HTTP API from start to signal."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from .api.server import bind, serving
from .data_folder import DataFolder, RunningNode
from .node import running_node
from .settings import Settings

# A thread that wants the interpreter waits this long for the one that has it. Folding, appending and serving take turns
# at it hundreds of times a second: at Python's default of 5 ms, a publish took three times as long to be acknowledged.
SWITCH_SECONDS = 0.0005


async def serve(settings: Settings, *, on_ready: Callable[[RunningNode], None]) -> None:
    """Run a node until SIGTERM or SIGINT; `on_ready` hears of it once it answers."""
    sys.setswitchinterval(SWITCH_SECONDS)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listener = bind(settings.host, settings.port)
    with listener, DataFolder(settings.data) as folder:
        async with running_node(folder, settings) as node, serving(node, listener):
            port = listener.getsockname()[1]
            announcement = RunningNode(os.getpid(), f"http://{settings.host}:{port}", node.nats_url, node.started_at)
            folder.announce(announcement)
            on_ready(announcement)
            await stop.wait()
