"""Questions about the graph's shape: what is near a thing, what leads from one to another, which belong together.

They see things and what connects them: no classes, no literals, and not the events by which we know, which an edge
lists instead. Every answer is `{"nodes": […], "edges": […]}`, as programs that draw graphs want it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pyoxigraph import DefaultGraph, NamedNode, Quad, QuerySolutions, Store

from ..errors import QueryRefused
from .names import INFERRED, LABEL, OWL, PROV, RDF, RDFS, TYPE, URN, kind_and_id, rk, thing
from .patterns import said

DEPTH_MAX = 3
NODES_MAX = 1_000
PATH_EDGES_MAX = 8
QUADS_SEEN_MAX = 500_000
COMMUNITY_EDGES_MAX = 200_000
COMMUNITY_NODES_SHOWN_MAX = 100
EVENTS_SHOWN_MAX = 10
SEED = 7

_EVENT = f"{URN}event:"
_LOG = f"{URN}log:"
_PLUMBING = (RDF, RDFS, OWL, PROV, rk("inBlock").value)

Edge = tuple[str, str, str]


class _Seen:
    """The edges found so far, each with the events behind it, and how many quads it took to find them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.edges: dict[Edge, list[str]] = {}
        self.quads = 0

    def around(self, node: str) -> Iterator[str]:
        """The things that an edge connects with `node`, each as often as it is; the edges are noted."""
        iri = NamedNode(node)
        for quads in (self.store.quads_for_pattern(iri, None, None), self.store.quads_for_pattern(None, None, iri)):
            for quad in said(quads):
                self.quads += 1
                if self.quads > QUADS_SEEN_MAX:
                    return
                if _connects(quad):
                    source, _, target = self.note(quad)
                    yield target if source == node else source

    def note(self, quad: Quad) -> Edge:
        """One more event, or rule, says that this edge is there."""
        edge = (_text(quad.subject), quad.predicate.value, _text(quad.object))
        events = self.edges.setdefault(edge, [])
        event = _text(quad.graph_name)
        if len(events) < EVENTS_SHOWN_MAX and event not in events:  # an edge is met from both its ends
            events.append(event)
        return edge


def iris_of(name: str) -> list[str]:
    """The IRIs that a thing may have, named in full, `urn:rookery:agent:coder-7`, or in short, `agent/coder-7`.

    There are two where the id has a slash: it may be one, or two, as in `model/openai/gpt-4o`. Raises `QueryRefused`.
    """
    kind, _, rest = name.partition("/")
    try:
        if ":" in kind:
            return [NamedNode(name).value]
        if kind and rest:
            return list(dict.fromkeys([thing(kind, rest).value, thing(kind, *rest.split("/")).value]))
    except ValueError:
        pass
    raise QueryRefused(f"{name!r} names nothing: write `agent/coder-7`, or an IRI as SPARQL shows it")


def neighbours(store: Store, *, name: str, depth: int, limit: int) -> dict[str, Any]:
    """The things at most `depth` edges away, the nearest first, with all edges that led to them."""
    start, seen = _known(store, name), _Seen(store)
    distances, waiting = {start: 0}, deque([start])
    truncated = False
    while waiting:
        one = waiting.popleft()
        if distances[one] == depth:
            continue
        for other in seen.around(one):
            if other in distances:
                continue
            if len(distances) >= limit:
                truncated = True
                break
            distances[other] = distances[one] + 1
            waiting.append(other)
    edges = {edge: events for edge, events in seen.edges.items() if edge[0] in distances and edge[2] in distances}
    shown = _shown(store, distances, edges)
    for described in shown["nodes"]:
        described["distance"] = distances[described["id"]]
    return shown | {"truncated": truncated or seen.quads > QUADS_SEEN_MAX}


def path(store: Store, *, start: str, end: str) -> dict[str, Any]:
    """A shortest way between two things, whichever way its edges point; without nodes where there is none in bounds."""
    begin, goal, seen = _known(store, start), _known(store, end), _Seen(store)
    came_from: dict[str, str | None] = {begin: None}
    waiting = deque([(begin, 0)])
    while waiting and goal not in came_from:
        one, length = waiting.popleft()
        if length == PATH_EDGES_MAX or seen.quads > QUADS_SEEN_MAX:
            continue
        for other in seen.around(one):
            if other not in came_from:
                came_from[other] = one
                waiting.append((other, length + 1))
    way = _way(came_from, goal)
    steps = set(pairwise(way))
    edges = {edge: events for edge, events in seen.edges.items() if {(edge[0], edge[2]), (edge[2], edge[0])} & steps}
    return _shown(store, way, edges) | {"length": len(steps) if way else None, "truncated": seen.quads > QUADS_SEEN_MAX}


def communities(store: Store, *, limit: int) -> dict[str, Any]:
    """Groups of things that have more to do with each other than with the rest, the largest first.

    Louvain's method with a fixed seed: the same graph has the same communities.
    """
    import networkx  # it takes a while, and only this needs it

    seen = _Seen(store)
    graph: networkx.Graph[str] = networkx.Graph()
    for quad in said(store.quads_for_pattern(None, None, None)):
        if len(seen.edges) >= COMMUNITY_EDGES_MAX:
            break
        if _connects(quad):
            seen.note(quad)
    for source, _, target in sorted(seen.edges):
        graph.add_edge(source, target)
    found = networkx.community.louvain_communities(graph, seed=SEED)
    groups = sorted((sorted(group, key=lambda one: (-graph.degree(one), one)) for group in found), key=_by_size)[:limit]
    kept = {one: number for number, group in enumerate(groups) for one in group[:COMMUNITY_NODES_SHOWN_MAX]}
    shown = _shown(store, kept, {edge: [] for edge in seen.edges if edge[0] in kept and edge[2] in kept})
    for described in shown["nodes"]:
        described["community"] = kept[described["id"]]
    sizes = [{"community": number, "size": len(group), "around": group[0]} for number, group in enumerate(groups)]
    return {"communities": sizes} | shown | {"truncated": len(seen.edges) >= COMMUNITY_EDGES_MAX}


def stats(store: Store) -> dict[str, Any]:
    """How much there is of what: triples, things of each class, edges of each kind."""
    classes, properties = "?s a ?name", "?s ?name ?o"
    triples = sum(1 for _ in store.quads_for_pattern(None, None, None, DefaultGraph()))
    return {"triples": triples, "classes": _counts(store, classes), "properties": _counts(store, properties)}


def _counts(store: Store, pattern: str) -> list[dict[str, Any]]:
    query = f"SELECT ?name (COUNT(*) AS ?count) {{{pattern}}} GROUP BY ?name ORDER BY DESC(?count) ?name"
    rows = store.query(query)
    assert isinstance(rows, QuerySolutions)
    return [{"name": _text(row["name"]), "count": int(_text(row["count"]))} for row in rows]


def _known(store: Store, name: str) -> str:
    """The IRI of a thing that is in the graph. Raises `QueryRefused`."""
    for iri in iris_of(name):
        node = NamedNode(iri)
        if any(store.quads_for_pattern(node, None, None)) or any(store.quads_for_pattern(None, None, node)):
            return iri
    raise QueryRefused(f"the graph has nothing named {name!r}; `rookery graph stats` says what it has")


def _connects(quad: Quad) -> bool:
    """Whether a quad is an edge between two things."""
    return (
        isinstance(quad.subject, NamedNode)
        and isinstance(quad.object, NamedNode)
        and not quad.predicate.value.startswith(_PLUMBING)
        and not quad.subject.value.startswith((_EVENT, _LOG))
        and not quad.object.value.startswith(_EVENT)
    )


def _way(came_from: dict[str, str | None], goal: str) -> list[str]:
    way: list[str] = []
    one: str | None = goal if goal in came_from else None
    while one is not None:
        way.append(one)
        one = came_from[one]
    return way[::-1]


def _by_size(group: list[str]) -> tuple[int, str]:
    return -len(group), group[0]


def _shown(store: Store, nodes: Any, edges: dict[Edge, list[str]]) -> dict[str, Any]:
    return {
        "nodes": [_described(store, node) for node in nodes],
        "edges": [
            {
                "source": source,
                "target": target,
                "label": _short(predicate),
                "predicate": predicate,
                "inferred": set(events) == {INFERRED.value},
                "events": [event.removeprefix(_EVENT) for event in events if event.startswith(_EVENT)],
            }
            for (source, predicate, target), events in sorted(edges.items())
        ],
    }


def _described(store: Store, iri: str) -> dict[str, Any]:
    node = NamedNode(iri)
    types = sorted({_short(_text(quad.object)) for quad in store.quads_for_pattern(node, TYPE, None)})
    named = kind_and_id(iri)
    labels = [_text(quad.object) for quad in store.quads_for_pattern(node, LABEL, None)]
    return {
        "id": iri,
        "name": "/".join(named) if named else iri,
        "label": min(labels, default=named[1] if named else _short(iri)),
        "types": types,
    }


def _text(term: object) -> str:
    """An IRI's or a literal's text."""
    return str(getattr(term, "value", term))


def _short(iri: str) -> str:
    """The last part of a term's IRI."""
    return iri.replace("#", "/").rpartition("/")[2] or iri
