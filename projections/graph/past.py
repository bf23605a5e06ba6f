"""The graph as it was at a moment: a copy of one from another moment that goes there, in a process of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from pyoxigraph import Store

from ...eventstore import EventStoreError, Log
from ..errors import ProjectionError, QueryFailed
from .exchange import Imports
from .graph import Graph


def make(
    folder: str, *, base: str | None, log: str, imports: str, vector: dict[str, int], seconds: float
) -> dict[str, int]:
    """Make the graph of a moment in `folder`, from the store at `base` if there is one; returns how far it came.

    That is another moment on the way where the seconds did not suffice. The reference data that there is now is in the
    graph of every moment: nothing says since when it holds. Raises `QueryFailed`.
    """
    place = Path(folder)
    place.mkdir(parents=True)
    try:
        if base:
            Store.read_only(base).backup(place / "store-000001")
        with Log.open(Path(log), writable=False) as events, Graph.open(place, events) as graph:
            return _go(graph, vector, Path(imports), seconds)
    except (OSError, RuntimeError, EventStoreError, ProjectionError) as error:
        raise QueryFailed(str(error)) from error


def _go(graph: Graph, vector: dict[str, int], imports: Path, seconds: float) -> dict[str, int]:
    timer = threading.Timer(seconds, graph.stop)
    timer.start()
    try:
        graph.go_to(vector)
        Imports(imports).load(graph.store)
        graph.store.flush()  # who opens it next would otherwise have to read all that was written
        return graph.vector()
    finally:
        timer.cancel()
