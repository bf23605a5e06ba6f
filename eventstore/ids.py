"""The ids that an origin's log holds: a hash table on disk, so that an event delivered again is recognised.

Derived and disposable. It maps the hash of an id to the n's that may have it; whoever asks looks at the line itself,
so a collision, or an entry of a line that was cut off again, does no harm. Only a missing entry would, hence the
stamp: up to which n the table is known to be on stable storage. What comes after it is filled in from the log on open.

The table is a row of open-addressing tables, each four times as large as the one before: nothing is ever rehashed, a
look-up touches a few words per table, and ten million ids take four tables and 180 MB of disk. The memory is the
kernel's page cache, handed back at each checkpoint.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from ..schemas import decode
from .disk import Disk
from .line import Letter, Record

_SLOT_BYTES = 8
_FIRST_TABLE_BITS = 18
_GROWTH_BITS = 2
_N_BITS = 40
_N_MASK = (1 << _N_BITS) - 1
_LOAD_MAX = 0.6
_STAMP = "stamp.json"


def event_key(id: str) -> int:
    """The hash of an event's id."""
    return int.from_bytes(blake2b(id.encode(), digest_size=8).digest(), "little")


def letter_key(letter: Letter) -> int:
    """The hash of what was kept whole, which has no id that counts: its bytes on its subject are its identity."""
    digest = blake2b(letter.natssubject.encode() + b"\n" + letter.undecodable, digest_size=8, person=b"letter")
    return int.from_bytes(digest.digest(), "little")


def record_key(record: Record) -> int:
    """The hash by which a line of the log is found again."""
    letter = record.letter
    return event_key(decode(record.payload).id) if letter is None else letter_key(letter)


def is_event(record: Record, id: str) -> bool:
    """Whether the line is the event with this id."""
    return record.letter is None and decode(record.payload).id == id


class Stamp(msgspec.Struct, frozen=True):
    """Up to which line the tables are complete on disk, that line's key, and how full the last table is."""

    n: int
    key: int
    tables: int
    used: int


class IdIndex:
    """Which lines may have which key."""

    def __init__(self, folder: Path, disk: Disk, *, writable: bool) -> None:
        self._folder = folder
        self._disk = disk
        self._writable = writable
        self._tables: list[_Table] = []
        self._used = 0
        self.stamp = self._open()

    def candidates(self, key: int) -> list[int]:
        """The n's that may have this key: usually none, or one."""
        tag, found = key >> _N_BITS, []
        for table in self._tables:
            slots, mask = table.slots, table.mask
            at = key & mask
            while slot := slots[at]:
                if slot >> _N_BITS == tag:
                    found.append(slot & _N_MASK)
                at = (at + 1) & mask
        return found

    def reserve(self, count: int) -> None:
        """Make room for `count` more entries. Raises `OSError` where the disk has none."""
        if self._tables and self._used + count <= self._tables[-1].capacity:
            return
        bits = _FIRST_TABLE_BITS + _GROWTH_BITS * len(self._tables)
        while count > (1 << bits) * _LOAD_MAX:
            bits += 1
        self._tables.append(_Table.make(self._path(len(self._tables)), self._disk, 1 << bits))
        self._used = 0

    def add(self, key: int, n: int) -> None:
        """Note that line `n` has this key. The room was reserved."""
        slots, mask = self._tables[-1].slots, self._tables[-1].mask
        at = key & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = (key >> _N_BITS) << _N_BITS | n
        self._used += 1

    def add_again(self, key: int, n: int) -> None:
        """Note it, unless a run that ended badly already did."""
        self.reserve(1)
        if n in self.candidates(key):
            self._used += 1  # it may be in the last table: counted too often is safe
        else:
            self.add(key, n)

    def stamp_for(self, n: int, key: int) -> Stamp:
        """What to stamp the tables with, if line `n`, which has this key, is the last one that they have."""
        return Stamp(n, key, len(self._tables), self._used)

    def checkpoint(self, stamp: Stamp) -> None:
        """Make the tables durable, then the stamp. More may be added meanwhile."""
        for table in self._tables[: stamp.tables]:
            table.flush(self._disk)
        self._disk.replace(self._folder / _STAMP, msgspec.json.encode(stamp))
        self.stamp = stamp

    def clear(self) -> None:
        """Forget everything, to be filled in from the log."""
        self.close()
        self._disk.unlink(self._folder / _STAMP)
        for name in self._disk.names(self._folder):
            self._disk.unlink(self._folder / name)
        self._tables, self._used, self.stamp = [], 0, None

    def close(self) -> None:
        """Give the memory back."""
        for table in self._tables:
            table.close()
        self._tables = []

    def _open(self) -> Stamp | None:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            stamp = msgspec.json.decode(self._disk.read(self._folder / _STAMP), type=Stamp)
            names = [name for name in self._disk.names(self._folder) if name.endswith(".table")]
            if len(names) < stamp.tables:
                return None
            self._tables = [_Table.open(self._folder / name, self._disk, writable=self._writable) for name in names]
            self._used = stamp.used if len(names) == stamp.tables else 0
            return stamp
        return None

    def _path(self, index: int) -> Path:
        self._disk.make_folder(self._folder)
        return self._folder / f"{index:02}.table"


class _Table:
    """One open-addressing table: words of a 24-bit tag and a 40-bit n; zero is empty."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self._path = path
        self._mapped = mapped
        self.slots = memoryview(mapped).cast("Q")
        self.mask = len(self.slots) - 1
        self.capacity = int(len(self.slots) * _LOAD_MAX)

    @classmethod
    def make(cls, path: Path, disk: Disk, slots: int) -> _Table:
        """An empty table whose room on disk is reserved: writing to mapped memory cannot fail, only kill."""
        descriptor = disk.open_to_write(path)
        try:
            disk.truncate(descriptor, 0)
            disk.allocate(descriptor, slots * _SLOT_BYTES)
            return cls(path, disk.map(descriptor, writable=True))
        except BaseException:
            with suppress(OSError):
                disk.unlink(path)
            raise
        finally:
            disk.close(descriptor)

    @classmethod
    def open(cls, path: Path, disk: Disk, *, writable: bool) -> _Table:
        """A table that is there."""
        descriptor = disk.open_to_write(path) if writable else disk.open_to_read(path)
        try:
            return cls(path, disk.map(descriptor, writable=writable))
        finally:
            disk.close(descriptor)

    def flush(self, disk: Disk) -> None:
        """Put it on stable storage, and its pages at the kernel's disposal."""
        descriptor = disk.open_to_write(self._path)
        try:
            disk.fsync(descriptor)  # as good as msync for a shared mapping, and lets other threads run
        finally:
            disk.close(descriptor)
        self._mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Give the memory back."""
        self.slots.release()
        self._mapped.close()
