"""The past: rebuilding, time travel, lineage, archive and restore, over one log that grows."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing.queues import Queue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from ...bus import Delivery
from ...eventstore import Log
from ...eventstore.archive import archive, restore
from ...eventstore.ingest import SEALING_SHARE
from ...eventstore.stores import open_store
from ...projections import Catalogue, Leash, Projections
from ...projections.keys import KeyPart
from ...projections.lineage import Lineage
from ...projections.past import Past
from ...projections.sidecars import SideCars
from . import workload
from .eventsourcing_log import NAME as RIVAL
from .eventsourcing_log import EventsourcingLog
from .figures import Figure

SIZES = (1_000_000, 3_000_000, 10_000_000)
SEGMENT_EVENTS = 65_536
APPENDED_EVENTS = 1_000
BATCHES_AHEAD_MAX = 64
ASKED = ("cost_by_model", "runs")
EXPLAINED = "runs"
SHARE_KNOWN = 0.95
LISTED_EVENTS = 1_000
ASKS = 5
EVENTS_OF_A_RUN = 30
LIVE_EVENTS = 100
LIVE_PAUSE_SECONDS = 0.02  # 5,000 events a second
LEASH_SECONDS = 600.0


class Travelled(NamedTuple):
    """What a process needed to ask of the past: seconds for a first moment, then for one near it, and its memory."""

    cold_seconds: float
    near_seconds: float
    memory_mib: float


def past(sizes: Sequence[int] = SIZES, *, segment_events: int = SEGMENT_EVENTS) -> list[Figure]:
    """Each figure for a log of each of these sizes; up to ten million events it takes half an hour."""
    with (
        TemporaryDirectory(prefix="rookery-bench-") as name,
        _made_beside(max(sizes)) as batches,
        Log.open(Path(name) / "log", segment_events_max=segment_events) as log,
        closing(EventsourcingLog(Path(name) / "rival.sqlite")) as rival,
    ):
        folder = Path(name)
        sealing, otherwise = _longest_appends(folder / "sealing", segment_events)
        figures = [
            Figure.of("past.longest_append_while_sealing", sealing * 1e3, "ms"),
            Figure.of("past.longest_append_otherwise", otherwise * 1e3, "ms"),
        ]
        for size in sizes:
            while log.vector().get("local", 0) < size:
                batch = next(batches)
                log.append("local", batch)
                rival.append(batch)
                log.seal_full_segments()
            figures += (
                msgspec.structs.replace(figure, name=f"past.{size // 1_000}k.{figure.name}")
                for figure in _measured(folder, log, rival)
            )
    return figures


def _measured(folder: Path, log: Log, rival: EventsourcingLog) -> Iterator[Figure]:
    read = rival.events_per_second()
    shutil.rmtree(folder / "columns", ignore_errors=True)
    yield Figure.of("rebuild_without_side_cars", _rebuilt(folder, log), "events/s", rival=RIVAL, rival_value=read)
    side_cars = SideCars(folder / "columns", log)
    started = time.perf_counter()
    side_cars.make_missing(threading.Event(), lambda _: 0.0)
    yield Figure.of("side_cars", _events(log) / (time.perf_counter() - started), "events/s")
    yield Figure.of("rebuild", _rebuilt(folder, log), "events/s", rival=RIVAL, rival_value=read)
    for name in ASKED:
        travelled = _travelled(folder, name)
        yield Figure.of(f"as_of.{name}.cold", travelled.cold_seconds, "s")
        yield Figure.of(f"as_of.{name}.when_5_percent_differ", travelled.near_seconds, "s")
        yield Figure.of(f"as_of.{name}.memory", travelled.memory_mib, "MiB")
    yield Figure.of("why", _asked_why(folder, log, side_cars) * 1e3, "ms")
    yield from _archived(folder, log, side_cars)


def _rebuilt(folder: Path, log: Log) -> float:
    for left in folder.glob("projections.duckdb*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    with Projections.open(folder / "projections.duckdb", log) as projections:
        report = projections.rebuild()
    return report.events / report.seconds


def _travelled(folder: Path, name: str) -> Travelled:
    """Asked in a process of its own, which has nothing else in its memory."""
    shutil.rmtree(folder / "past", ignore_errors=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as elsewhere:
        return elsewhere.submit(_travel, folder, name).result()


def _travel(folder: Path, name: str) -> Travelled:
    with Log.open(folder / "log", writable=False) as log:
        catalogue = Catalogue.of_folder()
        now = log.vector()
        then = {origin: int(n * SHARE_KNOWN) for origin, n in now.items()}
        assert not list(log.dead_letters())  # a node's log has judged its open end, too, when it was appended
        with closing(Past(folder / "past", log, catalogue, SideCars(folder / "columns", log))) as travels:
            cold, near = _seconds_to_ask(travels, name, then), _seconds_to_ask(travels, name, now)
    return Travelled(cold, near, memory_mib=_most_memory_mib())


def _most_memory_mib() -> float:
    """Of this process; `getrusage` would tell of the one that it was begun by, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def _seconds_to_ask(travels: Past, name: str, moment: dict[str, int]) -> float:
    started = time.perf_counter()
    with travels.at(moment, [name], Leash(LEASH_SECONDS)) as models:
        assert models.rows(name, limit=1).rows
    return time.perf_counter() - started


def _asked_why(folder: Path, log: Log, side_cars: SideCars) -> float:
    """The slowest of some questions for the events behind a run, after a first one."""
    scratch = folder / "why"
    scratch.mkdir(exist_ok=True)
    taken = []
    runs_apart = _events(log) // EVENTS_OF_A_RUN // (ASKS + 1)
    with closing(Lineage(Catalogue.of_folder(), log, scratch, side_cars)) as lineage:
        for run in range(ASKS + 1):
            started = time.perf_counter()
            key = [KeyPart("run_id", "VARCHAR", f"run-1-{run * runs_apart}")]
            found = lineage.behind(EXPLAINED, key, log.vector(), limit=LISTED_EVENTS, leash=Leash(LEASH_SECONDS))
            taken.append(time.perf_counter() - started)
            assert found.total
    return max(taken[1:])


def _archived(folder: Path, log: Log, side_cars: SideCars) -> Iterator[Figure]:
    store = open_store(str(folder / "archive"))
    archive(log, store)
    lines_bytes = sum(len(record.line) + 1 for origin in log.origins() for record in log.read(origin))
    archive_bytes = sum(path.stat().st_size for path in (folder / "archive").rglob("*") if path.is_file())
    yield Figure.of("archive_size", archive_bytes / lines_bytes * 100, "% of NDJSON")
    yield Figure.of(
        "archive_and_side_cars_size", (archive_bytes + side_cars.size_bytes()) / lines_bytes * 100, "% of NDJSON"
    )
    started = time.perf_counter()
    restore(store, folder / "restored")
    yield Figure.of("restore", _events(log) / (time.perf_counter() - started), "events/s")
    shutil.rmtree(folder / "restored")


def _longest_appends(folder: Path, segment_events: int) -> tuple[float, float]:
    """How long an append took at most while a segment was sealed as a node seals it; and in as many others."""
    made = workload.deliveries(SIZES[0])
    with Log.open(folder, segment_events_max=segment_events) as log:
        while not log.has_full_segments:
            log.append("local", list(islice(made, APPENDED_EVENTS)))
        sealing = threading.Thread(target=log.seal_full_segments, args=(_leaving_time,))
        sealing.start()
        beside = list(iter(lambda: _append_live(log, made) if sealing.is_alive() else None, None))
        alone = [_append_live(log, made) for _ in beside]
    return max(beside), max(alone)


def _append_live(log: Log, made: Iterator[Delivery]) -> float:
    time.sleep(LIVE_PAUSE_SECONDS)
    batch = list(islice(made, LIVE_EVENTS))
    started = time.perf_counter()
    log.append("local", batch)
    return time.perf_counter() - started


def _leaving_time(worked_seconds: float) -> None:
    time.sleep(worked_seconds * (1 / SEALING_SHARE - 1))


def _events(log: Log) -> int:
    return sum(log.vector().values())


@contextmanager
def _made_beside(count: int) -> Iterator[Iterator[list[Delivery]]]:
    """Batches of the workload, made in another process while this one does something else."""
    context = multiprocessing.get_context("spawn")
    made: Queue[list[Delivery]] = context.Queue(BATCHES_AHEAD_MAX)
    process = context.Process(target=_make, args=(made.put, count), daemon=True)
    process.start()
    try:
        yield (made.get() for _ in range(count // APPENDED_EVENTS))
    finally:
        process.terminate()
        process.join()


def _make(put: Callable[[list[Delivery]], None], count: int) -> None:
    events = workload.deliveries(count)
    while batch := list(islice(events, APPENDED_EVENTS)):
        put(batch)
