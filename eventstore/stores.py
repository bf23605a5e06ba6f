"""Where archives lie: a folder, or a bucket that speaks S3; both hold named objects, put and got as a whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Protocol

from .disk import Disk
from .errors import ArchiveDamaged, ArchiveUnavailable, InvalidArchive

S3_SCHEME = "s3://"


class Store(Protocol):
    """An archive's objects. A name is a relative path, as in `log/local/manifest.ndjson`."""

    place: str

    def put(self, name: str, data: bytes) -> None:
        """Make the object hold `data`, durably: who gets it sees old bytes or new. Raises `ArchiveUnavailable`."""

    def get(self, name: str, size_bytes_max: int) -> bytes | None:
        """The object's bytes; None if there is none. Raises `ArchiveUnavailable`; `ArchiveDamaged` if it is larger."""

    def delete(self, name: str) -> None:
        """Remove the object, if it is there. Raises `ArchiveUnavailable`."""

    def sizes(self, folder: str) -> dict[str, int]:
        """The names of all objects below a folder, and how many bytes each has. Raises `ArchiveUnavailable`."""


def open_store(place: str, disk: Disk | None = None) -> Store:
    """The store at a place as people write it: a folder, or `s3://bucket/prefix`.

    Raises `InvalidArchive`, or `ArchiveUnavailable` where a bucket's credentials are missing.
    """
    if not place or "\x00" in place:
        raise InvalidArchive(place, "it is empty" if not place else "it holds a zero byte")
    if place.startswith(S3_SCHEME):
        from .s3 import S3Store  # only who has such an archive needs the library

        return S3Store(place)
    if "://" in place:
        raise InvalidArchive(place, "of URLs, only s3:// is known")
    return FolderStore(Path(place).expanduser().absolute(), disk or Disk())


class FolderStore:
    """A folder; on another disk, best of all."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.place = str(folder)
        self._folder = folder
        self._disk = disk

    def put(self, name: str, data: bytes) -> None:
        """Write the file beside, sync it, and put it in place."""
        path = self._path(name)
        try:
            self._disk.make_folder(path.parent)
            self._disk.replace(path, data)
        except OSError as error:
            raise self._unavailable(name, error) from error

    def get(self, name: str, size_bytes_max: int) -> bytes | None:
        """The file's bytes."""
        try:
            data = self._disk.read(self._path(name), 0, size_bytes_max + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable(name, error) from error
        if len(data) > size_bytes_max:
            raise ArchiveDamaged(self.place, name, f"it has more than the {size_bytes_max} bytes that were archived")
        return data

    def delete(self, name: str) -> None:
        """Remove the file."""
        try:
            self._disk.unlink(self._path(name))
        except OSError as error:
            raise self._unavailable(name, error) from error

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below, and their sizes."""
        try:
            return dict(self._sizes(folder))
        except OSError as error:
            raise self._unavailable(folder, error) from error

    def _sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        for name in self._disk.names(self._path(folder)):
            below = f"{folder}/{name}"
            if self._disk.is_folder(self._path(below)):
                yield from self._sizes(below)
            else:
                with suppress(FileNotFoundError):
                    yield below, self._disk.size_bytes(self._path(below))

    def _path(self, name: str) -> Path:
        return self._folder / PurePosixPath(name)

    def _unavailable(self, name: str, error: OSError) -> ArchiveUnavailable:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"{os.strerror(error.errno)}; make room there"
        return ArchiveUnavailable(self.place, name, reason)
