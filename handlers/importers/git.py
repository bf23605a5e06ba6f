"""A repository's commits: each becomes a `commit.recorded`, under an id that follows from repository and hash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from ...schemas import CommitRecorded, Event, derived_id
from .found import Finding, Rejected, found
from .history import HEADER, History

SOURCE = "/importers/git"
MESSAGE_CHARS_MAX = 20_000
NAME_CHARS_MAX = 256
PATHS_MAX = 100

# Lines in, lines out, and the path; both counts are `-` for a binary file. A moved file has no path here: two fields
# with the old one and the new one follow. git puts a line break between a commit's message and its first file.
_FILE = re.compile(rb"\n?([0-9]+|-)\t([0-9]+|-)\t(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Changes:
    """What a commit changed, counted."""

    def __init__(self) -> None:
        self.files = self.insertions = self.deletions = 0
        self.paths: list[str] = []

    def add(self, inserted: bytes, deleted: bytes, path: bytes) -> None:
        """Count one file."""
        self.files += 1
        self.insertions += 0 if inserted == b"-" else int(inserted)
        self.deletions += 0 if deleted == b"-" else int(deleted)
        if len(self.paths) < PATHS_MAX:
            self.paths.append(path.decode(errors="replace"))


class Commit(NamedTuple):
    """One commit, as git tells it."""

    hash: str
    parents: list[str]
    author: str
    author_email: str
    time: str
    message: str
    changes: Changes | None


def read(
    history: History,
    name: str,
    *,
    branch: str | None = None,
    last: int | None = None,
    repository: str | None = None,
) -> Iterator[Finding]:
    """The commits that lead to `branch`, newest first, and of those the `last` ones."""
    called = repository or _name(history.name) or name
    for commit in _commits(history.fields(branch, last), history.edge):
        yield _recorded(commit, called)


def number(text: str) -> int:
    """How many, as `--last` has it."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"expected a number of commits, found {text[:40]!r}")
    return int(text)


def _recorded(commit: Commit, repository: str) -> Finding:
    where, changes = f"commit {commit.hash}", commit.changes
    try:
        time = datetime.fromtimestamp(int(commit.time), UTC)
    except (ValueError, OverflowError, OSError):
        return Rejected(where, f"it was committed {commit.time[:40]} s after 1970, which is no time")
    data = CommitRecorded(
        repository=repository,
        message=commit.message.strip()[:MESSAGE_CHARS_MAX],
        author=_name(commit.author),
        author_email=_name(commit.author_email),
        parents=commit.parents,
        files=changes.files if changes else None,
        insertions=changes.insertions if changes else None,
        deletions=changes.deletions if changes else None,
        paths=changes.paths if changes else [],
    )
    event_id = derived_id(SOURCE, repository, commit.hash)
    return found(Event.of(data, subject=commit.hash, source=SOURCE, id=event_id, time=time), where)


def _commits(fields: Iterator[bytes], edge: frozenset[bytes]) -> Iterator[Commit]:
    field = next(fields, None)
    while field is not None:
        texts = [field.decode(), *(next(fields, b"").decode(errors="replace") for _ in HEADER[1:])]
        hash_, parents, author, author_email, time, message = texts
        changes = Changes()
        while (field := next(fields, None)) is not None and (file := _FILE.fullmatch(field)):
            inserted, deleted, path = file.groups()
            changes.add(inserted, deleted, path or _moved(fields))
        unknown = " " in parents or hash_.encode() in edge
        yield Commit(hash_, parents.split(), author, author_email, time, message, None if unknown else changes)


def _moved(fields: Iterator[bytes]) -> bytes:
    """Where to, of a file that was moved."""
    next(fields, None)
    return next(fields, b"")


def _name(text: str) -> str | None:
    return _CONTROL.sub(" ", text).strip()[:NAME_CHARS_MAX] or None
