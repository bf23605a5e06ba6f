"""Archiving: what the log holds at one moment is copied to cold storage, each object read back once it is there.

Sealed segments are copied once, and again only where the copy went missing. Nothing that the catalogue names is
overwritten with anything else, so that an archiving that breaks off anywhere leaves the archive as it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ..cold import segment_object
from ..errors import (
    REMEDY,
    ArchiveDamaged,
    ArchiveUnavailable,
    ForeignArchive,
    LogClosed,
    LogDamaged,
    NoArchive,
    ObjectsLost,
)
from ..frames import compress
from ..line import Chain
from ..log import Log
from ..origin import Contents
from ..parts import SealedPart
from ..stores import Store
from .catalogue import (
    FOLDERS,
    FORMAT,
    NAME,
    ArchivedOrigin,
    Catalogue,
    Kept,
    OpenPart,
    file_object,
    got,
    kept_of,
    manifest_object,
    put_verified,
    read_catalogue,
    write_catalogue,
)

logger = logging.getLogger(__name__)


class Progress(NamedTuple):
    """How far some work with an archive is: `done` of `total` objects."""

    doing: str
    done: int
    total: int


# Called before each object. It may take its time, to leave the processor to others, and raise, to stop the work there.
Watch = Callable[[Progress], object]


class Archived(NamedTuple):
    """What an archive holds now, and what of it was copied this time."""

    catalogue: Catalogue
    objects: int
    bytes: int


def unwatched(progress: Progress) -> None:
    """Nobody looks."""


def archive(
    log: Log,
    store: Store,
    files: Mapping[str, Path] | None = None,
    *,
    verify: bool = False,
    watch: Watch = unwatched,
) -> Archived:
    """Copy to the store what it does not hold yet of the log, its open end too, and `files` beside it.

    Of what was copied before, name and size are looked at; with `verify`, every byte. What is missing or damaged is
    copied anew. Raises `ObjectsLost` at the end where that can't be, because this log had trimmed it; any other
    `ArchiveError`, or `LogDamaged` where what should be copied is not what was written, leaves the archive as it was.
    """
    contents = {name: held for name, held in log.contents().items() if held.last}
    before = _before(log, store, verify)
    for name, known in before.origins.items() if before else ():
        _refuse_foreign(log, store, name, contents.get(name), known)
    copying = _Copying(log, store, before, verify, watch)
    return copying.run(contents, files or {})


class _Copying:
    """One archiving."""

    def __init__(self, log: Log, store: Store, before: Catalogue | None, verify: bool, watch: Watch) -> None:
        self._log = log
        self._store = store
        self._before = before
        self._verify = verify
        self._watch = watch
        self._done = self._total = self._objects = self._bytes = 0
        self._lost: list[str] = []
        self._sizes: dict[str, int] = {}

    def run(self, contents: Mapping[str, Contents], files: Mapping[str, Path]) -> Archived:
        held = contents.values()
        if self._before and not self._verify:
            self._sizes = {name: size for folder in FOLDERS for name, size in self._store.sizes(folder).items()}
        self._total = sum(len(one.sealed) + len(one.plain) + 1 for one in held) + len(files) + 1
        catalogue = Catalogue(
            format=FORMAT,
            origins={name: self._origin(name, one) for name, one in contents.items()},
            files={name: self._file(name, path) for name, path in files.items()},
            written_at=datetime.now(UTC),
        )
        self._tell(NAME)
        self._ensure_alone()
        write_catalogue(self._store, catalogue)
        self._clear(catalogue)
        if self._lost:
            raise ObjectsLost(self._store.place, tuple(self._lost))
        return Archived(catalogue, self._objects, self._bytes)

    def _origin(self, name: str, held: Contents) -> ArchivedOrigin:
        known = self._before.origins.get(name) if self._before else None
        for index, part in enumerate(held.sealed):
            self._segment(name, part, is_known=known is not None and index < known.segments)
        manifest = kept_of(held.manifest)
        known_manifest = known.manifest if known else None
        same = manifest if manifest == known_manifest else None
        self._ensure(manifest_object(name), same, lambda: self._manifest(held))
        entries = [part.entry for part in held.sealed]
        open_parts = tuple(self._open(name, first, last, known) for first, last in held.plain)
        return ArchivedOrigin(
            segments=len(entries),
            sealed_last=entries[-1].last if entries else 0,
            manifest=manifest,
            open=open_parts,
            last=held.last,
            head=_line_hash(self._log, name, held.last),
            bytes=sum(entry.bytes for entry in entries) + sum(part.lines_bytes for part in open_parts),
            compressed_bytes=sum(entry.compressed_bytes for entry in entries)
            + sum(part.kept.size_bytes for part in open_parts),
        )

    def _manifest(self, held: Contents) -> bytes:
        self._ensure_alone()
        return held.manifest

    def _segment(self, name: str, part: SealedPart, *, is_known: bool) -> None:
        wanted = segment_object(name, part.entry.segment)
        kept = Kept(part.entry.compressed_bytes, part.entry.sha256)
        try:
            self._ensure(wanted, kept if is_known else None, part.data)
        except ArchiveDamaged as damage:
            if damage.place != self._store.place or part.is_here:
                raise
            # It stays in the catalogue: whoever brings it back has a whole archive again.
            self._lost.append(wanted)

    def _open(self, name: str, first: int, last: int, known: ArchivedOrigin | None) -> OpenPart:
        found = next((part for part in known.open if (part.first, part.last) == (first, last)), None) if known else None
        lines = _Lines(self._log, name, first, last)
        wanted = OpenPart(first, last, 0, Kept(0, ""))
        kept = self._ensure(wanted.object(name), found.kept if found else None, lines.compressed)
        return found if found and kept == found.kept else OpenPart(first, last, lines.size_bytes, kept)

    def _file(self, name: str, path: Path) -> Kept:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ArchiveUnavailable(self._store.place, name, f"{path}: {error.strerror or error}") from error
        kept = kept_of(data)
        is_there = self._before is not None and self._before.files.get(name) == kept
        return self._ensure(file_object(name, kept), kept if is_there else None, lambda: data)

    def _ensure(self, name: str, there: Kept | None, data: Callable[[], bytes]) -> Kept:
        """Copy an object, unless it is there; `there` says what it should be."""
        self._tell(name)
        if there is not None and self._is_whole(name, there):
            return there
        kept = put_verified(self._store, name, data())
        self._objects += 1
        self._bytes += kept.size_bytes
        return kept

    def _is_whole(self, name: str, kept: Kept) -> bool:
        if not self._verify:
            return self._sizes.get(name) == kept.size_bytes
        try:
            got(self._store, name, kept)
        except ArchiveDamaged as damage:
            logger.warning("%s", damage)
            return False
        return True

    def _ensure_alone(self) -> None:
        """Raises `ArchiveUnavailable` where somebody else has archived there since this archiving began.

        The objects that were whole then may be gone, and what is to be overwritten may be newer.
        """
        try:
            now = read_catalogue(self._store)
        except NoArchive:
            now = None
        except ArchiveDamaged:
            if self._before is not None:
                raise
            now = None  # it is begun anew
        if now != self._before:
            raise ArchiveUnavailable(self._store.place, NAME, "somebody else archived there meanwhile; try again")

    def _tell(self, name: str) -> None:
        self._watch(Progress(name, self._done, self._total))
        self._done += 1

    def _clear(self, catalogue: Catalogue) -> None:
        """Remove what only the catalogue before named. What stays costs room and harms nobody."""
        for name in sorted(self._before.replaceable() - catalogue.replaceable() if self._before else ()):
            try:
                self._store.delete(name)
            except ArchiveUnavailable as error:
                logger.warning("%s stays in the archive: %s", name, error)


class _Lines:
    """A run of lines, each held against the ones before it, and their size once they were compressed."""

    def __init__(self, log: Log, name: str, first: int, last: int) -> None:
        self.size_bytes = 0
        self._log = log
        self._place = (name, first, last)

    def compressed(self) -> bytes:
        """A file as a sealed segment's. Raises `LogDamaged`, or `LogClosed` where the log was closed meanwhile."""
        return b"".join(compress(self._counted()))

    def _counted(self) -> Iterator[bytes]:
        name, n, last = self._place
        chain = Chain(self._log.chain_at(name, n - 1))
        for record in self._log.read(name, after=n - 1, limit=last - n + 1):
            if not chain.follow(record.line):
                raise LogDamaged(self._log.folder / name, f"{name}:{record.n} is not what was appended", REMEDY)
            self.size_bytes += len(record.line) + 1
            n = record.n + 1
            yield record.line
        if n != last + 1:
            raise LogClosed(self._log.folder)


def _before(log: Log, store: Store, verify: bool) -> Catalogue | None:
    """What is archived there already. Where this log's own archive has lost its catalogue, `verify` makes another."""
    tierings = {name: log.tiering(name) for name in log.origins()}
    ours = {name: known.archived for name, known in tierings.items() if known and known.place == store.place}
    try:
        return read_catalogue(store)
    except NoArchive:
        if ours and not verify:
            held = ", ".join(f"{name} up to {archived}" for name, archived in ours.items())
            reason = f"it held {held}, and is empty now: is its disk mounted? If it is lost, `rookery archive --verify`"
            raise ArchiveUnavailable(store.place, NAME, f"{reason} begins it anew") from None
    except ArchiveDamaged:
        if not ours or not verify:
            raise
    return None


def _refuse_foreign(log: Log, store: Store, name: str, held: Contents | None, known: ArchivedOrigin) -> None:
    """Raises `ForeignArchive` unless the log goes on where the archive ends."""
    if held is None:
        raise ForeignArchive(store.place, name, f"it holds events of {name!r}, of which this log has none")
    if held.last < known.last:
        raise ForeignArchive(store.place, name, f"it holds {name} up to {known.last}, and this log ends at {held.last}")
    if kept_of(held.manifest[: known.manifest.size_bytes]) != known.manifest:
        raise ForeignArchive(store.place, name, f"its segments of {name} are others")
    if _line_hash(log, name, known.last) != known.head:
        raise ForeignArchive(store.place, name, f"it has another event at {name}:{known.last}")


def _line_hash(log: Log, name: str, n: int) -> str:
    record = log.get(name, n)
    if record is None:
        raise LogClosed(log.folder)
    return sha256(record.line).hexdigest()
