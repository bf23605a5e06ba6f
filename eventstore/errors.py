"""What can go wrong with the log, and what to do about it.

RookeryError
└── EventStoreError
    ├── InvalidOrigin       a name that cannot be an origin's, because origins are folders (origin)
    ├── LogLocked           another process is writing this origin (path)
    ├── LogReadOnly         this log was opened to be read (path)
    ├── LogClosed           this log was closed (path)
    ├── LogWriteFailed      the disk refused; nothing was acknowledged, and a later append works (path, reason)
    ├── LogDamaged          bytes are not what was written, beyond what a crash leaves behind (path, what, remedy)
    └── BusRegressed        the bus no longer holds what the log took from it (origin, position, reason)
"""

from __future__ import annotations

from pathlib import Path

from ..schemas import RookeryError

REMEDY = "restore it from the archive, a peer or a backup"


class EventStoreError(RookeryError):
    """The root of everything that the event store raises."""


class InvalidOrigin(EventStoreError):
    """A name that cannot be an origin's."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        super().__init__(
            f"{origin!r} cannot name an origin: origins are folders, so a name has up to 63 letters, digits, "
            "`.`, `_` or `-`, and begins with a letter or a digit"
        )


class LogLocked(EventStoreError):
    """Another process is writing this origin: an origin has one writer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path.parent} is being written by another process; stop that one, or open the log to read")


class LogReadOnly(EventStoreError):
    """This log was opened with `writable=False`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} was opened to be read; only the node that owns it may write")


class LogClosed(EventStoreError):
    """This log was closed; what was appended until then is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} was closed; open the log again to write")


class LogWriteFailed(EventStoreError):
    """The disk refused a write. What was not acknowledged is not in the log, and a later append works."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"cannot write {path}: {reason}; free space or repair the disk: nothing is lost, because the events "
            "stay on the bus until they are in the log"
        )


class LogDamaged(EventStoreError):
    """Bytes on disk are not what was written, and no crash explains it."""

    def __init__(self, path: Path, what: str, remedy: str) -> None:
        self.path = path
        self.what = what
        self.remedy = remedy
        super().__init__(f"{path} is damaged: {what}; {remedy}")


class BusRegressed(EventStoreError):
    """The bus no longer holds what the log took from it: its stream was cut short, or made anew."""

    def __init__(self, origin: str, position: int, reason: str) -> None:
        self.origin = origin
        self.position = position
        self.reason = reason
        super().__init__(
            f"the log of {origin!r} holds the bus up to sequence {position}, but {reason}. The log has every event "
            "that it acknowledged. Restore the bus from a backup; or, if its loss is final, let ingest read the bus "
            "again from its start (what the log has is recognised by its id and dropped): decisions that are made "
            "from the bus's history will then not see what only the log still has"
        )
