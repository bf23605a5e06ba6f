"""A small data folder with every kind of file in it, and what everything in it says while nothing is amiss."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
from rookery.bus import Delivery
from rookery.eventstore import Log, Signer
from rookery.eventstore.signing import new_seed
from rookery.projections import Projections, Resources
from rookery.projections.graph import Graph
from rookery.schemas import Event, FeedbackGiven, LlmCallCompleted, RunStarted, encode, subject_of

ORIGIN = "local"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SEGMENT_EVENTS = 48
SEGMENTS_SEALED = 2
EVENTS = SEGMENT_EVENTS * SEGMENTS_SEALED + 24
SIGNER = Signer(new_seed())
RESOURCES = Resources(threads=1, memory_size_mib_max=256)


class Said(NamedTuple):
    """All that a log says: its lines, where each event is, and what is no event."""

    vector: dict[str, int]
    lines: list[bytes]
    one_by_one: list[bytes]
    found: dict[str, tuple[str, int]]
    dead: list[int]
    of_entities: list[list[int]]
    of_types: list[list[int]]


def deliveries() -> list[Delivery]:
    """Events of three kinds, and now and then something that is none."""
    return [_delivery(at) for at in range(1, EVENTS + 1)]


def make(data: Path) -> None:
    """Log, side-cars, read models, snapshot and graph, as a node leaves them that was stopped."""
    with open_log(data) as log:
        log.append(ORIGIN, deliveries())
        log.seal_full_segments()
        with Projections.open(data / "projections.duckdb", log, resources=RESOURCES) as models:
            models.catch_up()
            models.side_cars.make_missing(threading.Event(), lambda _: 0.0)
            models.snapshot(data / "snapshot" / "rookery.duckdb")
        with Graph.open(data / "graph", log) as graph:
            graph.catch_up()


def open_log(data: Path, *, writable: bool = True) -> Log:
    """The log, with the segments that it was made with."""
    return Log.open(data / "log", writable=writable, segment_events_max=SEGMENT_EVENTS, signer=SIGNER)


def said_by(log: Log) -> Said:
    """Everything that can be read of a log, by each of the ways that there are."""
    ids = [f"id-{at}" for at in range(1, EVENTS + 1)]
    vector = log.vector()
    return Said(
        vector,
        [record.line for record in log.read(ORIGIN)],
        [record.line for at in range(1, vector[ORIGIN] + 1) if (record := log.get(ORIGIN, at))],
        log.find(ids),
        [letter.n for letter in log.dead_letters()],
        [[record.n for record in log.search(entity=("run", f"run-{at}"))] for at in range(1, EVENTS + 1)],
        [[record.n for record in log.search(types={name})] for name in ("run.started", "feedback.given")],
    )


def rows_in(database: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table of a snapshot. Raises `duckdb.Error`."""
    with duckdb.connect(str(database), read_only=True) as con:
        names = [name for (name,) in con.execute("select table_name from duckdb_tables() order by 1").fetchall()]
        return {name: sorted(con.execute(f'from "{name}"').fetchall(), key=repr) for name in names}


def quads_in(graph: Graph) -> list[str]:
    """Every triple of a graph, with where it comes from; RocksDB reads all of its files for that."""
    return sorted(str(quad) for quad in graph.store)


def only(deliveries: Sequence[Delivery], *, after: int) -> list[Delivery]:
    """What a bus would deliver after a sequence."""
    return [delivery for delivery in deliveries if delivery.sequence > after]


def _delivery(at: int) -> Delivery:
    stored_at = NOON + timedelta(seconds=at)
    if at % 20 == 0:
        return Delivery(at, "evt.run.r.completed.a", b"not an event %d" % at, stored_at)
    data = (
        RunStarted(task=f"task {at}"),
        LlmCallCompleted(provider="p", request_model="m", run_id=f"run-{at}", input_tokens=at, cost_usd="0.25"),
        FeedbackGiven(kind="score", run_id=f"run-{at}", score=0.5),
    )[at % 3]
    event = Event.of(data, subject=f"run-{at}", source="/agents/a", id=f"id-{at}", time=stored_at)
    return Delivery(at, subject_of(event), encode(event), stored_at)
