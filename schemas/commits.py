"""Commits: what was changed in a repository, by whom, and how much of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import PERSONAL, Count, Name, PersonalName

Repository = Annotated[Name, Meta(description="What the repository is called.")]
CommitId = Annotated[Name, Meta(description="A commit's hash.")]
Message = Annotated[str, Meta(description="What its author wrote about it."), PERSONAL]
Author = Annotated[PersonalName, Meta(description="Who wrote the change, by name.")]
Email = Annotated[PersonalName, Meta(description="The author's address.")]
Parents = Annotated[list[CommitId], Meta(description="The commits that it builds on.")]
Files = Annotated[Count, Meta(description="How many files it changed.")]
Lines = Annotated[Count, Meta(description="How many lines.")]
Path = Annotated[str, Meta(description="A file's path from the repository's root.")]
Paths = Annotated[list[Path], Meta(description="The first of the files that it changed.")]


@event_type("commit.recorded")
class CommitRecorded(EventData, frozen=True, kw_only=True):
    """Somebody changed a repository. The event's subject is the commit's hash, its time is when it was committed.

    `files`, `insertions` and `deletions` count what it changed against its parent, a moved file as one; `paths` names
    the first of those files. They are absent where nobody counted, as for merges, whose changes are those of the
    commits that they merge.
    """

    repository: Repository
    message: Message
    author: Author | None = None
    author_email: Email | None = None
    parents: Parents = []
    files: Files | None = None
    insertions: Lines | None = None
    deletions: Lines | None = None
    paths: Paths = []
