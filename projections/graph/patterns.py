"""How triples lie in the store, and looking them up; what the log says has IRIs and literals and nothing else.

Each is in the named graph of the event, rule or file that says it, and once more in the default graph, which is what
queries see: there a triple that several say is one triple.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

from pyoxigraph import Literal, NamedNode, Quad, Store

from .names import BOOKKEEPING


class Found(NamedTuple):
    """A triple, and the named graph that it is in."""

    subject: NamedNode
    predicate: NamedNode
    value: NamedNode | Literal
    graph: NamedNode


def find(
    store: Store,
    subject: NamedNode | None,
    predicate: NamedNode | None,
    value: NamedNode | Literal | None,
    graph: NamedNode | None = None,
) -> Iterator[Found]:
    """The triples that have these parts, as often as they are said; None stands for any."""
    for quad in said(store.quads_for_pattern(subject, predicate, value, graph)):
        yield Found(*cast(tuple[NamedNode, NamedNode, NamedNode | Literal, NamedNode], tuple(quad)))


def nodes(
    store: Store, subject: NamedNode | None, predicate: NamedNode, value: NamedNode | None
) -> Iterator[tuple[NamedNode, NamedNode, NamedNode]]:
    """Of a property between things: who has it, who it is of, and in which named graph."""
    for found in find(store, subject, predicate, value):
        if isinstance(found.value, NamedNode):
            yield found.subject, found.value, found.graph


def merged(quads: Iterable[Quad]) -> Iterator[Quad]:
    """The quads, and what queries see of them."""
    for quad in quads:
        yield quad
        if quad.graph_name != BOOKKEEPING:
            yield Quad(*quad.triple)


def said(quads: Iterable[Quad]) -> Iterator[Quad]:
    """Those of the quads that somebody says: without what queries see of them."""
    return (quad for quad in quads if isinstance(quad.graph_name, NamedNode))


def withdraw(store: Store, quad: Quad) -> None:
    """Remove a quad; queries see its triple no more, unless it is said elsewhere too."""
    store.remove(quad)
    if not any(said(store.quads_for_pattern(*quad.triple))):
        store.remove(Quad(*quad.triple))
