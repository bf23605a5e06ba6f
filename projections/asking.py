"""What can be asked of read models, and by how many at once: the live ones, or those of a past moment."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import duckdb

from .answers import Answer, Column, read_answer
from .definitions import EVENTS, Catalogue, keys_view
from .digests import digests_at_one_moment
from .engine import Vector
from .errors import NoSuchRow, QueryFailed, UnknownReadModel
from .filters import Prepared, Question, prepare
from .formats import BinaryFormat, Encoded, Selection, arrow, parquet
from .keys import KeyPart, nearest, question_for, rows_with
from .leash import QUERY_SECONDS_MAX, Leash
from .queries import Parameters, Read, ask, ask_in_sql
from .readers import Readers
from .relations import quoted
from .sandbox import as_subquery, in_sight

ROWS_MAX = 1_000_000
EVERYTHING = Question()

_WORDS = re.compile(r"\w+")

Result = TypeVar("Result")


class ReadModel(NamedTuple):
    """A table or view that can be asked by its name. `key`: the columns that tell its rows apart."""

    name: str
    version: int
    description: str
    key: tuple[str, ...]
    columns: list[Column]


class Row(NamedTuple):
    """One row of a read model, as it was when the tables were as far as `vector`. `key`: its key's columns."""

    key: tuple[str, ...]
    columns: list[Column]
    values: list[Any]
    vector: Vector

    def parts(self) -> list[KeyPart]:
        """Its key."""
        types = {column.name: column.type for column in self.columns}
        return [KeyPart(name, types[name], value) for name, value in self.record().items() if name in self.key]

    def record(self) -> dict[str, Any]:
        """The row as an object."""
        return dict(zip((column.name for column in self.columns), self.values, strict=True))


class _Shape(NamedTuple):
    """A read model's columns, and the view that lists its keys, if there is one."""

    columns: list[Column]
    keys: str | None


class ReadModels(ABC):
    """Tables that any number of threads may ask. Every method blocks.

    `events` says the statement that makes the log one relation, for SQL that names it; `names` are the read models that
    there are, where not all of the catalogue's.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        readers: Readers,
        *,
        events: Callable[[], str],
        scratch: Path,
        names: Iterable[str] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._readers = readers
        self._events = events
        self._scratch = scratch
        self._names = sorted(catalogue.by_name if names is None else names)
        self._shapes: dict[str, _Shape] = {}  # of those that were asked, until another database is opened

    @abstractmethod
    def vector(self) -> Vector:
        """How far the tables are: the last folded n of each origin."""

    @abstractmethod
    def stamp(self) -> str:
        """What tells whether an answer may have changed."""

    def named_in(self, text: str) -> list[str]:
        """The read models that a statement may ask."""
        return sorted(self._catalogue.by_name.keys() & set(_WORDS.findall(text.lower())))

    def models(self) -> list[ReadModel]:
        """Every read model, by name."""
        return [self._model(name) for name in self._names]

    def key_of(self, name: str) -> tuple[str, ...]:
        """The columns that tell a read model's rows apart. Raises `UnknownReadModel`."""
        if name not in self._names:
            raise UnknownReadModel(name, self._names)
        return self._catalogue.by_name[name].key

    def columns_of(self, name: str) -> list[Column]:
        """A read model's columns. Raises `UnknownReadModel`."""
        return self._shape(name).columns

    def rows(
        self, name: str, question: Question = EVERYTHING, *, limit: int = 1_000, leash: Leash | None = None
    ) -> Answer:
        """Rows of one read model, a page of them; the answer's `next` is the cursor for the one behind.

        Raises `UnknownReadModel`, `InvalidQuestion`, `QueryNotAdmitted` or `QueryFailed`.
        """
        prepared = self._prepared(name, question)

        def read(cursor: duckdb.DuckDBPyConnection) -> Answer:
            bounded = _within_bounds(cursor, prepared, _bounded(limit) + 1)
            found = cursor.execute(f"{bounded.query} limit {_bounded(limit) + 1}", bounded.parameters)
            return prepared.page(read_answer(found, _bounded(limit) + 1), _bounded(limit))

        return self._ask(partial(ask, read=read, leash=leash or Leash()))

    def rows_in(
        self,
        format: BinaryFormat,
        name: str,
        question: Question = EVERYTHING,
        *,
        limit: int = 1_000,
        leash: Leash | None = None,
    ) -> Encoded:
        """The same rows as `rows` answers, in a format that DuckDB writes. Raises as it does."""
        prepared = self._prepared(name, question)

        def read(cursor: duckdb.DuckDBPyConnection) -> Encoded:
            bounded = _within_bounds(cursor, prepared, _bounded(limit) + 1)
            selection = Selection(f"({bounded.bare})", bounded.parameters, _bounded(limit))
            encoded = self._encode(format, cursor, selection)
            if not encoded.truncated:
                return encoded
            places = cursor.execute(f"{bounded.places} limit {selection.limit + 1}", bounded.parameters).fetchall()
            return encoded._replace(next=prepared.next([place for (place,) in places], selection.limit))

        return self._ask(partial(ask, read=read, leash=leash or Leash()))

    def row(self, name: str, key: Sequence[str], *, leash: Leash | None = None) -> Row:
        """The row of a read model whose key has these parts; an empty part is NULL.

        Raises `UnknownReadModel`, `InvalidKey`, `InvalidQuestion`, `NoSuchRow`, `QueryNotAdmitted` or `QueryFailed`.
        """
        columns = self.key_of(name)
        prepared = self._prepared(name, question_for(name, columns, key))

        def read(cursor: duckdb.DuckDBPyConnection) -> Row:
            vector = _vector_in(cursor)
            found = read_answer(cursor.execute(prepared.bare, prepared.parameters), 1)
            if not found.rows:
                raise NoSuchRow(name, key, nearest(cursor, name, columns, key))
            return Row(columns, found.columns, found.rows[0], vector)

        return self._ask(partial(ask, read=read, leash=leash or Leash()))

    @contextmanager
    def standing(self) -> Iterator[Standing]:
        """The tables as they are at one moment, for several questions, while others fold on. Not to be held for long.

        Raises `QueryNotAdmitted`.
        """
        with self._readers.cursor() as cursor:
            cursor.execute("begin transaction read only")
            yield Standing(self, cursor, _vector_in(cursor))

    def sql(
        self,
        text: str,
        parameters: Parameters | None = None,
        *,
        limit: int = 10_000,
        timeout_seconds: float = QUERY_SECONDS_MAX,
        leash: Leash | None = None,
    ) -> Answer:
        """Answer one reading statement. It sees every read model, and the log as `events`.

        Raises `QueryRefused` if it is anything but one query, `QueryNotAdmitted` if it was not begun, and
        `QueryFailed` if it fails or takes too long.
        """

        def reading(query: str) -> Read[Answer]:
            return lambda cursor: read_answer(cursor.execute(query, parameters or None), _bounded(limit))

        return self._ask_in_sql(text, reading, leash or Leash(timeout_seconds))

    def sql_in(
        self,
        format: BinaryFormat,
        text: str,
        parameters: Parameters | None = None,
        *,
        limit: int = 10_000,
        leash: Leash | None = None,
    ) -> Encoded:
        """The answer that `sql` gives, in a format that DuckDB writes. Raises as it does."""

        def reading(query: str) -> Read[Encoded]:
            selection = Selection(as_subquery(query), parameters, _bounded(limit))
            return lambda cursor: self._encode(format, cursor, selection)

        return self._ask_in_sql(text, reading, leash or Leash())

    def digests(self) -> dict[str, str]:
        """A digest of every read model's rows, all of the same moment."""
        return self._ask(lambda cursor: digests_at_one_moment(cursor, self._names))

    @abstractmethod
    def _heard(self, error: QueryFailed) -> None:
        """Make something of it that a query failed; the error is raised in any case."""

    def _ask(self, asking: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        with self._readers.cursor() as cursor:
            try:
                return asking(cursor)
            except QueryFailed as error:
                self._heard(error)
                raise

    def _ask_in_sql(self, text: str, read: Callable[[str], Read[Result]], leash: Leash) -> Result:
        seen = in_sight(text, sorted([*self._catalogue.by_name, EVENTS]))
        return self._ask(partial(ask_in_sql, events=self._events, text=seen, read=read, leash=leash))

    def _encode(self, format: BinaryFormat, cursor: duckdb.DuckDBPyConnection, selection: Selection) -> Encoded:
        return arrow(cursor, selection) if format == "arrow" else parquet(cursor, selection, folder=self._scratch)

    def _prepared(self, name: str, question: Question) -> Prepared:
        shape = self._shape(name)
        return prepare(name, shape.columns, self.key_of(name), question, shape.keys)

    def _shape(self, name: str) -> _Shape:
        self.key_of(name)
        shapes = self._shapes  # another database brings other ones
        shape = shapes.get(name)
        if shape is None:
            with self._readers.cursor() as cursor:
                shape = shapes[name] = _Shape(self._columns_in(cursor, name), _keys_in(cursor, name))
        return shape

    def _columns_in(self, cursor: duckdb.DuckDBPyConnection, name: str) -> list[Column]:
        notes = self._catalogue.notes(name)
        described = cursor.execute(f"describe {quoted(name)}").fetchall()
        return [Column(column, sql_type, notes.get(column, "")) for column, sql_type, *_ in described]

    def _model(self, name: str) -> ReadModel:
        projection = self._catalogue.by_name[name]
        return ReadModel(name, projection.version, projection.description, projection.key, self.columns_of(name))


class Standing:
    """The tables when they were as far as `vector`."""

    def __init__(self, models: ReadModels, cursor: duckdb.DuckDBPyConnection, vector: Vector) -> None:
        self.vector = vector
        self._models = models
        self._cursor = cursor

    def rows_of(self, name: str, keys: Sequence[Mapping[str, Any]], leash: Leash) -> Answer:
        """The rows that have one of these keys, whose values are of the columns' types. Raises as `rows` does."""
        columns, key = self._models.columns_of(name), self._models.key_of(name)
        with leash.holding(self._cursor):
            return read_answer(self._cursor.execute(*rows_with(name, columns, key, keys)), max(len(keys), 1))


def _vector_in(cursor: duckdb.DuckDBPyConnection) -> Vector:
    return dict(cursor.execute("select origin, n from rookery.checkpoints").fetchall())


def _keys_in(cursor: duckdb.DuckDBPyConnection, name: str) -> str | None:
    """The view that lists a read model's keys, if there is one. Outdated tables may be without."""
    view = keys_view(name)
    found = cursor.execute("select 1 from duckdb_views() where view_name = ?", [view]).fetchall()
    return view if found else None


def _within_bounds(cursor: duckdb.DuckDBPyConnection, prepared: Prepared, rows: int) -> Prepared:
    """The same question, kept to the keys that its first rows have, so that views join these rows and no others."""
    bounds = prepared.bounds(rows)
    if bounds is None:
        return prepared
    ((least, greatest, found),) = cursor.execute(bounds, prepared.parameters).fetchall()
    return prepared.between(least, greatest) if found == rows else prepared


def _bounded(limit: int) -> int:
    return min(limit, ROWS_MAX)
