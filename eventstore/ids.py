"""The ids that an origin's log holds, in a SQLite file, so that an event delivered again is recognised.

Derived and disposable. It maps the hash of an id to the n's that may have it; whoever asks looks at the line itself, so
a collision, or an entry of a line that was cut off again, does no harm. Only a missing entry would, hence `covered`: up
to which n the file is complete, written in one transaction with the entries. Lines are durable before they come here,
so the file is never ahead of its log, unless one of the two was put in the other's place. `sums` says how many entries
there are, and what they add up to: whoever opens the file to write adds them up again.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import msgspec

from ..schemas import decode
from .disk import Disk
from .errors import LogWriteFailed
from .line import Letter, Record

FLUSH_EVENTS_MIN = 32_768  # sorted, they share pages
WAITING_EVENTS_MAX = 262_144  # about 40 MB
CACHE_SIZE_KIB = 16_384
PAGE_SIZE_BYTES = 1_024  # hashes go anywhere, and each rewrites the page that it falls into
CHECKPOINT_PAGES = 65_536
_SUFFIXES = ("", "-journal", "-shm", "-wal")

_TABLES = """
    create table if not exists ids (key integer, n integer, primary key (key, n)) without rowid;
    create table if not exists covered (n integer);
    create table if not exists sums (entries integer, checksum integer);
"""

# SQLite keeps no checksum of a page. A turned bit in a key would let an event in twice, and nobody would know.
_SUMS = """
    select count(*), coalesce(sum((key & 4294967295) + ((key >> 32) & 4294967295) * 3 + n * 5), 0) from ids
"""

_UUID7_MINUTE = re.compile("01([0-9a-f]{6})-[0-9a-f]{4}-7").match  # 01: until 2039

logger = logging.getLogger(__name__)


class _Identified(msgspec.Struct):
    """Of an event, what the index takes: to decode all of it would take most of the time until a restored log opens."""

    id: str


_identified = msgspec.json.Decoder(_Identified).decode


def event_key(id: str) -> int:
    """The hash of an event's id, as an integer that SQLite can hold.

    It begins with a UUIDv7's time, in steps of a minute: what is new comes to lie at the end of the table, and not on
    a page of its own each.
    """
    digest = blake2b(id.encode(), digest_size=8).digest()
    if found := _UUID7_MINUTE(id):
        digest = bytes.fromhex(found[1]) + digest[3:]
    return _signed(digest)


def letter_key(letter: Letter) -> int:
    """The hash of what was kept whole, which has no id that counts: its bytes on its subject are its identity."""
    kept = letter.natssubject.encode() + b"\n" + letter.undecodable
    return _signed(blake2b(kept, digest_size=8, person=b"letter").digest())


def record_key(record: Record) -> int:
    """The hash by which a line of the log is found again."""
    letter = record.letter
    return event_key(_identified(record.line).id) if letter is None else letter_key(letter)


def is_event(record: Record, id: str) -> bool:
    """Whether the line is the event with this id."""
    return record.letter is None and decode(record.payload).id == id


class IdIndex:
    """Which lines may have which key. What it raises is `sqlite3.Error`, where nothing else is said.

    `covered`: every line up to this one was added.
    """

    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path
        self._waiting = dict[int, int]()
        self._waiting_twins = list[tuple[int, int]]()  # whose keys wait already
        self._flush_at = FLUSH_EVENTS_MIN
        self._sums = 0, 0
        try:
            (self.covered,) = database.execute("select coalesce(max(n), 0) from covered").fetchone()
        except BaseException:
            database.close()
            raise

    @classmethod
    def open(cls, path: Path) -> IdIndex:
        """The file as its one writer, made if it is missing. Raises `sqlite3.DatabaseError` where it is damaged."""
        index = cls(_database_to_write(path), path)
        try:
            index._add_up()
        except BaseException:
            index._database.close()
            raise
        return index

    @classmethod
    def beside_its_writer(cls, path: Path) -> IdIndex:
        """The file as one of its readers."""
        return cls(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True), path)

    def candidates(self, key: int) -> list[int]:
        """The n's that may have this key: usually none, or one."""
        rows = self._database.execute("select n from ids where key = ?", (key,)).fetchall()
        waiting = [self._waiting[key]] if key in self._waiting else []
        return [n for (n,) in rows] + waiting + [n for twin, n in self._waiting_twins if twin == key]

    def add(self, key: int, n: int) -> None:
        """Note that line `n`, the one after `covered`, has this key: in memory, until there are enough to write."""
        if self._waiting.setdefault(key, n) != n:
            self._waiting_twins.append((key, n))
        self.covered = n

    def add_all(self, keys: Sequence[int], first: int) -> None:
        """Note the keys of the lines from `first` on: `add` for many, at a tenth of its cost."""
        numbers = range(first, first + len(keys))
        new = dict(zip(keys, numbers, strict=True))
        if len(new) == len(keys) and new.keys().isdisjoint(self._waiting):
            self._waiting |= new
            self.covered = max(self.covered, numbers.stop - 1)
        else:
            for key, n in zip(keys, numbers, strict=True):
                self.add(key, n)

    def make_room(self) -> None:
        """Write what waits, if it is enough. A full disk only lets more wait; `LogWriteFailed` where it is too much."""
        if self._waits < self._flush_at:
            return
        try:
            self.flush()
        except sqlite3.OperationalError as error:
            if self._waits >= WAITING_EVENTS_MAX:
                raise LogWriteFailed(self._path, str(error)) from error
            logger.warning("cannot write %s, and will try again: %s", self._path, error)
            self._flush_at = min(self._waits + FLUSH_EVENTS_MIN, WAITING_EVENTS_MAX)

    def flush(self) -> None:
        """Write what waits; it still waits if that fails."""
        entries = [(key, self._waiting[key]) for key in sorted(self._waiting)] + self._waiting_twins
        with self._database:
            self._database.executemany("insert or ignore into ids values (?, ?)", entries)
            sums = self._sums[0] + len(entries), self._sums[1] + _weight(entries)
            self._cover(self.covered, sums)
        self._sums = sums
        self._waiting.clear()
        self._waiting_twins.clear()
        self._flush_at = FLUSH_EVENTS_MIN

    def cut_off(self, after: int) -> None:
        """Forget the lines after this one."""
        with self._database:
            self._database.execute("delete from ids where n > ?", (after,))
            sums = self._database.execute(_SUMS).fetchone()
            self._cover(after, sums)
        self._sums = sums
        self.covered = after

    def close(self) -> None:
        """Leave one file that anybody can read, if nobody is reading it right now."""
        with suppress(sqlite3.Error):
            self._database.execute("pragma journal_mode = delete")
        self._database.close()

    @property
    def _waits(self) -> int:
        return len(self._waiting) + len(self._waiting_twins)

    def _add_up(self) -> None:
        """Hold the entries against their sums; an older version's file has none yet."""
        self._sums = self._database.execute(_SUMS).fetchone()
        noted = self._database.execute("select entries, checksum from sums").fetchall()
        if noted and noted != [self._sums]:
            raise sqlite3.DatabaseError(f"its entries do not add up: {self._sums}, and {noted} were noted")
        if not noted:
            with self._database:
                self._note_sums(self._sums)

    def _cover(self, n: int, sums: tuple[int, int]) -> None:
        self._database.execute("delete from covered")
        self._database.execute("insert into covered values (?)", (n,))
        self._note_sums(sums)

    def _note_sums(self, sums: tuple[int, int]) -> None:
        self._database.execute("delete from sums")
        self._database.execute("insert into sums values (?, ?)", sums)


def remove(path: Path, disk: Disk) -> None:
    """Remove the file and what SQLite keeps beside it. Raises `OSError`."""
    for suffix in _SUFFIXES:
        disk.unlink(path.with_name(path.name + suffix))


def _database_to_write(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        database.execute(f"pragma page_size = {PAGE_SIZE_BYTES}")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")  # a power cut may cost the last writes, never what is older
        database.execute(f"pragma cache_size = -{CACHE_SIZE_KIB}")
        database.execute(f"pragma wal_autocheckpoint = {CHECKPOINT_PAGES}")
        database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _weight(entries: Iterable[tuple[int, int]]) -> int:
    """What entries add to the sum: any one bit of them that is another makes another sum."""
    return sum((key & 0xFFFFFFFF) + ((key >> 32) & 0xFFFFFFFF) * 3 + n * 5 for key, n in entries)


def _signed(digest: bytes) -> int:
    return int.from_bytes(digest, "big", signed=True)
