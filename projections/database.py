"""The DuckDB file: opening it closed to the world around it, telling damage from other trouble, moving it aside."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from .errors import DatabaseLocked, DatabaseUnusable
from .relations import literal

CORRUPT_FILES_KEPT_MAX = 2

# What snapshots are read by is often older than the node: this much DuckDB 1.3 can read.
STORAGE_VERSION = "v1.3.0"

_DISPOSABLE = "disposable"
# A quarter of DuckDB's own: threads that insert side by side fill groups of their own, instead of merging halves.
_ROW_GROUP_ROWS = 30_720

_LOCKED = ("could not set lock", "conflicting lock", "already open")
_NO_DAMAGE = ("permission denied", "no space left", "read-only file system", "too many open files", "out of memory")
_DAMAGE = ("corrupt", "checksum", "database has been invalidated", "failed to load", "not a valid duckdb")

_CORES = os.cpu_count() or 1
_MACHINE_MIB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


class Resources(NamedTuple):
    """What DuckDB may use; what needs more memory spills to disk.

    While a node runs, half of the cores are left to the bus, the log and the API: small folds gain nothing from more
    threads, and queries would take the cores from everything else.
    """

    threads: int = max(1, _CORES // 2)
    rebuild_threads: int = _CORES
    memory_size_mib_max: int = 1_024
    rebuild_memory_size_mib_max: int = min(3_072, _MACHINE_MIB // 2)
    # Below this much write-ahead log, a commit is one write; above it, the tables are rewritten where they changed.
    # Until then their new rows are in memory, of 250,000 events some 60 MiB.
    wal_size_mib_max: int = 16


class DamagedDatabase(Exception):
    """The file is not one that DuckDB can go on with; everything in it can be had from the log again."""


class Database:
    """An open database file: a connection for the one writer, and cursors for readers in any thread."""

    def __init__(self, path: Path, con: duckdb.DuckDBPyConnection, *, disposable: bool) -> None:
        self.path = path
        self.con = con
        self._parent = con.cursor()
        self._disposable = disposable

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        scratch: Path,
        readable: list[Path],
        resources: Resources,
        disposable: bool = False,
        read_only: bool = False,
    ) -> Database:
        """Open or create the file. Queries can read files in `readable` and `scratch`, and none besides.

        A `disposable` file is worth nothing until it is closed: it has no write-ahead log, which makes it faster.
        Raises `DamagedDatabase`, `DatabaseLocked` or `DatabaseUnusable`.
        """
        try:
            con = _connect(path, scratch, resources, disposable=disposable, read_only=read_only)
        except duckdb.Error as error:
            reason = str(error)
            if any(sign in reason.lower() for sign in _LOCKED):
                raise DatabaseLocked(path) from error
            if any(sign in reason.lower() for sign in _NO_DAMAGE):
                raise DatabaseUnusable(path, reason) from error
            raise DamagedDatabase(reason) from error
        folders = ", ".join(literal(str(folder)) for folder in (scratch, *readable))
        con.execute(f"set allowed_directories = [{folders}]")
        con.execute("set enable_external_access = false")
        con.execute("pragma disable_checkpoint_on_shutdown")  # `close` does it, where it is worth the time
        con.execute("set lock_configuration = true")
        return cls(path, con, disposable=disposable)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one query; temporary views in it are its own too."""
        cursor = self._parent.cursor()
        if self._disposable:
            cursor.execute(f"use {_DISPOSABLE}")
        return cursor

    def close(self) -> None:
        """Write everything into the one file, and close it."""
        with suppress(duckdb.Error):  # what could not be checkpointed is in the write-ahead log
            self.con.execute("checkpoint")
        self.abandon()

    def abandon(self) -> None:
        """Close the file as it is, because another one takes its place."""
        self._parent.close()
        self.con.close()


def is_damage(error: BaseException | None, path: Path) -> bool:
    """Whether an error of DuckDB's, or its cause, means that the file at `path` can't be trusted."""
    signs = (*_DAMAGE, f'could not read enough bytes from file "{path}'.lower())
    while error is not None:
        if isinstance(error, duckdb.FatalException | duckdb.InternalException | DamagedDatabase):
            return True
        # A block whose checksum is wrong is told by the bare root of DuckDB's errors.
        if isinstance(error, duckdb.IOException | duckdb.SerializationException) or type(error) is duckdb.Error:
            return any(sign in str(error).lower() for sign in signs)
        error = error.__cause__
    return False


def move_aside(path: Path) -> Path:
    """Put a damaged file out of the way, for whoever wants to know what happened; only the newest few are kept."""
    kept = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    path.replace(kept)
    write_ahead_log(path).unlink(missing_ok=True)
    for old in sorted(path.parent.glob(f"{path.name}.corrupt-*"))[:-CORRUPT_FILES_KEPT_MAX]:
        old.unlink()
    return kept


def remove(path: Path) -> None:
    """Remove a database file and what belongs to it."""
    path.unlink(missing_ok=True)
    write_ahead_log(path).unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Remove what a process that was killed left in its scratch folder."""
    for left in folder.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def write_ahead_log(path: Path) -> Path:
    """The file in which DuckDB keeps what it hasn't written into `path` yet."""
    return path.with_name(path.name + ".wal")


def _connect(
    path: Path, scratch: Path, resources: Resources, *, disposable: bool, read_only: bool
) -> duckdb.DuckDBPyConnection:
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": resources.threads,
        "memory_limit": f"{resources.memory_size_mib_max}MiB",
        "checkpoint_threshold": f"{resources.wal_size_mib_max}MiB",
        "storage_compatibility_version": STORAGE_VERSION,
        "temp_directory": str(scratch / "spilled"),
        "preserve_insertion_order": False,
        "python_enable_replacements": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if not disposable:
        return duckdb.connect(str(path), read_only=read_only, config=config)
    # Nobody else looks at the file, so one checkpoint, in the end, is enough.
    config["threads"] = resources.rebuild_threads
    config["memory_limit"] = f"{resources.rebuild_memory_size_mib_max}MiB"
    config["checkpoint_threshold"] = "1TiB"
    con = duckdb.connect(config=config)
    con.execute("set parquet_metadata_cache = true")  # every fold would read every side-car's footer again
    options = f"recovery_mode 'no_wal_writes', row_group_size {_ROW_GROUP_ROWS}, storage_version '{STORAGE_VERSION}'"
    con.execute(f"attach {literal(str(path))} as {_DISPOSABLE} ({options})")
    con.execute(f"use {_DISPOSABLE}")
    return con
