"""Snapshots: how long a copy of a big database takes, beside copying its rows, and how long it holds up folding."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ...bus import Delivery
from ...eventstore import Log
from ...projections import Projections
from . import workload
from .figures import Figure

EVENTS = 100_000
DATABASE_MIB = 1_024
FOLD_EVENTS = 100
FOLDS_BEFORE = 40
PAUSE_SECONDS = 0.05
SNAPSHOTS = 3
FILLING_ROWS = 200_000

# Messages that don't compress below 200 bytes each.
FILLING = """
    insert into messages by name
    select
        'run-' || n // 30 as run_id, n as step, 'assistant' as role, 'filling' as origin, n,
        concat(sha256(n::varchar), sha256((n + 0.1)::varchar), sha256((n + 0.2)::varchar)) as content
    from (select unnest(range(?, ?)) as n)
"""


def snapshot(database_mib: int = DATABASE_MIB, *, events: int = EVENTS, snapshots: int = SNAPSHOTS) -> list[Figure]:
    """Seconds for a snapshot of a database of that size, and the longest fold of 100 events meanwhile and before."""
    with TemporaryDirectory(prefix="rookery-bench-") as folder:
        path = Path(folder) / "projections.duckdb"
        log = Log.open(Path(folder) / "log")
        log.append("local", list(workload.deliveries(events)))
        with Projections.open(path, log) as projections:
            projections.catch_up()
        size_mib = _filled(path, database_mib)
        with Projections.open(path, log) as projections, _folding(projections, log) as folds:
            while len(folds) < FOLDS_BEFORE:
                time.sleep(PAUSE_SECONDS)
            before = max(folds)
            folds.clear()
            targets = [Path(folder) / str(number) / "rookery.duckdb" for number in range(snapshots)]
            seconds = [projections.snapshot(target).seconds for target in targets]
            while not folds:  # the one that was under way then
                time.sleep(PAUSE_SECONDS)
            during = max(folds)
        rows = _copied_by_rows(path, Path(folder) / "rows.duckdb")
        log.close()
    return [
        Figure.of("snapshot.database", size_mib, "MiB"),
        Figure.of("snapshot.seconds", max(seconds), "s", rival="copy from database, row by row", rival_value=rows),
        Figure.of("snapshot.longest_fold", during * 1e3, "ms"),
        Figure.of("snapshot.longest_fold_without", before * 1e3, "ms"),
    ]


def _filled(path: Path, database_mib: int) -> float:
    """Add rows until the file is that big."""
    with duckdb.connect(str(path)) as con:
        first = 0
        while path.stat().st_size < database_mib * 2**20:
            con.execute(FILLING, [first, first + FILLING_ROWS])
            con.execute("checkpoint")
            first += FILLING_ROWS
    return path.stat().st_size / 2**20


@contextmanager
def _folding(projections: Projections, log: Log) -> Iterator[list[float]]:
    """Fold a few events again and again, beside the body; yields the seconds that each fold took."""
    folds: list[float] = []
    done = threading.Event()

    def fold() -> None:
        first = log.vector()["local"]
        more = (Delivery(first + one.sequence, *one[1:]) for one in workload.deliveries(EVENTS, seed=2))
        while not done.wait(PAUSE_SECONDS):
            log.append("local", list(islice(more, FOLD_EVENTS)))
            started = time.perf_counter()
            projections.catch_up()
            folds.append(time.perf_counter() - started)

    thread = threading.Thread(target=fold)
    thread.start()
    try:
        yield folds
    finally:
        done.set()
        thread.join()


def _copied_by_rows(path: Path, copy: Path) -> float:
    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": False}) as con:
        con.execute(f"attach '{path}' as source (read_only)")
        con.execute(f"attach '{copy}' as copy (storage_version 'v1.3.0')")
        started = time.perf_counter()
        con.execute("copy from database source to copy")
        con.execute("detach copy")
        return time.perf_counter() - started
