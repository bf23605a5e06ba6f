"""Restoring: a log is made again from nothing but an archive, each byte held against its hash on the way."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path

import zstandard

from ..cold import ColdTier, segment_object, verified
from ..disk import Disk
from ..errors import ArchiveDamaged, LogDamaged, RestoreFailed, RestoreRefused, RestoreUnfinished
from ..manifest import NAME as MANIFEST
from ..manifest import Entry, Manifest
from ..parts import Part, plain_name
from ..recovery import look
from ..stores import Store
from .archiving import Progress, Watch, unwatched
from .catalogue import (
    NAME,
    ArchivedOrigin,
    Catalogue,
    OpenPart,
    got,
    manifest_object,
    manifest_of,
    read_catalogue,
)

UNFINISHED_SUFFIX = ".restoring"


def restore(store: Store, folder: Path, *, disk: Disk | None = None, watch: Watch = unwatched) -> Catalogue:
    """Make the log in `folder` from the archive; it is there when all of it is, and not before.

    One that was interrupted goes on where it was. Raises `ArchiveError`: `RestoreRefused` where a log is already.
    """
    disk = disk or Disk()
    if disk.names(folder):
        raise RestoreRefused(folder)
    catalogue = read_catalogue(store)
    unfinished = _unfinished(folder)
    if foreign := set(disk.names(unfinished)) - catalogue.origins.keys():
        raise RestoreRefused(unfinished / min(foreign))
    try:
        disk.make_folder(unfinished)
        _Restoring(store, catalogue, unfinished, disk, watch).run()
        disk.rename(unfinished, folder)
        disk.fsync_folder(folder.parent)
    except OSError as error:
        raise RestoreFailed(folder, error.strerror or str(error)) from error
    return catalogue


def ensure_restored(folder: Path) -> None:
    """Raises `RestoreUnfinished` where there is no log in `folder`, and half of one that is to be restored there."""
    if _unfinished(folder).exists() and not Disk().names(folder):
        raise RestoreUnfinished(_unfinished(folder))


class _Restoring:
    """One restoring."""

    def __init__(self, store: Store, catalogue: Catalogue, folder: Path, disk: Disk, watch: Watch) -> None:
        self._store = store
        self._catalogue = catalogue
        self._folder = folder
        self._disk = disk
        self._watch = watch
        self._done = 0
        origins = catalogue.origins.values()
        self._total = sum(origin.segments + len(origin.open) for origin in origins)

    def run(self) -> None:
        for name, origin in self._catalogue.origins.items():
            folder = self._folder / name
            self._disk.make_folder(folder)
            entries = self._manifest(folder, name, origin)
            wanted = {
                MANIFEST,
                *(entry.segment for entry in entries),
                *(plain_name(part.first) for part in origin.open),
            }
            for stray in set(self._disk.names(folder)) - wanted:
                self._disk.unlink(folder / stray)
            for entry in entries:
                self._segment(folder, name, entry)
            for part in origin.open:
                self._open(folder, name, part)
            self._check(folder, name, origin)

    def _manifest(self, folder: Path, name: str, origin: ArchivedOrigin) -> list[Entry]:
        """Put the manifest in place; its chain of hashes is checked when it is read."""
        self._disk.replace(folder / MANIFEST, manifest_of(self._store, name, origin))
        try:
            entries = Manifest(folder / MANIFEST, self._disk).entries
        except LogDamaged as damage:
            raise ArchiveDamaged(self._store.place, manifest_object(name), damage.what) from None
        if len(entries) != origin.segments:
            reason = f"it tells of {len(entries)} segments and should of {origin.segments}"
            raise ArchiveDamaged(self._store.place, manifest_object(name), reason)
        return entries

    def _segment(self, folder: Path, name: str, entry: Entry) -> None:
        path, wanted = folder / entry.segment, segment_object(name, entry.segment)
        self._tell(wanted)
        if not self._is_there(path, entry):
            self._disk.replace(path, verified(self._store, wanted, entry.compressed_bytes, entry.sha256))

    def _is_there(self, path: Path, entry: Entry) -> bool:
        """Whether an attempt before this one has fetched it."""
        if not self._disk.exists(path) or self._disk.size_bytes(path) != entry.compressed_bytes:
            return False
        return sha256(self._disk.read(path)).hexdigest() == entry.sha256

    def _open(self, folder: Path, name: str, part: OpenPart) -> None:
        self._tell(part.object(name))
        data = got(self._store, part.object(name), part.kept)
        try:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
                lines = reader.read(part.lines_bytes)
        except zstandard.ZstdError as error:
            raise ArchiveDamaged(self._store.place, part.object(name), f"it does not decode ({error})") from None
        self._disk.replace(folder / plain_name(part.first), lines)

    def _check(self, folder: Path, name: str, origin: ArchivedOrigin) -> None:
        """Hold the whole against what the catalogue says of it."""
        try:
            found = look(folder, self._disk, ColdTier(name, folder, self._disk))
            parts: list[Part] = [*found.sealed, *found.plain]
            last = parts[-1].line(found.last)
        except LogDamaged as damage:
            raise ArchiveDamaged(self._store.place, NAME, f"what it names does not fit: {damage.what}") from None
        if found.last != origin.last or sha256(last).hexdigest() != origin.head:
            raise ArchiveDamaged(self._store.place, NAME, f"what it names of {name} does not end at {origin.last}")

    def _tell(self, name: str) -> None:
        self._watch(Progress(name, self._done, self._total))
        self._done += 1


def _unfinished(folder: Path) -> Path:
    return folder.with_name(folder.name + UNFINISHED_SUFFIX)
