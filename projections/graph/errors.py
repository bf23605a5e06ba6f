"""What can go wrong with the graph, as types.

RookeryError
└── ProjectionError
    ├── GraphLocked       another process holds the graph's folder (folder)
    ├── GraphUnusable     the graph's folder can't be used, for a reason that is not damage (folder, reason)
    └── PastNotMade
        └── PastGraphNotMade   the graph as of a moment could not be made (moment, reason)
"""

from __future__ import annotations

from pathlib import Path

from ..errors import PastNotMade, ProjectionError


class GraphLocked(ProjectionError):
    """Another process has the graph open: its store lets in one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} is in use by another process; stop that one, or ask it through its HTTP API")


class GraphUnusable(ProjectionError):
    """The graph can't be read or written, and a new one in its place wouldn't help."""

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"the graph in {folder} can't be read or written: {reason}")


class PastGraphNotMade(PastNotMade):
    """The graph as of a moment could not be made from that of another, or from the log."""

    def __init__(self, moment: str, reason: str) -> None:
        super().__init__(moment, reason, "graph")
