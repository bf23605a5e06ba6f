"""The knowledge graph as the rest of Rookery sees it: kept level with the log, and asked from any thread."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from pyoxigraph import Literal, NamedNode, Quad, Store

from ...eventstore import Log, Record
from ..store import Folded
from .errors import GraphLocked, GraphUnusable
from .mapping import facts, sighting
from .names import BOOKKEEPING, ONTOLOGY, URN, event_iri, rk
from .ontology import fingerprint, ontology
from .patterns import find, merged, withdraw
from .rules import infer
from .sightings import Sightings
from .undoing import undo

BATCH_EVENTS_MAX = 50
UNDONE_AT_ONCE_EVENTS = 1_000
# RocksDB would keep what is written in memory until it is 128 MiB in each of its indexes, twice. This is about 18 MiB.
UNFLUSHED_QUADS_MAX = 25_000

# Called after every batch with the seconds that it took; returns those to wait, to leave the processor to others.
Pace = Callable[[float], float]
# Called after every batch with the number of events folded so far, and of those that there were to fold.
Progress = Callable[[int, int], object]

_GRAPH = NamedNode(f"{URN}graph")
_MADE_FROM = rk("madeFrom")
_FOLDED_UP_TO = rk("foldedUpTo")
_LOG = f"{URN}log:"

logger = logging.getLogger(__name__)


class Graph:
    """The knowledge graph, in one folder.

    One thread folds at a time (`catch_up`); any number may ask the `store` meanwhile. Every method blocks: call them in
    threads.
    """

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self._log = log
        self.pace: Pace | None = None  # slows folding down
        self._folding = threading.Lock()
        self._stopping = threading.Event()
        self._stale = False  # RocksDB does not write again after an error, as of a full disk, until it is opened anew
        self._store: Store | None = None
        self._vector: dict[str, int] = {}
        self._unflushed_quads = 0
        self._open()

    @classmethod
    def open(cls, folder: Path, log: Log) -> Graph:
        """Open the graph in `folder`, which need not exist.

        A graph that is damaged, or was made by another ontology, mapping or rules than today's, is dropped: `catch_up`
        makes it anew from the log. Raises `GraphLocked` or `GraphUnusable`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder, log)

    @property
    def store(self) -> Store:
        """The store, for asking. A graph that turns out damaged gets a new one, so ask for it each time."""
        if self._store is None:
            raise GraphUnusable(self.folder, "it is closed")
        return self._store

    def vector(self) -> dict[str, int]:
        """How far the graph is: the last folded n of each origin."""
        return dict(self._vector)

    def catch_up(self, progress: Progress | None = None) -> Folded:
        """Fold everything that the log has beyond the graph. A graph that turns out damaged is made anew.

        Raises `GraphUnusable`, with the graph left where the batch before ended.
        """
        with self._folding:
            started = time.perf_counter()
            try:
                if self._stale:
                    self._open_again()
                return Folded(self._catch_up(progress, self._log.vector()), time.perf_counter() - started)
            except (RuntimeError, OSError) as error:
                if not _is_damage(error):
                    self._stale = True
                    raise GraphUnusable(self.folder, str(error)) from error
                logger.warning("the graph was damaged (%s); making it anew from the log", error)
            self._renew()
            return Folded(self._catch_up(progress, self._log.vector()), time.perf_counter() - started)

    def go_to(self, vector: Mapping[str, int], progress: Progress | None = None) -> int:
        """Be the graph of a node that stopped at `vector`; returns how many events it took to get there.

        What lies beyond it is undone, and what is short of it is folded. Where `stop` ends it early, it is the graph of
        a moment on the way.
        """
        with self._folding:
            undone = sum(self._undo(origin, vector.get(origin, 0)) for origin in sorted(self._vector))
            return undone + self._catch_up(progress, vector)

    def stop(self) -> None:
        """Let a fold end after its present batch, for good."""
        self._stopping.set()

    def close(self) -> None:
        """Stop folding and let go of the folder, as soon as the queries that run have ended."""
        self.stop()
        with self._folding:
            self._store = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _undo(self, origin: str, until: int) -> int:
        """Take back what the origin said after `until`, the last first."""
        last = end = self._vector[origin]
        while until < end and not self._stopping.is_set():
            begin = max(until, end - UNDONE_AT_ONCE_EVENTS)
            undo(self.store, [event_iri(origin, n) for n in range(begin + 1, end + 1)])
            self._sightings.forget()
            self._come_back_to(origin, begin)
            end = begin
        return last - end

    def _come_back_to(self, origin: str, n: int) -> None:
        for found in find(self.store, NamedNode(_LOG + origin), _FOLDED_UP_TO, None, BOOKKEEPING):
            self.store.remove(Quad(*found))
        self.store.extend([_checkpoint(origin, n)] if n else [])
        self._vector = _folded(self.store)

    def _catch_up(self, progress: Progress | None, until: Mapping[str, int]) -> int:
        done = 0
        total = sum(last - self._vector.get(origin, 0) for origin, last in until.items())
        for batch in self._batches(until):
            if self._stopping.is_set():
                break
            started = time.perf_counter()
            self._fold(batch)
            self._flush_if_much()
            done += len(batch)
            if progress:
                progress(done, total)
            if self.pace:
                self._stopping.wait(self.pace(time.perf_counter() - started))
        return done

    def _batches(self, until: Mapping[str, int]) -> Iterator[tuple[Record, ...]]:
        for origin, last in sorted(until.items()):
            after = self._vector.get(origin, 0)
            if after < last:
                records = self._log.read(origin, after=after, limit=last - after)
                while batch := tuple(islice(records, BATCH_EVENTS_MAX)):
                    yield batch

    def _fold(self, batch: tuple[Record, ...]) -> None:
        """Write what a batch says, what follows from it, and how far the graph is then: all of it or nothing."""
        origin, last = batch[-1].origin, batch[-1].n
        try:
            said = [quad for record in batch for quad in self._said(record)]
            followed = infer(self.store, said)
            self._retract(followed.outdated)
            quads = [*merged([*said, *followed.quads]), _checkpoint(origin, last)]
            self.store.extend(quads)
        except BaseException:
            self._sightings.forget()
            raise
        if before := self._vector.get(origin):
            self.store.remove(_checkpoint(origin, before))
        self._vector[origin] = last
        self._sightings.written()
        self._unflushed_quads += len(quads)

    def _flush_if_much(self) -> None:
        """Have RocksDB write what it holds in memory into files; its log, which a start reads again, begins anew."""
        if self._unflushed_quads >= UNFLUSHED_QUADS_MAX:
            self.store.flush()
            self._unflushed_quads = 0

    def _said(self, record: Record) -> list[Quad]:
        edges = sighting(record.line)
        if edges is None or (edges and self._sightings.are_known(self.store, record.origin, edges)):
            return []
        said = facts(record)
        if said:
            self._sightings.note(record.origin, edges)
        return said

    def _retract(self, quads: Iterable[Quad]) -> None:
        for quad in quads:
            withdraw(self.store, quad)

    def _open(self) -> None:
        """Open the newest store in the folder. There is more than one only where a damaged one was to be replaced."""
        paths = sorted(self.folder.glob("store-*"))
        for path in paths[:-1]:
            shutil.rmtree(path, ignore_errors=True)
        try:
            self._begin(paths[-1] if paths else self._next())
        except (RuntimeError, OSError) as error:
            if _is_lock(error):
                raise GraphLocked(self.folder) from error
            if not _is_damage(error):
                raise GraphUnusable(self.folder, str(error)) from error
            logger.warning("the graph was damaged (%s); making it anew from the log", error)
            self._renew()

    def _begin(self, path: Path) -> None:
        store = Store(path)
        made_from = [found.value.value for found in find(store, _GRAPH, _MADE_FROM, None, BOOKKEEPING)]
        if made_from != [fingerprint()]:
            store.clear()
            store.extend([*merged(ontology(ONTOLOGY)), Quad(_GRAPH, _MADE_FROM, Literal(fingerprint()), BOOKKEEPING)])
        self._store = store
        self._vector = _folded(store)
        self._sightings = Sightings()

    def _open_again(self) -> None:
        path = max(self.folder.glob("store-*"))
        self._store = None
        self._begin(path)
        self._stale = False

    def _renew(self) -> None:
        """Begin an empty store beside the damaged one, which is removed: everything in it can be had from the log."""
        damaged = sorted(self.folder.glob("store-*"))
        self._begin(self._next())
        for old in damaged:
            shutil.rmtree(old, ignore_errors=True)

    def _next(self) -> Path:
        newest = max((int(path.name.removeprefix("store-")) for path in self.folder.glob("store-*")), default=0)
        return self.folder / f"store-{newest + 1:06}"


def _checkpoint(origin: str, n: int) -> Quad:
    return Quad(NamedNode(_LOG + origin), _FOLDED_UP_TO, Literal(n), BOOKKEEPING)


def _folded(store: Store) -> dict[str, int]:
    """The vector in the store. A crash may have left an older checkpoint beside the newest, and the newest counts."""
    vector: dict[str, int] = {}
    for found in find(store, None, _FOLDED_UP_TO, None, BOOKKEEPING):
        origin, n = found.subject.value.removeprefix(_LOG), int(found.value.value)
        vector[origin] = max(n, vector.get(origin, 0))
    return vector


def _is_lock(error: BaseException) -> bool:
    text = str(error).lower()
    return "lock file" in text or "lock hold" in text


def _is_damage(error: BaseException) -> bool:
    """Whether the store's files can't be trusted: RocksDB says so itself, or misses one of them."""
    text = str(error).lower()
    return "corrupt" in text or ("no such file" in text and "store-" in text)
