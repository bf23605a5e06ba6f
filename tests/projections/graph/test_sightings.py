"""What the graph's fold remembers of edges: what was seen lately, and no more."""

from __future__ import annotations

from pyoxigraph import NamedNode, Store
from rookery.projections.graph import sightings
from rookery.projections.graph.mapping import Edge
from rookery.projections.graph.sightings import Sightings

HALF = sightings.EDGES_KEPT_MAX // 2


def test_what_was_seen_lately_is_known_without_the_store_and_what_was_seen_long_ago_is_not() -> None:
    seen, nothing_stored = Sightings(), Store()
    for number in range(HALF + 1):
        seen.note("here", (edge(number),))
    seen.written()
    assert seen.are_known(nothing_stored, "here", (edge(0), edge(HALF)))
    assert not seen.are_known(nothing_stored, "there", (edge(0),))
    for number in range(HALF + 1, 3 * HALF + 3):
        seen.note("here", (edge(number),))
        seen.written()
    assert not seen.are_known(nothing_stored, "here", (edge(1),))


def edge(number: int) -> Edge:
    node = NamedNode(f"urn:node:{number}")
    return node, NamedNode("urn:to"), node
