"""The node that a demo uses: the one that runs, or one of its own, which ends with it, interrupted or not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ..client import Client, NodeUnreachable
from ..data_folder import DataFolder
from ..settings import Settings
from .options import node_of
from .output import remark
from .table import visible
from .up import start, stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a SIGTERM end us as a Ctrl-C does: with nothing left running."""

    def as_ctrl_c(_: int, frame: FrameType | None) -> None:
        hears = signal.getsignal(signal.SIGINT)  # while asyncio runs, it does
        if callable(hears):
            hears(signal.SIGINT, frame)

    earlier = [(one, signal.getsignal(one)) for one in SIGNALS]
    signal.signal(signal.SIGTERM, as_ctrl_c)
    try:
        yield
    finally:
        for one, handler in earlier:
            signal.signal(one, handler)


def _ignore_signals() -> None:
    """While we tidy up, which takes a while at most, whoever is impatient would leave something running."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_IGN)


@contextmanager
def node_for(settings: Settings) -> Iterator[tuple[Client, bool]]:
    """The node that the other commands would ask; where none answers, one of our own, which ends with us."""
    with Client(node_of(settings)) as client:
        if _answers(client):
            yield client, False
            return
    folder = DataFolder(settings.data)
    remark(f"a node starts on {visible(str(folder.path))} …")
    try:
        node = start(folder, {"data": str(settings.data), "port": "0", "nats_port": "0"})
        with Client(node.url) as client:
            yield client, True
    finally:
        _ignore_signals()
        stop(folder)
        with suppress(ChildProcessError):  # one that did not start is gone already
            os.waitpid(-1, 0)  # it has let go of the folder, and is still there for a moment


def _answers(client: Client) -> bool:
    try:
        client.get("/status")
    except NodeUnreachable:
        return False
    return True
