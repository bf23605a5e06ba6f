"""What an origin has said before: who and what a run had to do with is taken once, however many calls repeat it."""

from __future__ import annotations

from pyoxigraph import Store

from .mapping import Edge
from .names import URN
from .patterns import find

EDGES_KEPT_MAX = 50_000


class Sightings:
    """The edges that events of each origin have stated: the first event that states one is the one that counts.

    Each origin is folded in its order, so which event that is does not depend on how origins interleave.
    """

    def __init__(self) -> None:
        self._kept: set[tuple[str, str, str, str]] = set()

    def are_known(self, store: Store, origin: str, edges: tuple[Edge, ...]) -> bool:
        """Whether the origin has stated all of these."""
        return all(self._is_known(store, origin, edge) for edge in edges)

    def note(self, origin: str, edges: tuple[Edge, ...]) -> None:
        """The origin states these, in a batch that is about to be written."""
        self._kept.update(_key(origin, edge) for edge in edges)

    def written(self) -> None:
        """The batch is written: what is kept here is in the store too, so that too much of it can go."""
        if len(self._kept) > EDGES_KEPT_MAX:
            self.forget()

    def forget(self) -> None:
        """The batch was not written."""
        self._kept = set()

    def _is_known(self, store: Store, origin: str, edge: Edge) -> bool:
        key = _key(origin, edge)
        if key in self._kept:
            return True
        events = f"{URN}event:{origin}:"
        known = any(found.graph.value.startswith(events) for found in find(store, *edge))
        if known:
            self.note(origin, (edge,))
        return known


def _key(origin: str, edge: Edge) -> tuple[str, str, str, str]:
    subject, predicate, value = edge
    return origin, subject.value, predicate.value, value.value
