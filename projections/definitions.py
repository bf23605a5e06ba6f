"""Projections as they are written: one described .sql file each, read and checked here.

    -- projection: cost_by_model   version: 1   key: provider, model   uses: cost_by_hour
    -- What each model cost.                                 (the description; any number of lines)
    -- why: cost_by_hour   by: provider, model               (which events are behind a row; one line or several)
    create table …; create view …;                           (comments behind columns describe them)

    -- relation: priced_call   of: llm_call_completed, llm_call_failed
    select …;                                                (a view of the batch, for every fold to select from)

    -- fold: priced_call
    merge into …;                                            (runs when the batch holds such events)

A file creates the table or view that it is named for, and whatever lies behind it. `key` names the columns that tell
its rows apart; what has none has one row. `uses` names the projections whose tables its views select from.
`-- fold: events` runs for every batch.

A view that joins large tables has another one beside it, `NAME_keys`, which lists the key of every row, some of them
several times: whoever asks for a page in the key's order finds there which rows it has, before they are joined.

`why` says which events make a row what it is: those of these events' relations, of a derived one (which then has
`origin` and `n`), or behind the rows of a projection that this one uses, of which the `by` give the row's key, as in
`by: day = time::date, agent_id`. The row depends on no others. An optional `where: CONDITION` ends the line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import duckdb

from .errors import InvalidProjection
from .relations import relations
from .selection import Selection

SQL_FOLDER = Path(__file__).parent / "sql"
EVENTS = "events"

_HEADER = re.compile(r"^-- projection: (\w+)\s+version: (\d+)(?:\s+key: (.+?))?(?:\s+uses: (.+))?$")
_BLOCK = re.compile(r"^-- (relation|fold): (.+)$", re.MULTILINE)
_RELATION = re.compile(r"^(\w+)\s+of: (.+)$")
_CAUSE = re.compile(r"^-- why: (?P<of>.+?)(?:\s+by: (?P<by>.+?))?(?:\s+where: (?P<where>.+))?$")
_CREATED = re.compile(r"^create (?:table|view) (\w+)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_COMMENT = re.compile(r"--[^\n]*")
_DESCRIBED = re.compile(r"^\s*(?P<code>[^\s-].*?),?\s+-- (?P<note>.+)$")


def keys_view(name: str) -> str:
    """What the view is named that lists the keys of a read model, where there is one."""
    return f"{name}_keys"


class Derived(NamedTuple):
    """A relation that is derived from events' own, for folds to share. `of`: the event relations that it draws on."""

    name: str
    of: frozenset[str]
    query: str

    @property
    def statement(self) -> str:
        """What creates it over the batch."""
        return f"create or replace temp view {self.name} as {self.query}"


class Fold(NamedTuple):
    """What to run when the batch holds events of any of these relations."""

    relations: frozenset[str]
    statements: tuple[str, ...]


class Cause(NamedTuple):
    """Some of the events behind a row. `of`: relations, or projections that are used; `by`: each key column, in SQL."""

    of: tuple[str, ...]
    by: Mapping[str, str]
    where: str | None


class Projection(NamedTuple):
    """One .sql file, taken apart."""

    name: str
    version: int
    key: tuple[str, ...]
    uses: tuple[str, ...]
    description: str
    causes: tuple[Cause, ...]
    creates: tuple[str, ...]
    relations: tuple[Derived, ...]
    folds: tuple[Fold, ...]
    notes: Mapping[str, str]
    fingerprint: str

    @property
    def created(self) -> frozenset[str]:
        """The tables and views that it creates."""
        return frozenset(name for statement in self.creates for name in _CREATED.findall(statement))

    def statements(self, occurring: frozenset[str]) -> Iterator[str]:
        """What to run, in this order, for a batch in which these relations have events."""
        for fold in self.folds:
            if not fold.relations.isdisjoint(occurring):
                yield from fold.statements


class Catalogue:
    """Every projection of a folder, in an order in which they can be created."""

    def __init__(self, projections: Iterable[Projection]) -> None:
        self.projections = _in_order(list(projections))
        for projection in self.projections:
            for fold in projection.folds:
                if unknown := fold.relations - self._known:
                    raise InvalidProjection(projection.name, f"folds {min(unknown)}, which is not an event's relation")
            for cause in projection.causes:
                if unknown := frozenset(cause.of) - self._known - {*projection.uses}:
                    raise InvalidProjection(projection.name, f"has {min(unknown)} as a `why`, which it doesn't use")

    @classmethod
    def of_folder(cls, folder: Path = SQL_FOLDER) -> Catalogue:
        """The projections of the .sql files in `folder`."""
        return cls(parse(path.read_text("utf-8"), path.name) for path in sorted(folder.glob("*.sql")))

    @cached_property
    def by_name(self) -> dict[str, Projection]:
        """Every projection by its name, which is that of its read model."""
        return {projection.name: projection for projection in self.projections}

    def notes(self, name: str) -> dict[str, str]:
        """What is said of a read model's columns: by itself, or by the projections that it uses."""
        projection = self.by_name[name]
        notes: dict[str, str] = {}
        for used in projection.uses:
            notes.update(self.notes(used))
        notes.update(projection.notes)
        return notes

    @cached_property
    def derived(self) -> dict[str, Derived]:
        """The derived relations of all files, by name."""
        return {derived.name: derived for projection in self.projections for derived in projection.relations}

    @property
    def statements(self) -> list[str]:
        """What the folds of all projections run."""
        return [statement for one in self.projections for fold in one.folds for statement in fold.statements]

    @cached_property
    def selection(self) -> Selection:
        """What of the events the folds name."""
        return Selection([*self.statements, *(derived.query for derived in self.derived.values())])

    @cached_property
    def fingerprints(self) -> dict[str, tuple[int, str]]:
        """Version and fingerprint of every projection: tables made by others are out of date."""
        return {projection.name: (projection.version, projection.fingerprint) for projection in self.projections}

    def narrowed(self, names: Iterable[str]) -> Catalogue:
        """The catalogue that makes and folds only what these read models show. All others are known, but empty."""
        needed = self._behind(names)
        statements = [text for name in needed for fold in self.by_name[name].folds for text in fold.statements]
        drawn_on = self._drawn_on(statements)
        return Catalogue(
            one._replace(
                causes=(),
                creates=one.creates if one.name in needed else (),
                folds=one.folds if one.name in needed else (),
                relations=tuple(derived for derived in one.relations if derived.name in drawn_on),
            )
            for one in self.projections
        )

    def _behind(self, names: Iterable[str]) -> set[str]:
        """The projections of these names, and those whose tables or views they select from."""
        pending, needed = list(names), set[str]()
        while pending:
            name = pending.pop()
            needed.add(name)
            words = _words(self.by_name[name].creates)
            pending += [used for used in self.by_name[name].uses if not words.isdisjoint(self.by_name[used].created)]
        return needed

    def _drawn_on(self, statements: Iterable[str]) -> set[str]:
        """The derived relations that these statements select from, themselves or by way of others."""
        found = _words(statements) & self.derived.keys()
        further = _words(self.derived[name].query for name in found) & self.derived.keys()
        return (
            found if further <= found else self._drawn_on([*statements, *(self.derived[name].query for name in found)])
        )

    def occurring(self, relations: frozenset[str]) -> frozenset[str]:
        """Everything foldable in a batch that holds events of `relations`."""
        drawn = {name for name, derived in self.derived.items() if derived.of & relations}
        return relations | drawn | {EVENTS}

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(relations()) | frozenset(self.derived) | {EVENTS}


def parse(text: str, file: str) -> Projection:
    """The projection that a file's text defines. Raises `InvalidProjection`."""
    head, *rest = text.split("\n")
    header = _HEADER.match(head)
    if header is None:
        raise InvalidProjection(file, "the first line is not `-- projection: NAME   version: N`")
    if f"{header[1]}.sql" != file:
        raise InvalidProjection(file, f"defines {header[1]}, which belongs into {header[1]}.sql")
    description, causes, body = _description(rest)
    creates, *blocks = re.split(r"(?m)^(?=-- (?:relation|fold): )", body)
    derived = tuple(_derived(block, file) for block in blocks if block.startswith("-- relation: "))
    folds = tuple(_fold(block, file) for block in blocks if block.startswith("-- fold: "))
    key = _names(header[3] or "")
    return Projection(
        name=header[1],
        version=int(header[2]),
        key=key,
        uses=_names(header[4] or ""),
        description=description,
        causes=tuple(_cause(line, key, file) for line in causes),
        creates=_statements(creates, file),
        relations=derived,
        folds=folds,
        notes=_notes(creates),
        fingerprint=_fingerprint(body),
    )


def _description(lines: list[str]) -> tuple[str, list[str], str]:
    """What the comment at the top says, its `why` lines, and what is below it."""
    head = list(takewhile(lambda line: line.startswith("--") and not _BLOCK.match(line), lines))
    causes = [line for line in head if line.startswith("-- why:")]
    said = [line[2:].strip() for line in head if line not in causes]
    return "\n".join(said), causes, "\n".join(lines[len(head) :])


def _cause(line: str, key: tuple[str, ...], file: str) -> Cause:
    found = _CAUSE.match(line)
    if found is None:
        raise InvalidProjection(file, f"expected `-- why: RELATION, …   by: COLUMN, COLUMN = SQL, …`, not `{line}`")
    by: dict[str, str] = {}
    for part in _parts(found["by"] or ""):
        column, _, expression = part.partition(" = ")
        by[column] = expression or column
    if by.keys() != set(key):
        raise InvalidProjection(file, f"`{line}` gives {', '.join(by) or 'nothing'}; its key is {', '.join(key)}")
    return Cause(_names(found["of"]), {column: by[column] for column in key}, found["where"])


def _parts(text: str) -> list[str]:
    """What stands between the commas that are in no brackets."""
    parts = [""]
    depth = 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _derived(block: str, file: str) -> Derived:
    head, _, query = block.partition("\n")
    found = _RELATION.match(head.removeprefix("-- relation: "))
    if found is None:
        raise InvalidProjection(file, f"expected `-- relation: NAME   of: RELATION, …`, not `{head}`")
    return Derived(found[1], frozenset(_names(found[2])), _statements(query, file)[0])


def _fold(block: str, file: str) -> Fold:
    head, _, code = block.partition("\n")
    return Fold(frozenset(_names(head.removeprefix("-- fold: "))), _statements(code, file))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _statements(code: str, file: str) -> tuple[str, ...]:
    try:
        return tuple(statement.query.strip() for statement in duckdb.extract_statements(code))
    except duckdb.Error as error:
        raise InvalidProjection(file, str(error)) from None


def _notes(creates: str) -> dict[str, str]:
    """What the comments behind columns say of them, by column: the name comes first in a table, last in a view."""
    notes: dict[str, str] = {}
    for statement in re.split(r"(?m)^(?=create )", creates):
        place = 0 if statement.startswith("create table") else -1
        for line in filter(None, map(_DESCRIBED.match, statement.split("\n"))):
            notes[line["code"].split()[place].rpartition(".")[2].strip('"(),')] = line["note"]
    return notes


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _WORD.findall(text)}


def _fingerprint(body: str) -> str:
    code = " ".join(_COMMENT.sub(lambda found: found[0] if _BLOCK.match(found[0]) else "", body).split())
    return hashlib.sha256(code.encode()).hexdigest()


def _in_order(projections: list[Projection]) -> tuple[Projection, ...]:
    by_name = {projection.name: projection for projection in projections}
    for projection in projections:
        if missing := set(projection.uses) - by_name.keys():
            raise InvalidProjection(projection.name, f"uses {min(missing)}, which no file defines")
    try:
        order = TopologicalSorter({name: by_name[name].uses for name in sorted(by_name)}).static_order()
        return tuple(by_name[name] for name in order)
    except CycleError as error:
        raise InvalidProjection(error.args[1][0], f"uses itself by way of {', '.join(error.args[1])}") from None
