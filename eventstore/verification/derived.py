"""Verifying what is derived: nothing is lost where it is damaged, but who relies on it would be told wrong things."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import msgspec

from ..disk import Disk
from ..errors import LogDamaged
from ..frames import FramedFile
from ..ids import IdIndex, record_key
from ..line import Record, parse
from ..manifest import Entry
from ..merkle import HASH_BYTES, root_of
from ..origin import IDS
from ..parts import BLOCKS_SUFFIX, SEALED_SUFFIX, SUMMARY_SUFFIX
from ..summary import Summary
from .findings import MADE_ANEW, Finding, Kind


def check_derived(folder: Path, origin: str, entries: Sequence[Entry], disk: Disk, *, deep: bool) -> Iterator[Finding]:
    """What is wrong with summaries, blocks and the index of ids; what is missing is made again, and no finding."""
    for entry in entries:
        stem = entry.segment.removesuffix(SEALED_SUFFIX)
        if what := _wrong_with_summary(folder, stem + SUMMARY_SUFFIX, entry, origin, disk, deep):
            yield _finding("summary_damaged", origin, stem + SUMMARY_SUFFIX, what, entry)
        if what := _wrong_with_blocks(folder / (stem + BLOCKS_SUFFIX), entry, disk):
            yield _finding("blocks_damaged", origin, stem + BLOCKS_SUFFIX, what, entry)
    if disk.exists(folder / IDS) and (what := _wrong_with_ids(folder, origin, entries, disk, deep)):
        yield _finding("ids_damaged", origin, IDS, what, None)


def _finding(kind: Kind, origin: str, file: str, what: str, entry: Entry | None) -> Finding:
    first, last = (entry.first, entry.last) if entry else (None, None)
    return Finding(
        kind=kind,
        origin=origin,
        file=f"{origin}/{file}",
        what=what,
        remedy=f"{MADE_ANEW}, once the file is removed",
        first=first,
        last=last,
        derived=True,
    )


def _wrong_with_summary(folder: Path, name: str, entry: Entry, origin: str, disk: Disk, deep: bool) -> str:
    try:
        summary = msgspec.json.decode(disk.read(folder / name), type=Summary)
    except FileNotFoundError:
        return ""
    except msgspec.MsgspecError as error:
        return f"it is not what was written ({error})"
    if summary.last != entry.last:
        return f"it is of a segment that ends at {summary.last}, and not at {entry.last}"
    if deep and summary.current and disk.exists(folder / entry.segment):
        with suppress(LogDamaged, ValueError):  # that is told of the segment itself
            if Summary.of(_records(folder, entry, origin, disk)) != summary:
                return "it does not say what is in the segment"
    return ""


def _wrong_with_blocks(path: Path, entry: Entry, disk: Disk) -> str:
    try:
        data = disk.read(path)
    except FileNotFoundError:
        return ""
    blocks = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    return "" if root_of(blocks).hex() == entry.merkle_root else "its hashes do not come to the manifest's Merkle root"


def _wrong_with_ids(folder: Path, origin: str, entries: Sequence[Entry], disk: Disk, deep: bool) -> str:
    try:
        with closing(sqlite3.connect(f"{(folder / IDS).absolute().as_uri()}?mode=ro", uri=True)) as database:
            (answer,) = database.execute("pragma quick_check(1)").fetchone()
            if answer != "ok":
                return str(answer)
        if deep:
            return _missing_ids(folder, origin, entries, disk)
    except sqlite3.OperationalError:
        return ""  # its writer is about to make it, or has it locked
    except sqlite3.DatabaseError as error:
        return str(error)
    return ""


def _missing_ids(folder: Path, origin: str, entries: Sequence[Entry], disk: Disk) -> str:
    with closing(IdIndex.beside_its_writer(folder / IDS)) as index, suppress(LogDamaged, ValueError):
        for entry in entries:
            if not disk.exists(folder / entry.segment):
                continue
            for record in _records(folder, entry, origin, disk):
                if record.n <= index.covered and record.n not in index.candidates(record_key(record)):
                    return f"it does not find the event {record.n}"
    return ""


def _records(folder: Path, entry: Entry, origin: str, disk: Disk) -> Iterator[Record]:
    for lines in FramedFile(folder / entry.segment, disk).lines(first=entry.first):
        for line in lines:
            yield parse(origin, line)
