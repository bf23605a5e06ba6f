"""Serving: a node and its HTTP API from start to signal."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from .api.server import bind, serving
from .data_folder import DataFolder, RunningNode
from .memory import give_back_what_is_free, limit_memory, resources_of
from .node import running_node
from .settings import Settings

# A thread that wants the interpreter waits this long for the one that has it. Folding, appending and serving take turns
# at it hundreds of times a second: at Python's default of 5 ms, a publish took three times as long to be acknowledged.
SWITCH_SECONDS = 0.0005

SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def serve(settings: Settings, *, on_ready: Callable[[RunningNode], None]) -> None:
    """Run a node until SIGTERM or SIGINT; `on_ready` hears of it once it answers.

    Until then, and once it is stopping, a signal ends the process at once: that loses nothing, and reading a big log
    or a server that hangs may take longer than who sends it wants to wait.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    give_back_what_is_free()
    open_many_files()
    with _deadly_signals():
        listener = bind(settings.host, settings.port)
        with listener, DataFolder(settings.data) as folder:
            async with running_node(folder, settings) as node, serving(node, listener):
                limit_memory(resources_of(settings))  # now, so that nats-server has none of it
                port = listener.getsockname()[1]
                url = f"http://{settings.host}:{port}"
                announcement = RunningNode(os.getpid(), url, node.nats_url, node.started_at)
                stop = _stop_signal()
                folder.announce(announcement)
                on_ready(announcement)
                with _little_garbage_collected():
                    await stop.wait()


def open_many_files() -> None:
    """Let the process have as many files open as it may at all: a log has some for each origin, also of other nodes."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _little_garbage_collected() -> Iterator[None]:
    """Leave what is there by now, which stays, out of every collection: each looked at it for 30 to 70 ms."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def _deadly_signals() -> Iterator[None]:
    earlier = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _stop_signal() -> asyncio.Event:
    """Set by the first signal. The next one finds the default again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def receive() -> None:
        stop.set()
        for one in SIGNALS:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)

    for number in SIGNALS:
        loop.add_signal_handler(number, receive)
    return stop
