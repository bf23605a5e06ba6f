"""The processes that answer questions about the graph, as the system sees them."""

from __future__ import annotations

from contextlib import suppress

import psutil


def processes() -> list[psutil.Process]:
    """Those that this process has started and that still run."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it is ending, or has ended and belongs to another test
            if "rookery.projections.graph.worker" in one.cmdline():
                found.append(one)
    return found
