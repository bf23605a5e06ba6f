"""The benchmarks, small: what they report, not how fast this machine is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from rookery.ops import bench
from rookery.ops.bench import Figure
from rookery.ops.bench.agents import agents
from rookery.ops.bench.fleet import fleet
from rookery.ops.bench.git_import import git_import
from rookery.ops.bench.graph import graph
from rookery.ops.bench.live import live
from rookery.ops.bench.live_readers import live_readers
from rookery.ops.bench.otlp import otlp
from rookery.ops.bench.past import past
from rookery.ops.bench.publish import publish
from rookery.ops.bench.query import query
from rookery.ops.bench.rebuild import rebuild
from rookery.ops.bench.snapshot import snapshot
from rookery.ops.bench.startup import startup
from rookery.ops.bench.sync import sync
from rookery.ops.bench.trust import trust

from .conftest import Rookery

SMALL: dict[str, Callable[[], list[Figure]]] = {
    "publish": partial(publish, 300, publishers=20, lone_events=20, rival_events=20),
    "live": partial(live, 300, publishers=20, steady_seconds=0.1, settle_seconds=0.0),
    "rebuild": partial(rebuild, 2, segment_events=200),
    "startup": partial(startup, 1, idle_seconds=0.0),
    "query": partial(query, 100, events_per_second=100, seconds=0.4),
    "live_readers": partial(live_readers, 3, events_per_second=200, seconds=0.5),
    "graph": partial(graph, 300, triples=2_000),
    "git": partial(git_import, 30),
    "snapshot": partial(snapshot, 1, events=300, snapshots=1),
    "agents": partial(agents, 40, concurrency=4, rival_tasks=10, steady_seconds=0.2, agents=3, imports=1),
    "fleet": partial(
        fleet,
        40,
        interval_seconds=0.5,
        measured_seconds=1.5,
        decisions=200,
        steady_seconds=0.2,
        assignments=6,
        processes=1,
    ),
    "otlp": partial(otlp, 100, batch_spans=30, exporters=2),
    "sync": partial(sync, 1_000, 1_500, 50),
    "past": partial(past, [1_000, 2_000], segment_events=500),
    "trust": partial(trust, 2_000, segment_events=500, open_events=100),
}
OF_A_PAST = [
    ("rebuild_without_side_cars", "events/s", True),
    ("side_cars", "events/s", False),
    ("rebuild", "events/s", True),
    *(
        figure
        for name in ("cost_by_model", "runs")
        for figure in (
            (f"as_of.{name}.cold", "s", False),
            (f"as_of.{name}.when_5_percent_differ", "s", False),
            (f"as_of.{name}.memory", "MiB", False),
        )
    ),
    ("why", "ms", False),
    ("archive_size", "% of NDJSON", False),
    ("archive_and_side_cars_size", "% of NDJSON", False),
    ("restore", "events/s", False),
]
# Name and unit, and whether there is a rival to compare with.
FIGURES = {
    "publish": [("publish.throughput", "events/s", True), ("publish.latency_p99", "ms", True)],
    "live": [
        ("live.throughput", "events/s", False),
        ("live.visible_p50", "ms", False),
        ("live.visible_p99", "ms", False),
        ("live.visible_p99_beside_backlog", "ms", False),
    ],
    "rebuild": [
        ("rebuild.throughput", "events/s", True),
        ("rebuild.throughput_from_side_cars", "events/s", True),
    ],
    "startup": [("startup.ready", "s", False), ("startup.idle_memory", "MiB", False)],
    "sync": [
        ("sync.1_000_events", "events/s", False),
        ("sync.50_of_1_000.http", "s", False),
        ("sync.50_of_1_500", "s", False),
    ],
    "past": [
        ("past.longest_append_while_sealing", "ms", False),
        ("past.longest_append_otherwise", "ms", False),
        *((f"past.{size}.{name}", unit, rival) for size in ("1k", "2k") for name, unit, rival in OF_A_PAST),
    ],
    "trust": [
        ("trust.verify", "MB/s", True),
        ("trust.verify_deep", "events/s", False),
        ("trust.open", "s", False),
        ("trust.proof", "ms", True),
        ("trust.proof_p99", "ms", False),
    ],
    "query": [
        ("query.by_key_p50_quiet", "ms", True),
        ("query.by_key_p99_quiet", "ms", True),
        ("query.by_key_p50", "ms", True),
        ("query.by_key_p99", "ms", True),
    ],
    "live_readers": [
        ("live_readers.delivered_p50", "ms", False),
        ("live_readers.delivered_p99", "ms", False),
        ("live_readers.delivered_max", "ms", False),
        ("live_readers.node_cpu", "cores", False),
    ],
    "git": [("git.read", "commits/s", True), ("git.import", "commits/s", False)],
    "graph": [
        ("graph.fold.facts", "facts/s", False),
        ("graph.live.facts", "facts/s", False),
        ("graph.join", "ms", True),
    ],
    "snapshot": [
        ("snapshot.database", "MiB", False),
        ("snapshot.seconds", "s", True),
        ("snapshot.longest_fold", "ms", False),
        ("snapshot.longest_fold_without", "ms", False),
    ],
    "agents": [
        ("agents.throughput", "tasks/s", True),
        ("agents.overhead", "ms", False),
        ("agents.begun_p50", "ms", False),
        ("agents.begun_p99", "ms", False),
        ("agents.many_ready", "s", False),
        ("agents.many_throughput", "tasks/s", False),
        ("agents.import", "ms", False),
    ],
    "fleet": [
        ("fleet.registered", "agents/s", False),
        ("fleet.heartbeats_cpu", "cores", False),
        ("fleet.expired_p50", "intervals", False),
        ("fleet.expired_max", "intervals", False),
        ("fleet.decisions", "decisions/s", False),
        ("fleet.begun_p50", "ms", False),
        ("fleet.begun_p99", "ms", False),
        ("fleet.survived", "s", False),
        ("fleet.ended_once", "assignments", False),
    ],
    "otlp": [("otlp.throughput", "spans/s", False), ("otlp.answered_p99", "ms", False)],
}


def test_every_benchmark_is_tested() -> None:
    elsewhere = {"proficiency"}  # what it reports depends on the data at hand: test_bench_proficiency.py
    assert SMALL.keys() == FIGURES.keys() == bench.BENCHMARKS.keys() - elsewhere


@pytest.mark.parametrize("name", FIGURES)
def test_figures_come_with_units_and_rivals_in_json(
    rookery: Rookery, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip("eventsourcing")
    monkeypatch.setitem(bench.BENCHMARKS, name, SMALL[name])
    ran = rookery("bench", name, "--json")
    assert ran.code == 0, ran.err
    report: dict[str, Any] = ran.json
    assert (report.keys(), "cores" in report["machine"]) == ({"machine", "figures"}, True)
    found = report["figures"]
    assert [(one["name"], one["unit"], one["rival"] is not None) for one in found] == FIGURES[name]
    for figure in found:
        assert figure.keys() == {"name", "value", "unit", "rival", "rival_value", "ratio"}
        least = 0.0 if figure["unit"] == "cores" else 1e-9  # a small run may take less than the 10 ms Linux counts in
        assert figure["value"] >= least
        assert [figure[field] is not None for field in ("rival", "rival_value", "ratio")] in ([True] * 3, [False] * 3)


def test_a_ratio_says_how_many_times_better_whichever_way_better_is() -> None:
    assert Figure.of("a", 20, "events/s", rival="r", rival_value=10).ratio == 2
    assert Figure.of("a", 20, "ms", rival="r", rival_value=10).ratio == 0.5


def test_an_unknown_benchmark_is_refused_with_those_there_are(rookery: Rookery) -> None:
    refused = rookery("bench", "speed")
    assert (refused.code, all(name in refused.err for name in FIGURES)) == (2, True)
