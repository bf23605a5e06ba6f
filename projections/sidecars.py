"""Side-cars: every sealed segment's events once more as columns, in a Parquet file that DuckDB reads only in parts.

An event has the newest version of its shape in it, and what is no event isn't there. The events lie sorted by type, so
that whoever asks for some types skips the rest. Side-cars are derived from the log and disposable: where one is
missing, damaged, or was made from other bytes or by other schemas than today's, it is not used, and made again.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import msgspec

from ..eventstore import EventStoreError, Log, Segment
from ..schemas import reading_fingerprint
from .errors import LoadFailed, SideCarFailed
from .lines import Batch, Lines
from .relations import literal, relations
from .selection import Selection

# Part of what a side-car was made from: another layout of the file is another number.
LAYOUT = 2
ROW_GROUP_EVENTS = 16_384
MEMORY_SIZE_MIB_MAX = 512

_SUFFIX = ".parquet"
_NOTE_SUFFIX = ".json"
_MAKING = ".making-"

# Called after each side-car with the seconds that it took: the seconds to wait before the next.
Pace = Callable[[float], float]


class _Note(msgspec.Struct, frozen=True):
    """What lies beside a side-car: what it was made from, and the hash of its bytes."""

    made_from: str
    sha256: str


class _Seen(NamedTuple):
    """A file that was found to be what its note says, and how to tell that it is still the same."""

    made_from: str
    modified_ns: int
    size_bytes: int


class SideCars:
    """The side-cars in `folder`, one folder per origin. For any thread."""

    def __init__(self, folder: Path, log: Log) -> None:
        self.folder = folder
        self._log = log
        self._seen: dict[Path, _Seen] = {}
        self._making = threading.Lock()

    def current(self, segment: Segment) -> Path | None:
        """The segment's side-car, if there is one that can be relied on. Its bytes are checked once per process."""
        path = self._path(segment)
        made_from = _made_from(segment)
        try:
            status = path.stat()
            found = _Seen(made_from, status.st_mtime_ns, status.st_size)
            if self._seen.get(path) != found and not _is_whole(path, made_from):
                return None
        except (OSError, msgspec.MsgspecError):
            return None
        self._seen[path] = found
        return path

    def make(self, segment: Segment) -> Path:
        """The segment's side-car, made where there is none. Raises `SideCarFailed`; blocks for half a second."""
        if path := self.current(segment):
            return path
        with self._making:
            return self.current(segment) or self._made(segment)

    def make_missing(self, stop: threading.Event, pace: Pace) -> int:
        """Make what is missing of segments that lie here, until `stop` is set; returns how many were made.

        Raises `SideCarFailed` for the first that could not be made, after all the others.
        """
        self._remove_strangers()
        made, failed = 0, list[SideCarFailed]()
        for segment in self._here():
            if stop.is_set():
                break
            if self.current(segment):
                continue
            started = time.perf_counter()
            try:
                self.make(segment)
                made += 1
            except SideCarFailed as error:
                failed.append(error)
            stop.wait(pace(time.perf_counter() - started))
        if failed:
            raise failed[0]
        return made

    def unmade(self) -> int:
        """How many segments that lie here have no side-car that can be relied on."""
        return sum(self.current(segment) is None for segment in self._here())

    def size_bytes(self) -> int:
        """How much room all of them take."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*/*{_SUFFIX}"))

    def _here(self) -> Iterator[Segment]:
        return (segment for segment in self._segments() if segment.is_here)

    def _segments(self) -> Iterator[Segment]:
        return (segment for origin in self._log.origins() for segment in self._log.segments(origin))

    def _path(self, segment: Segment) -> Path:
        return self.folder / segment.origin / f"{segment.first:020}{_SUFFIX}"

    def _made(self, segment: Segment) -> Path:
        path = self._path(segment)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(segment, path)
        except (OSError, duckdb.Error, LoadFailed, EventStoreError) as error:
            raise SideCarFailed(segment.origin, segment.first, segment.last, str(error)) from error
        return path

    def _write(self, segment: Segment, path: Path) -> None:
        """The note comes last: a file without one is not relied on."""
        note = path.with_suffix(_NOTE_SUFFIX)
        made_from = _made_from(segment)
        with TemporaryDirectory(dir=self.folder, prefix=_MAKING) as folder:
            unfinished = Path(folder) / path.name
            _export(self._log, segment, unfinished)
            with unfinished.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
            beside = Path(folder) / note.name
            beside.write_bytes(msgspec.json.encode(_Note(made_from, digest)))
            note.unlink(missing_ok=True)
            unfinished.replace(path)
            beside.replace(note)
        status = path.stat()
        self._seen[path] = _Seen(made_from, status.st_mtime_ns, status.st_size)

    def _remove_strangers(self) -> None:
        """Remove what belongs to no segment, and what a process that was killed left half made."""
        if not self.folder.is_dir():
            return
        own = {self._path(segment) for segment in self._segments()}
        with self._making:
            for left in self.folder.glob(f"{_MAKING}*"):
                shutil.rmtree(left, ignore_errors=True)
            for path in self.folder.glob("*/*"):
                if path.with_suffix(_SUFFIX) not in own:
                    path.unlink(missing_ok=True)
                    self._seen.pop(path, None)


def _export(log: Log, segment: Segment, path: Path) -> None:
    """Write the segment's events to `path`, on one thread: the caller's, with its niceness."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{MEMORY_SIZE_MIB_MAX}MiB",
        "temp_directory": str(path.parent / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    readable = (segment.path,) if segment.plain else ()
    with duckdb.connect(config=config) as con:
        lines = Lines(log, Selection.to_keep(), path.parent)
        types = frozenset(segment.summary().types)
        lines.load(con, Batch(segment.origin, segment.first, segment.last, readable, types=types))
        con.execute(
            f"copy (from events order by type, n) to {literal(str(path))} "
            f"(format parquet, compression zstd, parquet_version v2, row_group_size {ROW_GROUP_EVENTS})"
        )


def _is_whole(path: Path, made_from: str) -> bool:
    """Whether the file is what its note says, made from that. Raises `OSError` or `MsgspecError`."""
    note = msgspec.json.decode(path.with_suffix(_NOTE_SUFFIX).read_bytes(), type=_Note)
    if note.made_from != made_from:
        return False
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest() == note.sha256


def _made_from(segment: Segment) -> str:
    """What tells whether a side-car is of this segment and of today's schemas."""
    recipe = f"{LAYOUT} {reading_fingerprint()} {_shapes()} {segment.origin} {segment.sha256}"
    return sha256(recipe.encode()).hexdigest()


@cache
def _shapes() -> str:
    return "\n".join(map(str, relations().values()))
