"""The append-only log on disk, and how events get from the bus into it."""

from .disk import Disk
from .errors import (
    BusRegressed,
    EventStoreError,
    InvalidOrigin,
    LogClosed,
    LogDamaged,
    LogLocked,
    LogReadOnly,
    LogWriteFailed,
)
from .ingest import Ingest, IngestStatus
from .judging import DeadLetter
from .line import Record
from .log import Log
from .origin import Segment
from .writer import Appended

__all__ = [
    "Appended",
    "BusRegressed",
    "DeadLetter",
    "Disk",
    "EventStoreError",
    "Ingest",
    "IngestStatus",
    "InvalidOrigin",
    "Log",
    "LogClosed",
    "LogDamaged",
    "LogLocked",
    "LogReadOnly",
    "LogWriteFailed",
    "Record",
    "Segment",
]
