"""What can go wrong between the log and a query's answer, as types.

RookeryError
└── ProjectionError
    ├── InvalidProjection    a .sql file breaks the rules that its neighbours keep (file, reason)
    ├── LoadFailed           a batch of events did not arrive whole in DuckDB (origin, first, last, reason)
    ├── SideCarFailed        a segment's side-car could not be made (origin, first, last, reason)
    ├── FoldFailed           a statement of a fold failed, and its batch was rolled back (projection, statement, …)
    ├── DatabaseLocked       another process holds the database file (path)
    ├── DatabaseUnusable     the database file can't be opened, for a reason that is not damage (path, reason)
    ├── CheckpointConflict   the batch does not begin where the tables end (origin, first, checkpoint)
    ├── TablesOutdated       the tables are of other projections or event schemas than today's (differing)
    ├── RebuildUnderWay      there is one already; one at a time
    ├── RebuildAbandoned     stopped before it was done, so the tables stay as they were
    ├── RebuildFailed        the database or the disk did not go along; the tables answer as before (reason)
    ├── NoWayBack            there are no previous tables that could be had back (reason)
    ├── SnapshotFailed       no snapshot could be written; the one before it is as it was (path, reason)
    ├── UnknownReadModel     no read model has that name (name, known)
    ├── InvalidQuestion      a filter, a column or an order that the read model can't be asked for (where, reason)
    │   ├── InvalidCursor    the cursor is none, or belongs to another question
    │   └── InvalidKey       a key of other parts than the read model's rows have (name, key, parts)
    ├── NoSuchRow            no row of the read model has that key (name, parts, nearest)
    ├── InvalidMoment        nobody can be told what was known then (text, reason)
    ├── PastNotMade          the tables of a moment can't be made; asking again may help (moment, reason)
    ├── QueryNotAdmitted     the query was not begun: too many, or the read models are closed or being replaced (reason)
    ├── QueryRefused         the query may not run at all (reason)
    └── QueryFailed          the query ran, and failed or took too long (reason)
        └── AnswerTooLarge   there is an answer, of more bytes than are ever sent (bytes_max)
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from ..schemas import InvalidInput, RookeryError

CHARACTERS_SHOWN_MAX = 120
NAMES_SHOWN_MAX = 5


class ProjectionError(RookeryError):
    """The root of what the projections raise."""


class InvalidProjection(ProjectionError):
    """A projection's file can't be used as it is."""

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"{file}: {reason}")


class LoadFailed(ProjectionError):
    """DuckDB did not take a batch of events whole; nothing of it was folded."""

    def __init__(self, origin: str, first: int, last: int, reason: str) -> None:
        self.origin = origin
        self.first = first
        self.last = last
        self.reason = reason
        super().__init__(f"events {origin}:{first} to {last} can't be loaded: {reason}")


class SideCarFailed(ProjectionError):
    """A segment's side-car could not be made; its events can be had from the segment all the same, only slower."""

    def __init__(self, origin: str, first: int, last: int, reason: str) -> None:
        self.origin = origin
        self.first = first
        self.last = last
        self.reason = reason
        super().__init__(f"no side-car of events {origin}:{first} to {last}: {reason}")


class FoldFailed(ProjectionError):
    """A fold's statement failed. Its batch was rolled back, so the tables stand where they stood before it."""

    def __init__(self, projection: str, statement: str, origin: str, first: int, last: int, reason: str) -> None:
        self.projection = projection
        self.statement = statement
        self.origin = origin
        self.first = first
        self.last = last
        self.reason = reason
        super().__init__(
            f"projection {projection} can't fold events {origin}:{first} to {last}: {reason}; "
            f"in {self.file}, the statement {_shortened(statement)!r}"
        )

    @property
    def file(self) -> str:
        """The .sql file that the statement is written in."""
        return f"{self.projection}.sql"


class CheckpointConflict(ProjectionError):
    """Folding this batch would leave events out or count some twice; rebuild the projections from the log."""

    def __init__(self, origin: str, first: int, checkpoint: int) -> None:
        self.origin = origin
        self.first = first
        self.checkpoint = checkpoint
        super().__init__(
            f"the read models hold {origin} up to event {checkpoint}, and the batch begins at {first}; "
            "rebuild them with `rookery rebuild`"
        )


class DatabaseLocked(ProjectionError):
    """Another process has the read models' file open: DuckDB lets in one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path} is in use by another process; stop that one, or ask it through its HTTP API")


class DatabaseUnusable(ProjectionError):
    """The read models' file can't be opened, and a new one in its place wouldn't help."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} can't be opened: {reason}")


class TablesOutdated(ProjectionError):
    """Today's projections and event schemas would make other tables. `differing` names what made the difference.

    `reason`: what can't be done until then, and why.
    """

    def __init__(self, differing: Sequence[str], reason: str = "") -> None:
        self.differing = tuple(differing)
        self.reason = reason
        more = len(differing) - NAMES_SHOWN_MAX
        named = ", ".join(differing[:NAMES_SHOWN_MAX]) + (f" and {more} more" if more > 0 else "")
        outdated = f"the read models were made from another version of {named}, and have to be made anew"
        super().__init__(f"{outdated}: {reason}" if reason else outdated)


class RebuildUnderWay(ProjectionError):
    """The read models are being made anew already."""

    def __init__(self) -> None:
        super().__init__("the read models are being rebuilt already; wait for that, or end it with DELETE /rebuild")


class RebuildAbandoned(ProjectionError):
    """Somebody ended a rebuild, or closed the projections, before it was done."""

    def __init__(self) -> None:
        super().__init__("stopped before the rebuild was done; the read models stay as they were")


class RebuildFailed(ProjectionError):
    """A rebuild could not be done, for a reason that lies neither in the log nor in the projections."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the rebuild failed, and the read models answer as before: {reason}")


class NoWayBack(ProjectionError):
    """The read models can't be rolled back."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"there is nothing to roll back to: {reason}")


class SnapshotFailed(ProjectionError):
    """A snapshot of the read models could not be written; the file that was there before is as it was."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"no new snapshot at {path}: {reason}")


class UnknownReadModel(ProjectionError):
    """No read model has this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        self.known = tuple(known)
        nearest = get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; there are {', '.join(known)}"
        super().__init__(f"no read model is named {name!r}{hint}")


class InvalidQuestion(ProjectionError, InvalidInput):
    """A read model can't be asked this: `where` names the column or the option that is wrong."""

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where}: {reason}")


class InvalidCursor(InvalidQuestion):
    """There is no page to go on with behind this cursor."""

    def __init__(self, reason: str) -> None:
        super().__init__("cursor", reason)


class InvalidKey(InvalidQuestion):
    """A row can't be asked for by these parts of a key: there must be one for each column that tells rows apart."""

    def __init__(self, name: str, key: Sequence[str], parts: Sequence[str]) -> None:
        self.name = name
        self.key = tuple(key)
        self.parts = tuple(parts)
        columns = ", ".join(key)
        wanted = (
            f"a row of {name} is told by {columns}"
            if key
            else f"{name} is one row, without a key: GET /query/{name} is all of it"
        )
        super().__init__("key", f"{wanted}; {len(parts)} given" if key else wanted)


class NoSuchRow(ProjectionError):
    """No row has this key; `nearest` are the keys that are most like it."""

    def __init__(self, name: str, parts: Sequence[str], nearest: Sequence[Sequence[str]]) -> None:
        self.name = name
        self.parts = tuple(parts)
        self.nearest = tuple(map(tuple, nearest))
        known = " or ".join(repr(",".join(key)) for key in nearest)
        hint = f"did you mean {known}?" if known else f"`rookery query {name}` lists what there is"
        super().__init__(f"no row of {name} has the key {_shortened(','.join(parts))!r}; {hint}")


class InvalidMoment(ProjectionError, InvalidInput):
    """What should be a moment of the log's past isn't one."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = text
        self.reason = reason
        super().__init__(f"as of {text!r}: {reason}")


class PastNotMade(ProjectionError):
    """The tables as of a moment could not be made from the log."""

    def __init__(self, moment: str, reason: str, what: str = "read models") -> None:
        self.moment = moment
        self.reason = reason
        super().__init__(f"no {what} as of {moment}: {reason}")


class QueryNotAdmitted(ProjectionError):
    """The query was not begun; nothing is wrong with it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class QueryRefused(ProjectionError):
    """The query is not one that this node answers; it was not run."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class QueryFailed(ProjectionError):
    """The query was run, and has no answer."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class AnswerTooLarge(QueryFailed):
    """The answer has more bytes than are sent at once."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        super().__init__(f"the answer has more than {bytes_max:,} bytes; ask for fewer columns or rows, page by page")


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= CHARACTERS_SHOWN_MAX else f"{text[: CHARACTERS_SHOWN_MAX - 1]}…"
