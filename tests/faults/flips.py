"""One flipped bit: at every 32nd byte of every kind of file, one at a time, and nothing of it may go unnoticed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import duckdb
from rookery.eventstore import EventStoreError
from rookery.eventstore.healing import heal
from rookery.eventstore.manifest import NAME as MANIFEST
from rookery.eventstore.manifest import Entry
from rookery.eventstore.verification import verify
from rookery.projections import Projections, QueryFailed
from rookery.projections.errors import ProjectionError
from rookery.projections.graph import Graph

from . import specimen
from .rows import Row
from .specimen import ORIGIN, RESOURCES, Said, open_log, said_by
from .storms import Tell

EVERY_BYTES = 32
SILENT_TOLD_MAX = 5


class Flip(NamedTuple):
    """A bit of a file."""

    path: Path
    at: int
    bit: int

    def __str__(self) -> str:
        return f"bit {self.bit} of byte {self.at} of {self.path.name}"

    def do(self) -> None:
        """Turn it over."""
        with self.path.open("r+b") as file:
            file.seek(self.at)
            (byte,) = file.read(1)
            file.seek(self.at)
            file.write(bytes([byte ^ 1 << self.bit]))


class Kind(NamedTuple):
    """Files of one kind: where they are, what is copied to try one, and how it is tried.

    `try_one(data, pristine)` says "detected", "harmless" or "silent"; "healed" follows from the file's bytes.
    `flips_max`: of a large file, so many, evenly spread.
    """

    fault: str
    pattern: str
    copied: tuple[str, ...]
    try_one: Callable[[Path, Pristine], str]
    flips_max: int | None = None


class Pristine:
    """The specimen as it is without a flip, and what it says."""

    def __init__(self, data: Path) -> None:
        self.data = data
        specimen.make(data)
        self.deliveries = specimen.deliveries()
        with open_log(data, writable=False) as log:
            self.said: Said = said_by(log)
            with tempfile.TemporaryDirectory() as folder:
                copy = Path(shutil.copytree(data, Path(folder) / "data"))
                with Projections.open(copy / "projections.duckdb", log, resources=RESOURCES) as models:
                    self.digests = models.digests()
                with Graph.open(copy / "graph", log) as graph:
                    self.quads = specimen.quads_in(graph)
        self.rows = specimen.rows_in(data / "snapshot" / "rookery.duckdb")


async def flip(folder: Path, seed: int, times: int, tell: Tell) -> list[Row]:
    """Every kind of file of the specimen; `times` is how many flips at most, of each kind."""
    pristine = Pristine(folder / "pristine")
    return [await asyncio.to_thread(_flip_all, kind, pristine, folder, seed, times, tell) for kind in KINDS]


def _flip_all(kind: Kind, pristine: Pristine, folder: Path, seed: int, times: int, tell: Tell) -> Row:
    chance, found, silent = Random(seed), Counter[str](), list[str]()
    flips = list(_flips(kind, pristine.data, chance))
    flips_max = min(times, kind.flips_max or times)
    chosen = flips[:: max(1, -(-len(flips) // flips_max))]
    for count, each in enumerate(chosen):
        tried = folder / f"tried-{count}"  # DuckDB and RocksDB know their files by the path
        end, _, why = _try(kind, each, pristine, tried).partition(": ")
        shutil.rmtree(tried, ignore_errors=True)
        found[end] += 1
        if end == "silent":
            silent.append(f"{each} {why:.200}")
    tell(f"{kind.fault}: {len(chosen):,} of {len(flips):,} flips: {dict(found)}")
    for each in silent[:SILENT_TOLD_MAX]:
        tell(f"  silent: {each}")
    ends = {end: found[end] for end in ("detected", "healed", "harmless", "silent")}
    return Row(fault=f"a flipped bit in {kind.fault}", times=len(chosen), seed=seed, **ends)


def _flips(kind: Kind, data: Path, chance: Random) -> Iterator[Flip]:
    for path in sorted(data.glob(kind.pattern)):
        for at in range(0, path.stat().st_size, EVERY_BYTES):
            yield Flip(path.relative_to(data), at, chance.randrange(8))


def _try(kind: Kind, flip: Flip, pristine: Pristine, data: Path) -> str:
    data.mkdir(parents=True)
    for name in kind.copied:
        whole = pristine.data / name
        (shutil.copytree if whole.is_dir() else shutil.copy)(whole, data / name)
    flipped = flip._replace(path=data / flip.path)
    before = flipped.path.read_bytes()
    flipped.do()
    try:
        end = kind.try_one(data, pristine)
    except Exception as error:  # noticed, but nobody is told what is damaged
        return f"silent: {type(error).__name__}: {error}"
    made_whole = not flipped.path.exists() or flipped.path.read_bytes() == before
    return "healed" if end == "harmless" and made_whole else end


def _try_log(data: Path, pristine: Pristine) -> str:
    """What verification says, what healing makes of it where somebody has the bytes, and what the log then says."""
    signers = {ORIGIN: specimen.SIGNER.public}
    told = list(verify(data / "log", signers=signers, deep=True))
    if any(not finding.derived for finding in told):
        heal(data / "log", [_Elsewhere(pristine.data)], signer=specimen.SIGNER)
        whole = not list(verify(data / "log", signers=signers, deep=True))
        return "healed" if whole and _says_the_same(data, pristine) else "detected"
    try:
        same = _says_the_same(data, pristine)
    except EventStoreError:
        return "detected"
    return "harmless" if same else "detected" if told else "silent"


def _says_the_same(data: Path, pristine: Pristine) -> bool:
    """What a node does when it starts: open, take from the bus what is missing, and recognise what comes again."""
    with open_log(data) as log:
        log.append(ORIGIN, specimen.only(pristine.deliveries, after=log.bus_sequence(ORIGIN)))
        if said_by(log) != pristine.said:
            return False
        log.rewind(ORIGIN)
        return log.append(ORIGIN, pristine.deliveries).events == 0


class _Elsewhere:
    """Whoever else has the bytes: an archive, a peer."""

    name = "the pristine folder"

    def __init__(self, data: Path) -> None:
        self._data = data

    def manifest(self, origin: str) -> bytes | None:
        return (self._data / "log" / origin / MANIFEST).read_bytes()

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        return (self._data / "log" / origin / entry.segment).read_bytes()

    def lines(self, origin: str, first: int, last: int) -> Iterator[bytes]:
        with open_log(self._data, writable=False) as log:
            for record in log.read(origin, after=first - 1, limit=last - first + 1):
                yield record.line


def _try_read_models(data: Path, pristine: Pristine) -> str:
    """Whoever asks may be told of the damage; the next fold then makes everything anew."""
    with open_log(data, writable=False) as log:
        path = data / "projections.duckdb"
        with Projections.open(path, log, resources=RESOURCES) as models:
            models.catch_up()
            try:
                digests = models.digests()
            except QueryFailed:
                models.catch_up()
                digests = models.digests()
    if digests != pristine.digests:
        return "silent"
    return "healed" if list(data.glob(f"{path.name}.corrupt-*")) else "harmless"


def _try_side_cars(data: Path, pristine: Pristine) -> str:
    """A side-car that can't be relied on is made again, and then it is the one that it was."""
    with open_log(data, writable=False) as log, Projections.open(data / "new.duckdb", log, resources=RESOURCES) as new:
        new.side_cars.make_missing(threading.Event(), lambda _: 0.0)
        new.catch_up()
        report = new.rebuild()
        same = report.digests_after == report.digests_before == pristine.digests
    return "harmless" if same else "silent"


def _try_snapshot(data: Path, pristine: Pristine) -> str:
    try:
        rows = specimen.rows_in(data / "snapshot" / "rookery.duckdb")
    except (duckdb.Error, UnicodeDecodeError):
        return "detected"
    return "harmless" if rows == pristine.rows else "silent"


def _try_graph(data: Path, pristine: Pristine) -> str:
    with open_log(data, writable=False) as log:
        try:
            with Graph.open(data / "graph", log) as graph:
                graph.catch_up()
                quads = specimen.quads_in(graph)
        except ProjectionError:
            return "detected"
    return "harmless" if quads == pristine.quads else "silent"


LOG = ("log",)
KINDS = (
    Kind("sealed segments", "log/*/*.ndjson.zst", LOG, _try_log),
    Kind("the open segment", "log/*/*[0-9].ndjson", LOG, _try_log),
    Kind("the manifest", "log/*/manifest.ndjson", LOG, _try_log),
    Kind("the segments' summaries", "log/*/*.index.json", LOG, _try_log, 400),
    Kind("the id index", "log/*/ids.sqlite*", LOG, _try_log),
    Kind("side-cars", "columns/*/*", ("log", "columns"), _try_side_cars, 60),
    Kind("the read models", "projections.duckdb", ("log", "projections.duckdb"), _try_read_models, 60),
    Kind("the snapshot", "snapshot/rookery.duckdb", ("snapshot",), _try_snapshot, 150),
    Kind("the graph", "graph/store-*/*[0-9]*", ("log", "graph"), _try_graph, 150),
)
