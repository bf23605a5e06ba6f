"""Rebuilding every read model from sealed segments, beside `eventsourcing` replaying the same events from SQLite."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import NAMESPACE_URL, uuid5

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from ...bus import Delivery
from ...eventstore import Log
from ...projections import Projections
from . import workload
from .figures import Figure

SEGMENTS = 8
SEGMENT_EVENTS = 65_536
BATCH_EVENTS = 1_000


def rebuild(segments: int = SEGMENTS, *, segment_events: int = SEGMENT_EVENTS) -> list[Figure]:
    """Events per second into all read models together."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        ours = _ours(Path(folder), segments * segment_events, segment_events)
        rival = _rival(Path(folder), segments * segment_events)
    name = "eventsourcing 9.5, reading its SQLite notification log"
    return [Figure.of("rebuild.throughput", ours, "events/s", rival=name, rival_value=rival)]


def _ours(folder: Path, events: int, segment_events: int) -> float:
    log = Log.open(folder / "log", segment_events_max=segment_events)
    for batch in _batches(workload.deliveries(events)):
        log.append("local", batch)
    log.seal_full_segments()
    projections = Projections.open(folder / "projections.duckdb", log)
    report = projections.rebuild()
    projections.close()
    log.close()
    return report.events / report.seconds


def _rival(folder: Path, events: int) -> float:
    recorder = SQLiteApplicationRecorder(SQLiteDatastore(str(folder / "rival.sqlite")))
    recorder.create_table()
    for batch in _batches(workload.deliveries(events)):
        recorder.insert_events(
            [StoredEvent(uuid5(NAMESPACE_URL, one.subject), one.sequence, one.subject, one.payload) for one in batch]
        )
    started = time.perf_counter()
    read = 0
    while found := recorder.select_notifications(start=read + 1, limit=BATCH_EVENTS):
        read = found[-1].id
    seconds = time.perf_counter() - started
    recorder.datastore.close()
    return read / seconds


def _batches(items: Iterator[Delivery]) -> Iterator[list[Delivery]]:
    while batch := list(islice(items, BATCH_EVENTS)):
        yield batch
