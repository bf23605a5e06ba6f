"""Commits: what was changed in a repository, by whom, and how much of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import Count, Name

Repository = Annotated[Name, Meta(description="What the repository is called.")]
CommitId = Annotated[Name, Meta(description="A commit's hash.")]
Path = Annotated[str, Meta(description="A file's path from the repository's root.")]


@event_type("commit.recorded")
class CommitRecorded(EventData, frozen=True, kw_only=True):
    """Somebody changed a repository. The event's subject is the commit's hash, its time is when it was committed.

    `files`, `insertions` and `deletions` count what it changed against its parent, a moved file as one; `paths` names
    the first of those files. They are absent where nobody counted, as for merges, whose changes are those of the
    commits that they merge.
    """

    repository: Repository
    message: str
    author: Name | None = None
    author_email: Name | None = None
    parents: list[CommitId] = []
    files: Count | None = None
    insertions: Count | None = None
    deletions: Count | None = None
    paths: list[Path] = []
