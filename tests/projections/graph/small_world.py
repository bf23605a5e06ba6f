"""A small graph to ask: two agents that met in a run and one that didn't, each fact in its event's named graph."""

from __future__ import annotations

from collections.abc import Iterator

from pyoxigraph import Literal, Quad, Store
from rookery.projections.graph.names import INFERRED, LABEL, TYPE, event_iri, rk, thing
from rookery.projections.graph.patterns import merged

FACTS = (
    (thing("run", "r1"), "involved", thing("agent", "ada")),
    (thing("run", "r1"), "involved", thing("agent", "bob")),
    (thing("run", "r2"), "involved", thing("agent", "eve")),
    (thing("run", "r1"), "task", thing("task", "t/1")),
)


def fill(store: Store) -> None:
    """Write the world into `store`."""
    store.extend(merged(_quads()))


def _quads() -> Iterator[Quad]:
    for n, (subject, predicate, value) in enumerate(FACTS, start=1):
        yield Quad(subject, rk(predicate), value, event_iri("local", n))
        yield Quad(event_iri("local", n), rk("concerns"), subject, event_iri("local", n))
    yield Quad(thing("agent", "ada"), LABEL, Literal('Ada "the first"'), event_iri("local", 1))
    yield Quad(thing("agent", "ada"), TYPE, rk("Agent"), event_iri("local", 1))
    yield Quad(thing("agent", "ada"), rk("worksWith"), thing("agent", "bob"), INFERRED)


def world() -> Store:
    """The world in memory."""
    store = Store()
    fill(store)
    return store
