"""Where the log's bytes can be had once more: its archive, its bus, and whatever else can give them, as peers do.

What a source gives is believed by nobody: whoever asks holds it against hashes and chains that it can't know to forge.
"""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import zstandard

from ...bus import Bus, Delivery
from ..admission import Admission
from ..archive.catalogue import got, manifest_of, read_catalogue
from ..cold import ColdTier, segment_object, verified
from ..disk import Disk
from ..errors import ArchiveDamaged, LogDamaged, SourceFailed
from ..ids import IdIndex, record_key
from ..line import NO_CHAIN, Record, chain_of, parse
from ..manifest import NAME as MANIFEST
from ..manifest import Entry, Manifest
from ..origin import IDS
from ..parts import PLAIN_SUFFIX, SealedPart
from ..recovery import PLAIN_NAME
from ..stores import Store

BUS_SECONDS_MAX = 30.0  # for one batch
KEYS_MAX = 4_000_000  # held in memory where the index of ids is gone; about 400 MB

Result = TypeVar("Result")


class Source(Protocol):
    """Something that may have the log's bytes. Any method may raise `RookeryError`: then it can't give them now."""

    name: str  # as people call it: `the archive s3://colony/archive`

    def manifest(self, origin: str) -> bytes | None:
        """The origin's manifest, or its beginning; None if it has none."""

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        """A sealed segment's file; None if it has none."""

    def lines(self, origin: str, first: int, last: int) -> Iterable[bytes]:
        """The lines from `first` on, up to `last` or as far as it has them, without their newlines."""


class ArchiveSource:
    """The copy in cold storage."""

    def __init__(self, store: Store) -> None:
        self.name = f"the archive {store.place}"
        self._store = store

    def manifest(self, origin: str) -> bytes | None:
        """As far as it is archived."""
        known = read_catalogue(self._store).origins.get(origin)
        return manifest_of(self._store, origin, known) if known else None

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        """The object."""
        return verified(self._store, segment_object(origin, entry.segment), entry.compressed_bytes, entry.sha256)

    def lines(self, origin: str, first: int, last: int) -> Iterator[bytes]:
        """Those that were not sealed when it was written."""
        known = read_catalogue(self._store).origins.get(origin)
        for part in known.open if known else ():
            if part.first <= first <= part.last:
                data = got(self._store, part.object(origin), part.kept)
                lines = self._decoded(part.object(origin), data, part.lines_bytes)
                yield from lines[first - part.first : last - part.first + 1]
                first = part.last + 1

    def _decoded(self, name: str, data: bytes, size_bytes: int) -> list[bytes]:
        try:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
                return reader.read(size_bytes).split(b"\n")[:-1]
        except zstandard.ZstdError as error:
            raise ArchiveDamaged(self._store.place, name, f"it does not decode ({error})") from None


class BusSource:
    """The bus that an origin was taken from: what it delivers is admitted once more, after all that lies before.

    It needs what lies before to be whole, and the event loop of the bus to be running in another thread.
    """

    name = "the bus"

    def __init__(self, bus: Bus, loop: asyncio.AbstractEventLoop, folder: Path, origin: str, disk: Disk) -> None:
        self._bus = bus
        self._loop = loop
        self._folder = folder / origin
        self._origin = origin
        self._disk = disk

    def manifest(self, origin: str) -> None:
        """It has none."""

    def segment(self, origin: str, entry: Entry) -> None:
        """It has lines."""

    def lines(self, origin: str, first: int, last: int) -> Iterator[bytes]:
        """As ingest would append them."""
        if origin != self._origin:
            return
        with closing(_Before(self._folder, origin, first, self._disk)) as before:
            record = before.record(first - 1) if first > 1 else None
            chain = chain_of(record.line) if record else NO_CHAIN
            sequence = record.sequence if record else 0
            admission = Admission(origin, first - 1, chain, sequence, before.holder)
            given = 0
            for batch in self._batches(after=sequence):
                admission.take(batch)
                for admitted in admission.admitted[given:]:
                    if admitted.n > last:
                        return
                    given += 1
                    yield admitted.line

    def _batches(self, *, after: int) -> Iterator[list[Delivery]]:
        held = self._done(self._bus.state())
        batches = self._bus.read(after=after)
        assert isinstance(batches, AsyncGenerator)
        try:
            while after < held.last_sequence:
                batch = self._done(anext(batches))
                after = batch[-1].sequence
                yield batch
        finally:
            self._done(batches.aclose())

    def _done(self, work: Coroutine[Any, Any, Result]) -> Result:
        waiting = asyncio.run_coroutine_threadsafe(_in_time(work), self._loop)
        try:
            return waiting.result()
        except TimeoutError:
            raise SourceFailed(self.name, f"it has not answered within {BUS_SECONDS_MAX:g} s") from None


async def _in_time(work: Coroutine[Any, Any, Result]) -> Result:
    async with asyncio.timeout(BUS_SECONDS_MAX):
        return await work


class _Before:
    """The lines before some n, whatever is wrong with those behind."""

    def __init__(self, folder: Path, origin: str, first: int, disk: Disk) -> None:
        self._folder = folder
        self._origin = origin
        self._first = first
        self._disk = disk
        entries = Manifest(folder / MANIFEST, disk).entries
        tier = ColdTier(origin, folder, disk)
        self._sealed = {entry.first: SealedPart(folder, entry, disk, tier) for entry in entries if entry.last < first}
        self._plain: dict[int, list[bytes]] = {}
        self._index = self._opened_index()
        self._keys: defaultdict[int, list[int]] | None = None

    def close(self) -> None:
        if self._index is not None:
            self._index.close()

    def record(self, n: int) -> Record:
        """A line. Raises `LogDamaged`."""
        begin = max((first for first in self._sealed if first <= n), default=0)
        part = self._sealed.get(begin)
        if part is not None and n <= part.last:
            return self._parsed(part.line(n), n, part.path)
        return self._plain_record(n)

    def holder(self, key: int, is_it: Callable[[Record], bool]) -> Record | None:
        """As `Admission` wants it."""
        candidates = self._index.candidates(key) if self._index is not None else self._scanned()[key]
        return next((record for record in map(self.record, filter(self._is_before, candidates)) if is_it(record)), None)

    def _is_before(self, n: int) -> bool:
        return n < self._first

    def _opened_index(self) -> IdIndex | None:
        with suppress(sqlite3.Error):
            index = IdIndex.beside_its_writer(self._folder / IDS)
            if index.covered >= self._first - 1:
                return index
            index.close()
        return None

    def _scanned(self) -> defaultdict[int, list[int]]:
        if self._keys is None:
            if self._first > KEYS_MAX:
                raise SourceFailed("the bus", f"without the index of ids, at most {KEYS_MAX:,} events are recognised")
            self._keys = defaultdict(list)
            for n in range(1, self._first):
                self._keys[record_key(self.record(n))].append(n)
        return self._keys

    def _plain_record(self, n: int) -> Record:
        firsts = [int(name.removesuffix(PLAIN_SUFFIX)) for name in self._disk.names(self._folder) if _is_plain(name)]
        begin = max((first for first in firsts if first <= n), default=0)
        path = self._folder / f"{begin:020}{PLAIN_SUFFIX}"
        if begin not in self._plain:
            self._plain = {begin: self._disk.read(path).split(b"\n")} if begin else {}
        lines = self._plain.get(begin, [])
        return self._parsed(lines[n - begin] if n - begin < len(lines) else b"", n, path)

    def _parsed(self, line: bytes, n: int, path: Path) -> Record:
        try:
            record = parse(self._origin, line)
        except ValueError:
            record = None
        if record is None or record.n != n:
            raise LogDamaged(path, f"the line of event {n} is not there", "heal what lies before first")
        return record


def _is_plain(name: str) -> bool:
    return PLAIN_NAME.fullmatch(name) is not None
