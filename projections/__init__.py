"""The DuckDB read models that are folded from the log, and how they are asked."""

from .answers import Answer, Column
from .asking import ReadModel, ReadModels, Row
from .changes import Change, Changes, changes
from .database import Resources
from .definitions import Catalogue, Projection
from .errors import (
    AnswerTooLarge,
    CheckpointConflict,
    DatabaseLocked,
    DatabaseUnusable,
    FoldFailed,
    InvalidCursor,
    InvalidKey,
    InvalidMoment,
    InvalidProjection,
    InvalidQuestion,
    LoadFailed,
    NoSuchRow,
    NoWayBack,
    PastNotMade,
    ProjectionError,
    QueryFailed,
    QueryNotAdmitted,
    QueryRefused,
    RebuildAbandoned,
    RebuildFailed,
    RebuildUnderWay,
    SideCarFailed,
    SnapshotFailed,
    TablesOutdated,
    UnknownReadModel,
)
from .filters import Condition, Question, question_of
from .formats import BinaryFormat, Encoded, csv_text, is_binary, ndjson
from .leash import Leash
from .lineage import Address, Lineage
from .moments import moment_of, moment_text, time_of
from .rebuilding import RebuildReport
from .sidecars import SideCars
from .snapshots import Snapshot, clear_snapshot
from .store import Folded, Projections

__all__ = [
    "Address",
    "Answer",
    "AnswerTooLarge",
    "BinaryFormat",
    "Catalogue",
    "Change",
    "Changes",
    "CheckpointConflict",
    "Column",
    "Condition",
    "DatabaseLocked",
    "DatabaseUnusable",
    "Encoded",
    "FoldFailed",
    "Folded",
    "InvalidCursor",
    "InvalidKey",
    "InvalidMoment",
    "InvalidProjection",
    "InvalidQuestion",
    "Leash",
    "Lineage",
    "LoadFailed",
    "NoSuchRow",
    "NoWayBack",
    "PastNotMade",
    "Projection",
    "ProjectionError",
    "Projections",
    "QueryFailed",
    "QueryNotAdmitted",
    "QueryRefused",
    "Question",
    "ReadModel",
    "ReadModels",
    "RebuildAbandoned",
    "RebuildFailed",
    "RebuildReport",
    "RebuildUnderWay",
    "Resources",
    "Row",
    "SideCarFailed",
    "SideCars",
    "Snapshot",
    "SnapshotFailed",
    "TablesOutdated",
    "UnknownReadModel",
    "changes",
    "clear_snapshot",
    "csv_text",
    "is_binary",
    "moment_of",
    "moment_text",
    "ndjson",
    "question_of",
    "time_of",
]
