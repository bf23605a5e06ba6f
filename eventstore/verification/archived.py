"""Verifying an archive: what it holds of the log is read as if it lay here, and the rest against its catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from ..archive.catalogue import (
    OBJECT_BYTES_MAX,
    ArchivedOrigin,
    OpenPart,
    file_object,
    got,
    manifest_of,
    read_catalogue,
)
from ..disk import Disk
from ..errors import ArchiveDamaged
from ..line import Chain
from ..manifest import Entry
from ..stores import Store
from .files import Watch, unwatched, verify
from .findings import Finding
from .lines import locate

LOG = Path("log")
REMEDY = "`rookery archive --verify` copies it anew from a log that has it"


def verify_archive(store: Store, *, deep: bool = False, watch: Watch = unwatched) -> Iterator[Finding]:
    """What is wrong with an archive: of its log as `verify` tells it, and which objects beside it were changed.

    Raises `ArchiveUnavailable`, `NoArchive` where there is none, and `ArchiveDamaged` where its catalogue is.
    """
    catalogue = read_catalogue(store)
    disk = StoredFiles(store)
    for finding in verify(LOG, origins=catalogue.origins.keys(), deep=deep, disk=disk, watch=watch):
        if finding.kind != "segment_unknown":  # the next archiving, which will name it, broke off
            yield msgspec.structs.replace(finding, file=f"{LOG}/{finding.file}", remedy=REMEDY)
    for origin, archived in catalogue.origins.items():
        yield from _ends(store, disk, origin, archived)
    for name, kept in catalogue.files.items():
        try:
            got(store, file_object(name, kept), kept)
        except ArchiveDamaged as damage:
            yield _finding("", damage)


def bytes_to_verify_in(store: Store, *, deep: bool = False) -> int:
    """About how many bytes `verify_archive` will tell its watch of. Raises `ArchiveUnavailable`."""
    return sum(store.sizes(str(LOG)).values()) * (2 if deep else 1)


class StoredFiles(Disk):
    """A store's objects as files that are only read; the latest is kept, for who reads it piece by piece."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._latest: tuple[str, bytes] = ("", b"")

    def names(self, folder: Path) -> list[str]:
        """The names right below."""
        below = (Path(name) for name in self._sizes)
        return sorted({path.relative_to(folder).parts[0] for path in below if path.is_relative_to(folder)})

    def is_folder(self, path: Path) -> bool:
        """Whether objects lie below."""
        return any(Path(name).is_relative_to(path) and Path(name) != path for name in self._sizes)

    def exists(self, path: Path) -> bool:
        """Whether it is there, or below."""
        return str(path) in self._sizes or self.is_folder(path)

    def size_bytes(self, path: Path) -> int:
        """How long it is. Raises `FileNotFoundError`."""
        if str(path) not in self._sizes:
            raise FileNotFoundError(path)
        return self._sizes[str(path)]

    def read(self, path: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
        """Its bytes. Raises `FileNotFoundError`, and as the store does."""
        name = str(path)
        if self._latest[0] != name:
            data = self._store.get(name, OBJECT_BYTES_MAX)
            if data is None:
                raise FileNotFoundError(path)
            self._latest = (name, data)
        data = self._latest[1]
        return data[offset:] if size_bytes < 0 else data[offset : offset + size_bytes]

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self._store.sizes(str(LOG)) | self._store.sizes("open")


def _ends(store: Store, disk: StoredFiles, origin: str, archived: ArchivedOrigin) -> Iterator[Finding]:
    """Hold the manifest and the lines that were not sealed against the catalogue."""
    try:
        entries = [msgspec.json.decode(line, type=Entry) for line in manifest_of(store, origin, archived).splitlines()]
    except ArchiveDamaged as damage:
        yield _finding(origin, damage)
        return
    except msgspec.MsgspecError:
        return  # the catalogue tells of the same bytes: `verify` has told what is wrong with them
    chain = Chain(entries[-1].chain or None, begun=bool(entries[-1].chain)) if entries else Chain()
    for part in archived.open:
        yield from _open_part(store, disk, origin, part, chain)
        chain = Chain(None)


def _open_part(store: Store, disk: StoredFiles, origin: str, part: OpenPart, chain: Chain) -> Iterator[Finding]:
    name = part.object(origin)
    try:
        got(store, name, part.kept)
    except ArchiveDamaged as damage:
        found = locate(Path(name), part.first, part.last, disk, chain)
        yield _finding(origin, damage, found.what, found.first, found.last)


def _finding(
    origin: str, damage: ArchiveDamaged, more: str = "", first: int | None = None, last: int | None = None
) -> Finding:
    what = f"{damage.reason}{more}"
    return Finding(
        kind="archive_damaged", origin=origin, file=damage.object, what=what, first=first, last=last, remedy=REMEDY
    )
