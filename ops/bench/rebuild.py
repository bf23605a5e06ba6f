"""Rebuilding every read model from sealed segments, without side-cars and with them, beside `eventsourcing`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from ...bus import Delivery
from ...eventstore import Log
from ...projections import Projections
from . import workload
from .eventsourcing_log import NAME, EventsourcingLog
from .figures import Figure

SEGMENTS = 8
SEGMENT_EVENTS = 65_536
BATCH_EVENTS = 1_000


def rebuild(segments: int = SEGMENTS, *, segment_events: int = SEGMENT_EVENTS) -> list[Figure]:
    """Events per second into all read models together."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        lines, columns = _ours(Path(folder), segments * segment_events, segment_events)
        rival = _rival(Path(folder), segments * segment_events)
    return [
        Figure.of("rebuild.throughput", lines, "events/s", rival=NAME, rival_value=rival),
        Figure.of("rebuild.throughput_from_side_cars", columns, "events/s", rival=NAME, rival_value=rival),
    ]


def _ours(folder: Path, events: int, segment_events: int) -> tuple[float, float]:
    """From the sealed segments themselves, and then from their side-cars."""
    with Log.open(folder / "log", segment_events_max=segment_events) as log:
        for batch in _batches(workload.deliveries(events)):
            log.append("local", batch)
        log.seal_full_segments()
        with Projections.open(folder / "projections.duckdb", log) as projections:
            lines = projections.rebuild()
            projections.side_cars.make_missing(threading.Event(), lambda _: 0.0)
            columns = projections.rebuild()
    return lines.events / lines.seconds, columns.events / columns.seconds


def _rival(folder: Path, events: int) -> float:
    with closing(EventsourcingLog(folder / "rival.sqlite")) as rival:
        for batch in _batches(workload.deliveries(events)):
            rival.append(batch)
        return rival.events_per_second()


def _batches(items: Iterator[Delivery]) -> Iterator[list[Delivery]]:
    while batch := list(islice(items, BATCH_EVENTS)):
        yield batch
