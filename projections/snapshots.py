"""Snapshots: all read models as plain tables in one file, for programs that can't ask the node that owns the database.

DuckDB lets one process at a time at a file. A snapshot is therefore a copy, made from the file's bytes, which is ten
times faster than copying rows, and without holding up whoever folds meanwhile: DuckDB never overwrites what the file's
head refers to, so that a copy is whole if the head was the same before and after. What is committed and not in the file
yet is in the write-ahead log, any beginning of which is a state that the tables once had.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from .. import __version__
from .database import write_ahead_log
from .definitions import Catalogue
from .errors import SnapshotFailed
from .relations import literal, quoted

CHUNK_BYTES = 8 * 1024 * 1024
ATTEMPTS_MAX = 5
MEMORY_SIZE_MIB_MAX = 512

# A head of 4 KiB says what kind of file it is, and two of the same size take turns at saying what is in it.
_HEADS_BYTES = 3 * 4096
_WORKPLACE = ".new"
_BESIDE = "rookery_new_"


class Snapshot(NamedTuple):
    """A snapshot file: where it lies, and what it holds. `checkpoint` is the last folded n of each origin."""

    path: Path
    size_bytes: int
    written_at: datetime
    seconds: float
    checkpoint: dict[str, int]


def write_snapshot(
    database: Path, target: Path, catalogue: Catalogue, *, stop: threading.Event | None = None
) -> Snapshot:
    """Copy the read models in `database`, which may be written to meanwhile, to `target`, which they replace at once.

    Raises `SnapshotFailed`, also when `stop` is set meanwhile; what `target` was it then still is. One at a time for
    each folder.
    """
    started = time.perf_counter()
    written_at = datetime.now(UTC)
    workplace = target.parent / _WORKPLACE
    copy = workplace / "copy.duckdb"  # a database goes by its file, and one named as a schema of ours is ambiguous
    try:
        clear_snapshot(target)
        workplace.mkdir(parents=True)
        _copy_whole(database, copy, stop or threading.Event())
        checkpoint = _made_plain(copy, catalogue, written_at)
        size_bytes = copy.stat().st_size
        copy.replace(target)
    except (duckdb.Error, OSError) as error:
        raise SnapshotFailed(target, str(error)) from error
    finally:
        with suppress(OSError):
            clear_snapshot(target)
    return Snapshot(target, size_bytes, written_at, time.perf_counter() - started, checkpoint)


def clear_snapshot(target: Path) -> None:
    """Remove what a process that was killed left of a snapshot that was to become `target`."""
    if (workplace := target.parent / _WORKPLACE).exists():
        shutil.rmtree(workplace)


def _copy_whole(database: Path, copy: Path, stop: threading.Event) -> None:
    """Copy the file and its write-ahead log, again if the file got another head meanwhile."""
    for _ in range(ATTEMPTS_MAX):
        with database.open("rb") as source:
            heads = os.pread(source.fileno(), _HEADS_BYTES, 0)
            # The log first: what it says of the file's blocks is then in the file that is copied after it.
            _copy_log(write_ahead_log(database), write_ahead_log(copy), stop)
            with copy.open("wb") as target:
                _copy_bytes(source.fileno(), target.fileno(), stop)
            is_same = os.path.samestat(os.fstat(source.fileno()), database.stat())
            if is_same and os.pread(source.fileno(), _HEADS_BYTES, 0) == heads:
                return
    raise OSError(f"the read models were rewritten {ATTEMPTS_MAX} times while they were copied; try again")


def _copy_log(source: Path, copy: Path, stop: threading.Event) -> None:
    copy.unlink(missing_ok=True)
    with suppress(FileNotFoundError), source.open("rb") as found, copy.open("wb") as target:
        _copy_bytes(found.fileno(), target.fileno(), stop)


def _copy_bytes(source: int, target: int, stop: threading.Event) -> None:
    """Copy by the kernel, which on some file systems shares the blocks instead.

    Each chunk goes to the disk at once: with all of a big file on its way there, the log's next fsync took 0.2 s.
    """
    while os.copy_file_range(source, target, CHUNK_BYTES):
        os.fdatasync(target)
        if stop.is_set():
            raise OSError("stopped, because the node closes")


def _made_plain(copy: Path, catalogue: Catalogue, written_at: datetime) -> dict[str, int]:
    """Leave nothing in the copy but a described table for each read model, and word of what the copy is."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{MEMORY_SIZE_MIB_MAX}MiB",
        "temp_directory": str(copy.parent / "spilled"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with duckdb.connect(str(copy), config=config) as con:
        con.execute("begin transaction")
        checkpoint: dict[str, int] = dict(con.execute("select origin, n from rookery.checkpoints").fetchall())
        _make_tables_of_views(con, catalogue.by_name)
        _describe(con, catalogue)
        con.execute("create table rookery_checkpoint as select origin, n from rookery.checkpoints order by origin")
        con.execute("create table rookery_snapshot (written_at timestamp, version varchar)")
        con.execute("insert into rookery_snapshot values (?, ?)", [written_at.replace(tzinfo=None), __version__])
        con.execute("drop schema rookery cascade")
        con.execute("commit")
        con.execute("checkpoint")
    return checkpoint


def _make_tables_of_views(con: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Views become tables of what they show, and the tables behind them go."""
    views = _names_in(con, "select view_name from duckdb_views() where schema_name = 'main' and not internal")
    for view in views:
        con.execute(f"create table {quoted(_BESIDE + view)} as from {quoted(view)}")
    for view in views:
        con.execute(f"drop view {quoted(view)}")
        con.execute(f"alter table {quoted(_BESIDE + view)} rename to {quoted(view)}")
    tables = _names_in(con, "select table_name from duckdb_tables() where schema_name = 'main'")
    for hidden in set(tables) - set(names):
        con.execute(f"drop table {quoted(hidden)}")


def _describe(con: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> None:
    for name, projection in catalogue.by_name.items():
        con.execute(f"comment on table {quoted(name)} is {literal(projection.description)}")
        notes = catalogue.notes(name)
        for column in _names_in(con, f"select column_name from (describe {quoted(name)})"):  # noqa: S608
            if column in notes:
                con.execute(f"comment on column {quoted(name)}.{quoted(column)} is {literal(notes[column])}")


def _names_in(con: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    return [name for (name,) in con.execute(query).fetchall()]
