"""The tables of past moments that are kept on disk: a file for each, of a bounded number and size.

A kept file is never changed. Beside it lies a note of what it is, written when it is whole, so that a file without a
note is what a process left that was killed; both are worth nothing but the time that it takes to make them again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from .database import remove
from .engine import Vector

VERSIONS_KEPT_MAX = 32
KEPT_SIZE_BYTES_MAX = 4 * 2**30
# Of the room that there is, most is left to the log; and nothing is begun where there is little.
KEPT_SHARE_MAX = 0.25
FREE_BYTES_MIN = 256 * 2**20

# Roughly, to tell what is quicker: to copy what was folded, or to fold it again.
CREATED_SECONDS = 0.1
COPIED_BYTES_PER_SECOND = 500e6
FOLDED_EVENTS_PER_SECOND = 5e6  # into one read model

_DATABASE = ".duckdb"
_NOTE = ".json"


class Version(msgspec.Struct, frozen=True, eq=False):
    """Tables of a moment: `names` are the read models that they are behind."""

    path: Path
    vector: Vector
    names: frozenset[str]
    size_bytes: int

    def is_of(self, vector: Vector, names: frozenset[str]) -> bool:
        """Whether these read models of that moment can be asked here."""
        return self.vector == vector and names <= self.names

    def leads_to(self, vector: Vector, names: frozenset[str]) -> bool:
        """Whether folding what came after makes these tables of that moment."""
        return names <= self.names and all(n <= vector.get(origin, 0) for origin, n in self.vector.items())

    def seconds_to(self, vector: Vector) -> float:
        """About how long it takes to make tables of that moment from a copy of these."""
        events = sum(vector.values()) - sum(self.vector.values())
        return self.size_bytes / COPIED_BYTES_PER_SECOND + _folding_seconds(events, self.names)


class _Note(msgspec.Struct, frozen=True):
    made_from: str
    vector: Vector
    names: list[str]


class Kept:
    """A folder of versions that were made from the same ingredients. For one thread at a time."""

    def __init__(self, folder: Path, made_from: str) -> None:
        self.folder = folder
        self._made_from = made_from
        self.begun = folder / f"begun{_DATABASE}"
        self._versions = self._found()

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions)

    @property
    def size_bytes(self) -> int:
        """How much room they take."""
        return sum(version.size_bytes for version in self._versions)

    def find(self, vector: Vector, names: frozenset[str]) -> Version | None:
        """The smallest version that has these read models of that moment."""
        fitting = (version for version in self._versions if version.is_of(vector, names))
        return self._used(min(fitting, key=lambda version: version.size_bytes, default=None))

    def nearest(self, vector: Vector, names: frozenset[str]) -> Version | None:
        """The version from which these tables are made the soonest; None if it is sooner to begin with nothing."""
        fitting = (version for version in self._versions if version.leads_to(vector, names))
        nearest = min(fitting, key=lambda version: version.seconds_to(vector), default=None)
        anew_seconds = CREATED_SECONDS + _folding_seconds(sum(vector.values()), names)
        if nearest is None or nearest.seconds_to(vector) > anew_seconds:
            return None
        return self._used(nearest)

    def begin(self, base: Version | None = None) -> Path:
        """Where to make a new version: a path without a file, or with a copy of `base`. Raises `OSError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clear()
        if shutil.disk_usage(self.folder).free < FREE_BYTES_MIN + (base.size_bytes if base else 0):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))
        if base is not None:
            shutil.copyfile(base.path, self.begun)
        return self.begun

    def clear(self) -> None:
        """Remove what was begun and will not be added."""
        remove(self.begun)
        self.begun.with_suffix(_NOTE).unlink(missing_ok=True)

    def add(self, vector: Vector, names: frozenset[str]) -> Version:
        """Keep what was begun as these tables, unless they are kept already. Raises `OSError`."""
        note = _Note(self._made_from, vector, sorted(names))
        name = "past_" + hashlib.sha256(msgspec.json.encode(note, order="sorted")).hexdigest()[:24]
        path = self.folder / f"{name}{_DATABASE}"
        for known in self._versions:
            if known.path == path:  # somebody may have it open
                self.clear()
                return known
        written = self.begun.with_suffix(_NOTE)
        written.write_bytes(msgspec.json.encode(note))
        self.begun.replace(path)
        written.replace(path.with_suffix(_NOTE))
        version = Version(path, vector, names, path.stat().st_size)
        self._versions = [*self._versions, version]
        return version

    def drop(self, version: Version) -> None:
        """Remove a version; who has the file open can go on reading."""
        self._versions = [one for one in self._versions if one is not version]
        version.path.with_suffix(_NOTE).unlink(missing_ok=True)
        remove(version.path)

    def tidy(self, may_go: Callable[[Version], bool]) -> None:
        """Drop the versions that were used the longest ago, where there are too many or they are too big.

        The one that was used last stays, whatever its size.
        """
        room_bytes = shutil.disk_usage(self.folder).free + self.size_bytes
        size_bytes_max = min(KEPT_SIZE_BYTES_MAX, int(room_bytes * KEPT_SHARE_MAX))
        for version in [one for one in self._versions[:-1] if may_go(one)]:
            if len(self._versions) <= VERSIONS_KEPT_MAX and self.size_bytes <= size_bytes_max:
                return
            self.drop(version)

    def drop_all(self, may_go: Callable[[Version], bool]) -> None:
        """Make room."""
        for version in [one for one in self._versions if may_go(one)]:
            self.drop(version)

    def _used(self, version: Version | None) -> Version | None:
        """Note that the version was used now: it comes last when the next has to go, after a restart, too."""
        if version is not None:
            self._versions = [*(one for one in self._versions if one is not version), version]
            with suppress(OSError):
                os.utime(version.path)
        return version

    def _found(self) -> list[Version]:
        """What an earlier process kept, the latest used last; whatever else lies in the folder goes."""
        if not self.folder.is_dir():
            return []
        versions = list(filter(None, map(self._noted, self.folder.glob(f"*{_NOTE}"))))
        known = {version.path.stem for version in versions}
        for left in self.folder.iterdir():
            if left.is_file() and left.stem not in known:
                with suppress(OSError):
                    left.unlink()
        return sorted(versions, key=lambda version: version.path.stat().st_mtime)

    def _noted(self, note_path: Path) -> Version | None:
        path = note_path.with_suffix(_DATABASE)
        try:
            note = msgspec.json.decode(note_path.read_bytes(), type=_Note)
            size_bytes = path.stat().st_size
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if note.made_from != self._made_from:
            return None
        return Version(path, note.vector, frozenset(note.names), size_bytes)


def _folding_seconds(events: int, names: frozenset[str]) -> float:
    return events * len(names) / FOLDED_EVENTS_PER_SECOND
