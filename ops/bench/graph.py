"""The knowledge graph: facts folded from a log and in a live node, and a join beside rdflib's memory store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import rdflib
from pyoxigraph import NamedNode, QuerySolutions, RdfFormat, Store, Triple, serialize

from ...eventstore import Log
from ...projections.graph import PREFIXES, Graph
from ...projections.graph.algorithms import stats
from ...projections.graph.names import rk, thing
from ..client import Client
from . import workload
from .figures import Figure
from .node_process import node_process

EVENTS = 20_000
TRIPLES = 100_000
ASKED_TIMES = 5
APPENDED_EVENTS = 1_000
POLL_SECONDS = 0.05

# Who has worked on what with one of 25 tools: each tool is in 1,000 of 25,000 runs.
JOIN = """
SELECT ?agent ?task WHERE {
  ?run rk:usedTool <urn:rookery:tool:tool-7> .
  ?run rk:performedBy ?agent .
  ?run rk:workedOn ?task .
}"""


def graph(events: int = EVENTS, *, triples: int = TRIPLES) -> list[Figure]:
    """Facts per second into the graph, what follows from them included, and the time of a join of three.

    Live, from the first event published until the graph has them all: the node folds its read models meanwhile.
    """
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        live = _live(Path(folder) / "node", events)
        facts = _folded(Path(folder), events)
        ours, rival = _joined(Path(folder), list(islice(_work(), triples)))
    name = "rdflib's memory store"
    return [
        Figure.of("graph.fold.facts", facts, "facts/s"),
        Figure.of("graph.live.facts", live, "facts/s"),
        Figure.of("graph.join", ours * 1_000, "ms", rival=name, rival_value=rival * 1_000),
    ]


def _folded(folder: Path, events: int) -> float:
    """Folded in the batches, and with the store on disk, that a node has."""
    deliveries = workload.deliveries(events)
    with Log.open(folder / "log") as log, Graph.open(folder / "graph", log) as graph:
        while batch := list(islice(deliveries, APPENDED_EVENTS)):
            log.append("local", batch)
        before = stats(graph.store)["triples"]
        folded = graph.catch_up()
        return float((stats(graph.store)["triples"] - before) / folded.seconds)


def _live(folder: Path, events: int) -> float:
    with node_process(folder) as running, Client(running.node.url) as client:
        before = client.get("/graph/stats")["triples"]
        started = time.perf_counter()
        workload.publish(running.node.nats_url, events, events)
        while client.get("/status")["graph_lag_events"]:
            time.sleep(POLL_SECONDS)
        seconds = time.perf_counter() - started
        return float((client.get("/graph/stats")["triples"] - before) / seconds)


def _joined(folder: Path, triples: list[Triple]) -> tuple[float, float]:
    """The seconds that the join takes in a store on disk, and in rdflib."""
    written = serialize(triples, format=RdfFormat.N_TRIPLES)
    assert written is not None
    store = Store(folder / "join")
    store.load(written, format=RdfFormat.N_TRIPLES)
    rival = rdflib.Graph().parse(data=written, format="nt")
    found, theirs = len(_ask(store)), len(rival.query(JOIN, initNs=PREFIXES))
    assert found == theirs, f"{found} solutions, and {theirs} by rdflib"
    return (
        min(_timed(lambda: _ask(store)) for _ in range(ASKED_TIMES)),
        _timed(lambda: len(rival.query(JOIN, initNs=PREFIXES))),
    )


def _work() -> Iterator[Triple]:
    """Runs, each with an agent, a task, a tool and a model."""
    number = 0
    while True:
        run = thing("run", f"run-{number}")
        for name, kind, kinds in _USES:
            yield Triple(run, name, thing(kind, f"{kind}-{number % kinds}"))
        number += 1


_USES: list[tuple[NamedNode, str, int]] = [
    (rk("performedBy"), "agent", 199),
    (rk("workedOn"), "task", 4_999),
    (rk("usedTool"), "tool", 25),
    (rk("usedModel"), "model", 7),
]


def _ask(store: Store) -> list[object]:
    found = store.query(JOIN, prefixes=PREFIXES)
    assert isinstance(found, QuerySolutions)
    return list(found)


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
