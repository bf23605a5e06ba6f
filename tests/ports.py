"""Ports of this machine that a test can count on: nobody else is given one while the test holds it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def vacant_port() -> Iterator[int]:
    """A port at which nobody listens, or only who is told to, and comes and goes: others' free ports are other ones."""
    with socket.socket() as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # who listens there says the same
        holding.bind(("127.0.0.1", 0))
        yield holding.getsockname()[1]
