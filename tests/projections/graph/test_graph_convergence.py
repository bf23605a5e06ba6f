"""The same events give the same graph: in any interleaving of origins, any batching, and after a crash at any write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyoxigraph import Quad, Store
from rookery.projections.graph import Graph, graph
from rookery.projections.graph.names import BOOKKEEPING, rk
from rookery.schemas import Event

from ..colony import Colony
from .histories import histories

pytestmark = pytest.mark.usefixtures("small_bounds")
relaxed = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def quads(one: Graph) -> set[Quad]:
    """What is in the graph, but for how far it is."""
    return {quad for quad in one.store if quad.graph_name != BOOKKEEPING or quad.predicate not in {rk("foldedUpTo")}}


def folded_at_once(colony: Colony, folder: Path) -> set[Quad]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(graph, "BATCH_EVENTS_MAX", 1_000)
        with Graph.open(folder, colony.log) as one:
            one.catch_up()
            return quads(one)


def pieces(draw: st.DrawFn, history: dict[str, list[Event]]) -> Iterator[tuple[str, list[Event]]]:
    """The history in pieces, each origin in its own order."""
    waiting = {origin: list(happened) for origin, happened in history.items() if happened}
    while waiting:
        origin = draw(st.sampled_from(sorted(waiting)))
        size = draw(st.integers(1, len(waiting[origin])))
        yield origin, waiting[origin][:size]
        del waiting[origin][:size]
        waiting = {origin: left for origin, left in waiting.items() if left}


class Unplugged(Exception):
    """What a store says whose power is cut."""


class Flaky:
    """A store that fails at its n-th write, before it writes or just after."""

    def __init__(self, store: Store, fails_at: int, *, after: bool) -> None:
        self._store = store
        self._left = fails_at
        self._after = after

    def extend(self, quads: Iterable[Quad]) -> None:
        self._write(lambda: self._store.extend(quads))

    def remove(self, quad: Quad) -> None:
        self._write(lambda: self._store.remove(quad))

    def _write(self, write: Any) -> None:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Unplugged
        write()
        if self._left == 0:
            raise Unplugged

    def __contains__(self, quad: Quad) -> bool:
        return quad in self._store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@relaxed
@given(history=histories, data=st.data())
def test_any_interleaving_and_any_batching_give_the_same_graph(
    folders: Iterator[Path], history: dict[str, list[Event]], data: st.DataObject
) -> None:
    with Colony(next(folders)) as colony, Graph.open(next(folders), colony.log) as one:
        for origin, happened in pieces(data.draw, history):
            colony.append(happened, origin)
            one.catch_up()
        assert one.vector() == {origin: last for origin, last in colony.log.vector().items() if last}
        assert quads(one) == folded_at_once(colony, next(folders))


@relaxed
@given(history=histories, fails_at=st.integers(1, 12), after=st.booleans())
def test_a_crash_at_any_write_changes_nothing_in_the_end(
    folders: Iterator[Path], history: dict[str, list[Event]], fails_at: int, after: bool
) -> None:
    with Colony(next(folders)) as colony:
        for origin, happened in history.items():
            colony.append(happened, origin)
        folder = next(folders)
        with Graph.open(folder, colony.log) as one:
            one._store = cast(Store, Flaky(one.store, fails_at, after=after))
            with suppress(Unplugged):
                one.catch_up()
        with Graph.open(folder, colony.log) as one:
            one.catch_up()
            assert quads(one) == folded_at_once(colony, next(folders))
