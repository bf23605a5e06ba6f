"""The catalogue: what an archive holds, written last, so that what it names is there and whole.

archive.json                                        the catalogue
log/<origin>/manifest.ndjson                        the origin's manifest, which only grows
log/<origin>/00000000000000000001.ndjson.zst        a sealed segment, byte by byte as the log has it
open/<origin>/<first>-<last>.ndjson.zst             the lines that were not sealed yet; the next archiving replaces them
files/<name>                                        what else belongs to the node and can't be derived
"""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated

import msgspec

from ..cold import verified
from ..errors import ArchiveDamaged, NoArchive, ObjectMissing
from ..stores import Store

NAME = "archive.json"
FOLDERS = ("log", "open", "files")
FORMAT = 1
CATALOGUE_BYTES_MAX = 16 * 2**20
OBJECT_BYTES_MAX = 2**30  # of one object: what claims to be larger is not what we wrote

Origin = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127})?$")]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Size = Annotated[int, msgspec.Meta(ge=0, le=OBJECT_BYTES_MAX)]


class Kept(msgspec.Struct, frozen=True):
    """An object's size and hash."""

    size_bytes: Size
    sha256: Digest


def kept_of(data: bytes) -> Kept:
    """The size and the hash of these bytes."""
    return Kept(len(data), sha256(data).hexdigest())


class OpenPart(msgspec.Struct, frozen=True):
    """Lines that were not sealed. `lines_bytes` is their size before compression."""

    first: int
    last: int
    lines_bytes: Size
    kept: Kept

    def object(self, origin: str) -> str:
        """What it is called."""
        return f"open/{origin}/{self.first:020}-{self.last:020}.ndjson.zst"


class ArchivedOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """How far an origin is archived: `segments` sealed ones, then `open` up to `last`, a line whose hash is `head`."""

    segments: int
    sealed_last: int
    manifest: Kept
    open: tuple[OpenPart, ...]
    last: int
    head: Digest
    bytes: int
    compressed_bytes: int


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """What an archive holds. `bytes` count lines as they were before compression."""

    format: int
    written_at: datetime
    origins: dict[Origin, ArchivedOrigin]
    files: dict[FileName, Kept]

    @property
    def vector(self) -> dict[str, int]:
        """How far each origin goes."""
        return {name: origin.last for name, origin in self.origins.items()}

    def replaceable(self) -> set[str]:
        """The objects that a later archiving may leave out."""
        open_parts = {part.object(name) for name, origin in self.origins.items() for part in origin.open}
        return open_parts | {file_object(name, kept) for name, kept in self.files.items()}


def file_object(name: str, kept: Kept) -> str:
    """What a file is called: by its content, so that a new one never overwrites what the catalogue names."""
    return f"files/{kept.sha256[:16]}/{name}"


def manifest_object(origin: str) -> str:
    """What an origin's manifest is called."""
    return f"log/{origin}/manifest.ndjson"


def read_catalogue(store: Store) -> Catalogue:
    """What the archive holds. Raises `NoArchive`, `ArchiveDamaged` or `ArchiveUnavailable`."""
    data = store.get(NAME, CATALOGUE_BYTES_MAX)
    if data is None:
        raise NoArchive(store.place, f"{NAME} is not there")
    try:
        found = msgspec.json.decode(data, type=Catalogue)
    except (msgspec.MsgspecError, re.error) as error:
        raise ArchiveDamaged(store.place, NAME, f"it is no catalogue ({error})") from None
    if found.format != FORMAT:
        raise ArchiveDamaged(store.place, NAME, f"its format is {found.format}, and this version reads {FORMAT}")
    return found


def write_catalogue(store: Store, catalogue: Catalogue) -> None:
    """Put it in the place of the one before, and read it back."""
    put_verified(store, NAME, msgspec.json.encode(catalogue))


def put_verified(store: Store, name: str, data: bytes) -> Kept:
    """Put an object, and read it back. Raises `ArchiveUnavailable` or `ArchiveDamaged`."""
    kept = kept_of(data)
    store.put(name, data)
    verified(store, name, kept.size_bytes, kept.sha256)
    return kept


def got(store: Store, name: str, kept: Kept) -> bytes:
    """An object's bytes, which are those that were archived. Raises `ArchiveDamaged` or `ArchiveUnavailable`."""
    return verified(store, name, kept.size_bytes, kept.sha256)


def manifest_of(store: Store, name: str, origin: ArchivedOrigin) -> bytes:
    """The manifest's beginning, which tells of the archived segments: it may have grown since the catalogue's time."""
    data = store.get(manifest_object(name), OBJECT_BYTES_MAX)
    if data is None:
        raise ObjectMissing(store.place, manifest_object(name))
    beginning = data[: origin.manifest.size_bytes]
    if kept_of(beginning) != origin.manifest:
        raise ArchiveDamaged(store.place, manifest_object(name), "its bytes were changed")
    return beginning
