"""The DuckDB read models that are folded from the log, and how they are asked."""

from .answers import Answer, Column
from .database import Resources
from .definitions import Catalogue, Projection
from .errors import (
    CheckpointConflict,
    DatabaseLocked,
    DatabaseUnusable,
    FoldFailed,
    InvalidProjection,
    LoadFailed,
    ProjectionError,
    QueryFailed,
    QueryRefused,
    RebuildAbandoned,
    UnknownReadModel,
)
from .store import Folded, Projections, ReadModel, RebuildReport

__all__ = [
    "Answer",
    "Catalogue",
    "CheckpointConflict",
    "Column",
    "DatabaseLocked",
    "DatabaseUnusable",
    "FoldFailed",
    "Folded",
    "InvalidProjection",
    "LoadFailed",
    "Projection",
    "ProjectionError",
    "Projections",
    "QueryFailed",
    "QueryRefused",
    "ReadModel",
    "RebuildAbandoned",
    "RebuildReport",
    "Resources",
    "UnknownReadModel",
]
