"""What an origin has said before: who and what a run had to do with is taken once, however many calls repeat it."""

from __future__ import annotations

from pyoxigraph import Store

from .mapping import Edge
from .names import URN
from .patterns import find

EDGES_KEPT_MAX = 20_000

_Key = tuple[str, str, str, str]


class Sightings:
    """The edges that events of each origin have stated: the first event that states one is the one that counts.

    Each origin is folded in its order, so which event that is does not depend on how origins interleave.
    """

    def __init__(self) -> None:
        self._kept: set[_Key] = set()
        self._kept_before: set[_Key] = set()

    def are_known(self, store: Store, origin: str, edges: tuple[Edge, ...]) -> bool:
        """Whether the origin has stated all of these."""
        return all(self._is_known(store, origin, edge) for edge in edges)

    def note(self, origin: str, edges: tuple[Edge, ...]) -> None:
        """The origin states these, in a batch that is about to be written."""
        self._kept.update(_key(origin, edge) for edge in edges)

    def written(self) -> None:
        """The batch is written: what is kept here is in the store too, so that what was not seen lately can go."""
        if len(self._kept) > EDGES_KEPT_MAX // 2:
            self._kept, self._kept_before = set(), self._kept

    def forget(self) -> None:
        """The batch was not written."""
        self._kept, self._kept_before = set(), set()

    def _is_known(self, store: Store, origin: str, edge: Edge) -> bool:
        key = _key(origin, edge)
        if key in self._kept:
            return True
        known = key in self._kept_before or _is_stated(store, origin, edge)
        if known:
            self.note(origin, (edge,))
        return known


def _is_stated(store: Store, origin: str, edge: Edge) -> bool:
    events = f"{URN}event:{origin}:"
    return any(found.graph.value.startswith(events) for found in find(store, *edge))


def _key(origin: str, edge: Edge) -> _Key:
    subject, predicate, value = edge
    return origin, subject.value, predicate.value, value.value
