"""The cold tier: segments that only the archive has are fetched when somebody reads them, and let go of again.

A segment that is fetched comes to lie where it lay before, so that whatever reads the log's files reads it too. What
may be fetched, and from where, stands in `archive.json` beside the manifest; any other file that is gone is a damage.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from threading import RLock

import msgspec

from .disk import Disk
from .errors import ArchiveDamaged, ColdLimit, LogDamaged, LogWriteFailed, ObjectMissing
from .manifest import Entry
from .stores import Store, open_store

NAME = "archive.json"
FETCHED_BYTES_MAX = 2 * 2**30  # of segments that the archive has as well
FREE_BYTES_MIN = 128 * 2**20
LENT_SECONDS = 120.0  # for so long, a path that was handed out is good

_SEALED_NAME = re.compile(r"[0-9]{20}\.ndjson\.zst")


class Tiering(msgspec.Struct, frozen=True, kw_only=True):
    """What an origin's archive holds: the lines up to `archived`, of which those up to `cold` may be gone from here."""

    place: str
    archived: int
    verified_at: datetime
    cold: int = 0


class ColdTier:
    """One origin's segments in the archive. Any thread may call it; one of them fetches at a time.

    The log's writer lets go of whatever is not needed; a reader beside it, only of what it fetched itself.
    """

    def __init__(self, origin: str, folder: Path, disk: Disk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.owned = False
        self._origin = origin
        self._folder = folder
        self._disk = disk
        self._clock = clock
        self._using = RLock()
        self._fetched: dict[str, float] = {}  # name: when it came, the oldest first
        self._lent: dict[str, float] = {}  # name: when its path was handed out
        self._store: Store | None = None

    def tiering(self) -> Tiering | None:
        """What stands beside the manifest. Raises `LogDamaged`."""
        path = self._folder / NAME
        try:
            return msgspec.json.decode(self._disk.read(path), type=Tiering)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            remedy = "it says which archive has this log's older segments: restore it from a backup"
            raise LogDamaged(path, f"it is not what was written ({error})", remedy) from None

    def note(self, tiering: Tiering) -> None:
        """Write down what the archive holds. Raises `OSError`."""
        self._disk.replace(self._folder / NAME, msgspec.json.encode(tiering))

    def lend(self, entry: Entry) -> Path:
        """The segment's file, for somebody who opens it by its path; fetched first if it is not here."""
        with self._using:
            path = self._folder / entry.segment
            if not self._disk.exists(path):
                self.fetch(entry)
            self._lent[entry.segment] = self._clock()
            return path

    def fetch(self, entry: Entry) -> None:
        """Bring the segment back. Raises `FileNotFoundError` if it should be here, `ArchiveError`, `LogWriteFailed`."""
        with self._using:
            path = self._folder / entry.segment
            if self._disk.exists(path):
                return
            found = self.tiering()
            if found is None or entry.last > found.cold:
                raise FileNotFoundError(path)
            self._make_room(entry, found)
            self._keep(path, self._got(entry, found))
            self._fetched[entry.segment] = self._clock()

    def let_go(self, bytes_max: int, tiering: Tiering) -> int:
        """Remove files that the archive has until the rest takes `bytes_max`; returns how many bytes are gone.

        Those whose paths were handed out just now stay. Raises `ColdLimit` where that is too much for what is asked.
        """
        with self._using:
            sizes = self._cold_files(tiering)
            held_bytes = before_bytes = sum(sizes.values())
            for name in sorted(sizes, key=lambda name: self._fetched.get(name, 0.0)):
                if held_bytes > bytes_max and not self._is_lent(name):
                    self._disk.unlink(self._folder / name)
                    self._fetched.pop(name, None)
                    held_bytes -= sizes[name]
            if held_bytes > bytes_max > 0:
                raise ColdLimit(FETCHED_BYTES_MAX)
            return before_bytes - held_bytes

    def _make_room(self, entry: Entry, tiering: Tiering) -> None:
        """What is fetched must not be what fills the disk."""
        self.let_go(FETCHED_BYTES_MAX - entry.compressed_bytes, tiering)
        needed_bytes = entry.compressed_bytes + FREE_BYTES_MIN
        if self._disk.free_bytes(self._folder) < needed_bytes:
            self.let_go(0, tiering)
        if (free_bytes := self._disk.free_bytes(self._folder)) < needed_bytes:
            reason = f"it is in the archive, and only {free_bytes / 2**20:.0f} MiB are free to fetch it"
            raise LogWriteFailed(self._folder / entry.segment, reason)

    def _is_lent(self, name: str) -> bool:
        return self._clock() - self._lent.get(name, -LENT_SECONDS) < LENT_SECONDS

    def _cold_files(self, tiering: Tiering) -> dict[str, int]:
        """The sizes of the files that are here, that need not be, and that this object may remove."""
        sizes = {}
        for name in self._disk.names(self._folder):
            if (
                _SEALED_NAME.fullmatch(name)
                and int(name[:20]) <= tiering.cold
                and (self.owned or name in self._fetched)
            ):
                with suppress(FileNotFoundError):
                    sizes[name] = self._disk.size_bytes(self._folder / name)
        return sizes

    def _got(self, entry: Entry, tiering: Tiering) -> bytes:
        if self._store is None or self._store.place != tiering.place:
            self._store = open_store(tiering.place, self._disk)
        return verified(self._store, segment_object(self._origin, entry.segment), entry.compressed_bytes, entry.sha256)

    def _keep(self, path: Path, data: bytes) -> None:
        """Put it where it lay. Another process may be doing the same: each has a name of its own until the end."""
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            self._disk.replace(unfinished, data)
            self._disk.rename(unfinished, path)
        except OSError as error:
            raise LogWriteFailed(path, error.strerror or str(error)) from error


def segment_object(origin: str, segment: str) -> str:
    """What a segment is called in an archive."""
    return f"log/{origin}/{segment}"


def verified(store: Store, name: str, size_bytes: int, digest: str) -> bytes:
    """The object's bytes, which are those that were archived. Raises `ArchiveDamaged` or `ArchiveUnavailable`."""
    data = store.get(name, size_bytes)
    if data is None:
        raise ObjectMissing(store.place, name)
    if len(data) != size_bytes:
        raise ArchiveDamaged(store.place, name, f"it has {len(data)} bytes and should have {size_bytes}")
    if sha256(data).hexdigest() != digest:
        raise ArchiveDamaged(store.place, name, "its bytes were changed")
    return data
