"""The vault's file: a key for each person, appended when it is needed and overwritten where it lies when it goes.

    {"id":"ds-…","secret":"<base64>","created":"…","subject":"user-17","check":"0123abcd"}
    {"id":"ds-…","forgotten":true}                                    (and spaces up to where the line ended)

The file is never written anew, so that no other copy of a key comes to lie on the disk by our doing. What a crash
leaves behind is either the beginning of a last line, whose key was never handed out, or a line that was being
forgotten, which still says whose it is: that is finished when the file is opened.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
from base64 import b32encode
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, Self

import msgspec

from ..disk import Disk
from ..errors import VaultDamaged, VaultWriteFailed

FILE = "keys"
SECRET_BYTES = 32
PSEUDONYM_BYTES = 16

_ID = re.compile(rb'\{"id":"(ds-[a-z2-7]{26})",')


class Key(msgspec.Struct, frozen=True):
    """What the texts of one person are sealed with. `id` is the person's pseudonym, and says nothing of the person."""

    id: str
    secret: bytes
    created: datetime
    subject: str


class _Row(msgspec.Struct):
    id: str
    secret: bytes
    created: datetime
    subject: str
    check: str = ""


class _Line(NamedTuple):
    offset: int
    size_bytes: int


class Vault:
    """The keys of a data folder, one process's at a time. Its methods may be called from any thread.

    A person has one key, which is made when it is first asked for; more, where some were brought from other nodes.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path = path
        self._disk = disk
        self._lock = threading.RLock()
        self._lines: dict[str, _Line] = {}
        self._keys: dict[str, Key] = {}
        self._by_subject: dict[str, list[str]] = {}
        self._forgotten: set[str] = set()
        self._end = 0

    @classmethod
    def open(cls, folder: Path, *, disk: Disk | None = None) -> Self:
        """The vault in `folder`, made if it is missing. Raises `VaultDamaged` or `VaultWriteFailed`."""
        vault = cls(folder / FILE, disk or Disk())
        vault._touch(vault._open)
        return vault

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def forgotten(self) -> frozenset[str]:
        """The pseudonyms of whose keys were destroyed here."""
        with self._lock:
            return frozenset(self._forgotten)

    @property
    def held(self) -> list[Key]:
        """Every key, the oldest first."""
        with self._lock:
            return list(self._keys.values())

    def key(self, pseudonym: str) -> Key | None:
        """The key of that name, if it is here."""
        return self._keys.get(pseudonym)

    def of(self, subject: str) -> list[Key]:
        """The keys of a person, who is named or given by a pseudonym; new texts are sealed with the first."""
        with self._lock:
            if key := self._keys.get(subject):
                return self.of(key.subject)
            return [self._keys[each] for each in self._by_subject.get(subject, ())]

    def is_forgotten(self, pseudonym: str) -> bool:
        """Whether the key of that name was destroyed here."""
        return pseudonym in self._forgotten

    def keys_for(self, subjects: Iterable[str]) -> dict[str, Key]:
        """For each of these people a key to seal with. One that is new is durable when this returns.

        Raises `VaultWriteFailed`.
        """
        with self._lock:
            wanted = set(subjects)
            self._append([_fresh(subject) for subject in sorted(wanted) if not self._by_subject.get(subject)])
            return {subject: self.of(subject)[0] for subject in wanted}

    def add(self, keys: Collection[Key]) -> list[Key]:
        """Take keys of another vault in, and return those that are new here. Raises `VaultWriteFailed`."""
        with self._lock:
            new = [key for key in keys if key.id not in self._keys and key.id not in self._forgotten]
            self._append(new)
            return new

    def forget(self, pseudonyms: Iterable[str]) -> list[str]:
        """Destroy these keys, and say which of them were here. They can't be had back from this file.

        Raises `VaultWriteFailed`: then some may be destroyed, and the rest are when it is called again, or when the
        vault is next opened.
        """
        with self._lock:
            held = [each for each in dict.fromkeys(pseudonyms) if each in self._keys]
            if held:
                self._touch(lambda: self._overwrite(held))
            return held

    def _append(self, keys: Collection[Key]) -> None:
        if not keys:
            return
        rows = {key.id: _row_of(key) for key in keys}
        self._touch(lambda: self._write(b"".join(rows.values())))
        for key in keys:
            self._learn(key, _Line(self._end, len(rows[key.id])))
            self._end += len(rows[key.id])

    def _overwrite(self, pseudonyms: Collection[str]) -> None:
        descriptor = self._disk.open_private(self.path)
        try:
            for each in pseudonyms:
                line = self._lines[each]
                self._disk.write_at(descriptor, _tombstone(each, line.size_bytes), line.offset)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        for each in pseudonyms:
            key = self._keys.pop(each)
            self._by_subject[key.subject].remove(each)
            if not self._by_subject[key.subject]:
                del self._by_subject[key.subject]
            self._forgotten.add(each)

    def _write(self, data: bytes) -> None:
        descriptor = self._disk.open_private(self.path)
        try:
            self._disk.truncate(descriptor, self._end)  # of what failed before, a part may be there
            self._disk.write_at(descriptor, data, self._end)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)

    def _open(self) -> None:
        self._disk.make_folder(self.path.parent)
        self.path.parent.chmod(0o700)
        descriptor = self._disk.open_private(self.path)
        try:
            whole = self._disk.read(self.path)
            whole = whole[: whole.rfind(b"\n") + 1]
            self._disk.truncate(descriptor, len(whole))
            for row in whole.splitlines(keepends=True):
                self._take(descriptor, row)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
        self._disk.fsync_folder(self.path.parent)

    def _take(self, descriptor: int, row: bytes) -> None:
        line = _Line(self._end, len(row))
        self._end += len(row)
        if key := _key_in(row):
            self._learn(key, line)
        elif (found := _ID.match(row)) and _is_overwritten(row, found.end()):
            gone = found[1].decode()
            if row != (tombstone := _tombstone(gone, len(row))):
                self._disk.write_at(descriptor, tombstone, line.offset)
            self._forgotten.add(gone)
        else:
            raise VaultDamaged(self.path, f"the line at byte {line.offset:,} is not what was written")

    def _learn(self, key: Key, line: _Line) -> None:
        self._keys[key.id] = key
        self._lines[key.id] = line
        self._by_subject.setdefault(key.subject, []).append(key.id)

    def _touch(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            raise VaultWriteFailed(self.path, error.strerror or str(error)) from error


def pseudonym() -> str:
    """A fresh one, drawn at random."""
    return "ds-" + b32encode(secrets.token_bytes(PSEUDONYM_BYTES)).decode().rstrip("=").lower()


def _fresh(subject: str) -> Key:
    return Key(pseudonym(), os.urandom(SECRET_BYTES), datetime.now(UTC), subject)


def _row_of(key: Key) -> bytes:
    row = _Row(key.id, key.secret, key.created, key.subject)
    row.check = _check(row)
    return msgspec.json.encode(row) + b"\n"


def _key_in(line: bytes) -> Key | None:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    found, row.check = row.check, ""
    return Key(row.id, row.secret, row.created, row.subject) if found == _check(row) else None


def _check(row: _Row) -> str:
    return sha256(msgspec.json.encode(row)).hexdigest()[:8]


def _tombstone(forgotten: str, size_bytes: int) -> bytes:
    return (b'{"id":"%s","forgotten":true}' % forgotten.encode()).ljust(size_bytes - 1) + b"\n"


def _is_overwritten(row: bytes, begin: int) -> bool:
    """Whether a line was being forgotten: disks write what is in two of their blocks in any order."""
    return row.startswith(b'"f', begin) or row.endswith(b" \n")
