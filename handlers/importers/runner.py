"""An import: files are read in a thread, chunk by chunk, and each chunk is published while the next is read.

Ids follow from what is imported, so whoever starts an interrupted import again continues it: what is there already
counts as duplicate. Chunks are published one after the other, so that the log keeps the order of the files. At most two
of them are in memory: the one on its way and the one being read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .found import Finding, Rejected
from .sources import Source, source_named

CHUNK_EVENTS_MAX = 1_000
CHUNK_BYTES_MAX = 4 * 2**20
REJECTIONS_SHOWN_MAX = 20
REASON_CHARS_MAX = 500


class Refused(NamedTuple):
    """A payload that the bus did not take: its position in the chunk, from 0, and why."""

    position: int
    reason: str


class Published(NamedTuple):
    """What became of a chunk: `new` and `duplicates` count what the bus holds now."""

    new: int
    duplicates: int
    refused: Sequence[Refused] = ()


Publish = Callable[[list[bytes]], Awaitable[Published]]


class Rejection(msgspec.Struct, frozen=True):
    """Something that was not imported. `where` is its place in the file; empty is the file as a whole."""

    path: str
    where: str
    reason: str


class Progress(NamedTuple):
    """How far an import is. `events` are durable; the bytes count what was read of all the files.

    `bytes_total` is 0 where nobody knows beforehand, as of a repository.
    """

    bytes_read: int
    bytes_total: int
    events: int
    rejected: int


@dataclass(kw_only=True)
class Summary:
    """What an import did. `events` are those that are now in the log: the new ones and the duplicates.

    `rejections` shows the first of what was rejected, `rejected` counts all of it. `notes` is what the caller should
    know besides.
    """

    source: str
    events: int = 0
    new: int = 0
    duplicates: int = 0
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, chunk: Chunk, published: Published) -> None:
        """Count what became of `chunk`."""
        self.new += published.new
        self.duplicates += published.duplicates
        self.events = self.new + self.duplicates
        refused = [Rejection(*chunk.places[refusal.position], refusal.reason) for refusal in published.refused]
        self.rejected += len(chunk.rejections) + len(refused)
        self.rejections += (chunk.rejections + refused)[: REJECTIONS_SHOWN_MAX - len(self.rejections)]


async def run_import(
    source: str,
    paths: Sequence[Path],
    options: Mapping[str, str | None],
    publish: Publish,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    chunk_events_max: int = CHUNK_EVENTS_MAX,
) -> Summary:
    """Import the files at `paths`, and those in the folders among them.

    `publish` returns when a chunk, of at most `chunk_events_max` payloads, is durable; what it raises ends the import.
    Raises `ImportFailed` before anything is published; what is wrong inside a file is in the summary.
    """
    kind = source_named(source)
    settings, files = kind.parsed(options), kind.files(paths)
    bytes_total = sum(file.stat().st_size for file in files if file.is_file())
    summary = Summary(source=source, notes=kind.notes(**settings))
    with closing(_chunks(kind, files, settings, chunk_events_max)) as chunks, ThreadPoolExecutor(1) as reader:
        read_next = partial(asyncio.get_running_loop().run_in_executor, reader, next, chunks, None)
        following = read_next()
        while (chunk := await following) is not None:
            following = read_next()
            summary.add(chunk, await publish(chunk.payloads) if chunk.payloads else Published(0, 0))
            if on_progress:
                on_progress(Progress(chunk.bytes_read, bytes_total, summary.events, summary.rejected))
    return summary


@dataclass
class Chunk:
    """What is read and published at one time, and how many bytes had been read at its end."""

    payloads: list[bytes] = field(default_factory=list)
    places: list[tuple[str, str]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    payload_bytes: int = 0
    bytes_read: int = 0

    def add(self, path: Path, finding: Finding) -> None:
        """Take in one thing that was found in the file at `path`."""
        if isinstance(finding, Rejected):
            self.rejections.append(Rejection(str(path), finding.where, finding.reason[:REASON_CHARS_MAX]))
        else:
            self.payloads.append(finding.payload)
            self.places.append((str(path), finding.where))
            self.payload_bytes += len(finding.payload)

    def full(self, events_max: int) -> bool:
        """Whether it is time to publish it."""
        held = len(self.payloads) + len(self.rejections)
        return held >= events_max or self.payload_bytes >= CHUNK_BYTES_MAX


def _chunks(
    source: Source, files: list[Path], settings: Mapping[str, Any], events_max: int
) -> Generator[Chunk, None, None]:
    chunk = Chunk()
    earlier_bytes = 0
    for path in files:
        try:
            with source.opened(path) as file:
                for finding in source.read(file, path.stem, **settings):
                    chunk.add(path, finding)
                    chunk.bytes_read = earlier_bytes + file.tell()
                    if chunk.full(events_max):
                        yield chunk
                        chunk = Chunk(bytes_read=chunk.bytes_read)
                earlier_bytes += file.tell()
        except OSError as error:
            chunk.add(path, Rejected("", f"it can't be read: {error.strerror or error}"))
        chunk.bytes_read = earlier_bytes
    yield chunk
