"""The append-only log on disk, and how events get from the bus into it."""

from .disk import Disk
from .errors import (
    ArchiveDamaged,
    ArchiveError,
    ArchiveUnavailable,
    BusRegressed,
    ColdLimit,
    EventStoreError,
    ForeignArchive,
    HealingFailed,
    InvalidArchive,
    InvalidExport,
    InvalidOrigin,
    KeyGone,
    LogClosed,
    LogDamaged,
    LogLocked,
    LogReadOnly,
    LogWriteFailed,
    MirrorRefused,
    NoArchive,
    NotMirrored,
    NotOwn,
    NotYetSealed,
    ObjectMissing,
    ObjectsLost,
    ProofRefused,
    RestoreFailed,
    RestoreRefused,
    SourceFailed,
    UnknownLine,
    VaultDamaged,
    VaultError,
    VaultWriteFailed,
)
from .healing import Healed, Healing, Source
from .ingest import Ingest, IngestStatus, Regression
from .judging import DeadLetter
from .line import Record
from .log import Log
from .mirror import MirrorWriter
from .origin import Segment
from .positions import position_text
from .proofs import Proof
from .replay import Replay, Retold, Wish
from .signing import Signer
from .writer import Appended

__all__ = [
    "Appended",
    "ArchiveDamaged",
    "ArchiveError",
    "ArchiveUnavailable",
    "BusRegressed",
    "ColdLimit",
    "DeadLetter",
    "Disk",
    "EventStoreError",
    "ForeignArchive",
    "Healed",
    "Healing",
    "HealingFailed",
    "Ingest",
    "IngestStatus",
    "InvalidArchive",
    "InvalidExport",
    "InvalidOrigin",
    "KeyGone",
    "Log",
    "LogClosed",
    "LogDamaged",
    "LogLocked",
    "LogReadOnly",
    "LogWriteFailed",
    "MirrorRefused",
    "MirrorWriter",
    "NoArchive",
    "NotMirrored",
    "NotOwn",
    "NotYetSealed",
    "ObjectMissing",
    "ObjectsLost",
    "Proof",
    "ProofRefused",
    "Record",
    "Regression",
    "Replay",
    "RestoreFailed",
    "RestoreRefused",
    "Retold",
    "Segment",
    "Signer",
    "Source",
    "SourceFailed",
    "UnknownLine",
    "VaultDamaged",
    "VaultError",
    "VaultWriteFailed",
    "Wish",
    "position_text",
]
