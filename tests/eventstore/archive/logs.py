"""Logs to be archived, and what of them must come back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from rookery.eventstore import Disk, Log
from rookery.tests.eventstore.deliveries import mixed

SEGMENT_EVENTS_MAX = 8
LATER = datetime(2027, 1, 1, tzinfo=UTC)  # after every event of these logs


def opened(folder: Path, *, disk: Disk | None = None, writable: bool = True) -> Log:
    return Log.open(folder, writable=writable, segment_events_max=SEGMENT_EVENTS_MAX, disk=disk)


def filled(folder: Path, count: int = 30) -> Log:
    """A log with a bit of everything: sealed segments, and an open end."""
    log = opened(folder)
    log.append("here", mixed(count))
    log.seal_full_segments()
    return log


def lines_of(log: Log) -> dict[str, list[bytes]]:
    return {name: [record.line for record in log.read(name)] for name in log.origins()}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every byte that counts of one origin."""
    return {path.name: path.read_bytes() for path in sorted((folder / "here").glob("*ndjson*"))}


def objects_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
