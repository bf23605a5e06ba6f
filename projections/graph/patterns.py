"""Looking triples up in the graph, which holds IRIs and literals and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

from pyoxigraph import Literal, NamedNode, Store


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
    """The triples that have these parts; None stands for any."""
    for quad in store.quads_for_pattern(subject, predicate, value, graph):
        yield Found(*cast(tuple[NamedNode, NamedNode, NamedNode | Literal, NamedNode], tuple(quad)))


def nodes(
    store: Store, subject: NamedNode | None, predicate: NamedNode, value: NamedNode | None
) -> Iterator[tuple[NamedNode, NamedNode, NamedNode]]:
    """Of a property between things: who has it, who it is of, and in which named graph."""
    for found in find(store, subject, predicate, value):
        if isinstance(found.value, NamedNode):
            yield found.subject, found.value, found.graph
