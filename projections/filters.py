"""What is asked of one read model, made into SQL: typed filters, columns, an order, and pages by cursor.

A condition is `column=value` or `column.OPERATOR=value`. Values are checked against the column's type and bound as
parameters. The order is total: rows that the sort leaves level are ordered by what identifies them. A cursor holds the
last row's place in that order, so rows that come and go move nothing.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import duckdb
import msgspec

from .answers import Answer, Column
from .errors import InvalidCursor, InvalidQuestion
from .relations import quoted
from .values import checked, is_plain, is_text

RESERVED = ("limit", "select", "sort", "cursor", "format", "wait_for", "reveal", "as_of")
COMPARISONS = {"eq": "=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "in", "like", "null")
CONDITIONS_MAX = 64
LIST_VALUES_MAX = 1_000
SORT_COLUMNS_MAX = 8
# Text that identifies nothing is ordered by so much of its beginning, which keeps cursors short.
SORTED_CHARACTERS_MAX = 200
CURSOR_CHARACTERS_MAX = 16_384
# What leaves few rows where it is asked of the key.
POINTED = ("eq", "in", "null")
# No more rows than this are looked for among the keys; they are found there if no key is listed more often than this.
BOUNDED_ROWS_MAX = 10_000
KEYS_PER_ROW_MAX = 8


class Condition(NamedTuple):
    """What a row must have. `text` is the value as it was written."""

    column: str
    operator: str
    text: str


class Question(NamedTuple):
    """What is asked of a read model. No `select` is every column; a `sort` of `-column` is descending."""

    conditions: tuple[Condition, ...] = ()
    select: tuple[str, ...] = ()
    sort: tuple[str, ...] = ()
    cursor: str | None = None


class Term(NamedTuple):
    """One term of the order."""

    expression: str
    sql_type: str
    descending: bool = False


class Place(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a page ended: what the last row has of each term of the order."""

    fingerprint: str
    values: tuple[str | None, ...]


class Keys(NamedTuple):
    """The relation that holds the key of every row, some of them several times, in its only `column`."""

    relation: str
    column: str
    sql_type: str


class Prepared(NamedTuple):
    """A question as SQL. `keys` are there where they tell which rows come first."""

    model: str
    selected: str
    place: str
    where: tuple[str, ...]
    order: str
    parameters: list[str]
    fingerprint: str
    keys: Keys | None = None

    @property
    def query(self) -> str:
        """What answers rows in order, their place in it as a last column."""
        return f"select {self.selected}, {self.place} as place {self._rest}"

    @property
    def bare(self) -> str:
        """The same without places."""
        return f"select {self.selected} {self._rest}"

    @property
    def places(self) -> str:
        """Nothing but the places."""
        return f"select {self.place} as place {self._rest}"

    def bounds(self, rows: int) -> str | None:
        """The query for the keys between which the first `rows` lie, and how many of them it found; None: just ask.

        To look at a few keys too many is cheaper than to tell all of them apart.
        """
        if self.keys is None or rows > BOUNDED_ROWS_MAX:
            return None
        column = quoted(self.keys.column)
        return (
            f"select min({column})::varchar, max({column})::varchar, count({column}) from ("  # noqa: S608
            f"select distinct {column} from (select {column} from {self._rest_of(self.keys.relation)} "
            f"limit {rows * KEYS_PER_ROW_MAX}) order by {self.order} limit {rows})"
        )

    def between(self, least: str, greatest: str) -> Prepared:
        """The same question to the rows whose keys lie between these, both included."""
        if self.keys is None:
            return self
        within = f"{quoted(self.keys.column)} between ?::{self.keys.sql_type} and ?::{self.keys.sql_type}"
        return self._replace(where=(*self.where, within), parameters=[*self.parameters, least, greatest])

    @property
    def _rest(self) -> str:
        return f"from {self._rest_of(self.model)}"

    def _rest_of(self, relation: str) -> str:
        where = f" where {' and '.join(self.where)}" if self.where else ""
        return f"{quoted(relation)}{where}{f' order by {self.order}' if self.order else ''}"

    def page(self, fetched: Answer, limit: int) -> Answer:
        """Of the answer to `query`, fetched to one row beyond `limit`, the page: without places, but with a cursor."""
        rows = [row[:-1] for row in fetched.rows[:limit]]
        following = self.next([row[-1] for row in fetched.rows], limit)
        return Answer(fetched.columns[:-1], rows, truncated=len(fetched.rows) > limit, next=following)

    def next(self, places: Sequence[Sequence[str | None]], limit: int) -> str | None:
        """The cursor behind a page, if there is a row beyond: the last of these places."""
        if not 0 < limit < len(places) or not places[limit - 1]:
            return None
        place = Place(self.fingerprint, tuple(places[limit - 1]))
        return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def question_of(pairs: Iterable[tuple[str, str]]) -> Question:
    """The question in a URL's query. Raises `InvalidQuestion`.

    A bare reserved name is the option; the column of such a name is asked for with an operator, as in `limit.eq=3`.
    """
    options: dict[str, str] = {}
    conditions: list[Condition] = []
    for name, text in pairs:
        if name in RESERVED:
            options[name] = text
        else:
            conditions.append(_condition(name, text))
    if len(conditions) > CONDITIONS_MAX:
        raise InvalidQuestion("filters", f"{len(conditions)} are too many; {CONDITIONS_MAX} are allowed")
    return Question(
        tuple(conditions), _names(options.get("select")), _names(options.get("sort")), options.get("cursor")
    )


def prepare(
    model: str, columns: Sequence[Column], key: Sequence[str], question: Question, keys: str | None = None
) -> Prepared:
    """The SQL for a question to the read model of that name, whose rows `key` tells apart; `keys` is the view of those.

    Raises `InvalidQuestion` or `InvalidCursor`.
    """
    types = {column.name: column.type for column in columns}
    where, parameters = _where(question.conditions, types)
    selected = ", ".join(quoted(_known(name, types, "select")) for name in question.select or types)
    order = _order(question.sort, types, key)
    fingerprint = _fingerprint(model, question)
    if question.cursor:
        place = _place(question.cursor, fingerprint, len(order))
        where.append(_behind(order, place.values, parameters))
    return Prepared(
        model,
        selected,
        "[" + ", ".join(f"({term.expression})::varchar" for term in order) + "]",
        tuple(where),
        ", ".join(map(_ordering, order)),
        parameters,
        fingerprint,
        Keys(keys, key[0], types[key[0]]) if keys and _is_told_by_keys(question, key) else None,
    )


def _is_told_by_keys(question: Question, key: Sequence[str]) -> bool:
    """Whether the key, of one column, says which rows come first, and there may be many."""
    named = {one.column for one in question.conditions} | {name.removeprefix("-") for name in question.sort}
    is_pointed = any(one.operator in POINTED for one in question.conditions)
    return len(key) == 1 and named <= set(key) and not is_pointed


def _condition(name: str, text: str) -> Condition:
    column, dot, operator = name.rpartition(".")
    if not dot:
        return Condition(name, "eq", text)
    if operator not in OPERATORS:
        nearest = get_close_matches(operator, OPERATORS, n=1)
        hint = f"did you mean {nearest[0]!r}? There" if nearest else "there"
        raise InvalidQuestion(name, f"no operator is named {operator!r}; {hint} are {', '.join(OPERATORS)}")
    return Condition(column, operator, text)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _known(name: str, types: dict[str, str], where: str) -> str:
    if name in types:
        return name
    nearest = get_close_matches(name, [*types, *(RESERVED if where == name else ())], n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(types)}"
    raise InvalidQuestion(where, f"no column is named {name!r}; {hint}")


def _where(conditions: Iterable[Condition], types: dict[str, str]) -> tuple[list[str], list[str]]:
    where: list[str] = []
    parameters: list[str] = []
    for one in conditions:
        sql_type = types[_known(one.column, types, one.column)]
        where.append(_predicate(one, sql_type, parameters))
    return where, parameters


def _predicate(one: Condition, sql_type: str, parameters: list[str]) -> str:
    """The condition in SQL; its values join `parameters`."""
    column, operator, text = one
    if operator == "null":
        return f"{quoted(column)} is {'' if _truth(one) else 'not '}null"
    if not is_plain(sql_type):
        raise InvalidQuestion(column, f"is {sql_type}, of which only `{column}.null` can be asked; POST /sql can more")
    if operator == "like" and not is_text(sql_type):
        raise InvalidQuestion(column, f"is {sql_type}; `like` is for text")
    texts = _listed(one) if operator == "in" else [text]
    parameters += [checked(column, sql_type, value) for value in texts]
    if operator == "in":
        return f"{quoted(column)} in ({', '.join([f'?::{sql_type}'] * len(texts))})"
    sign = {"ne": "is distinct from", "like": "like"}.get(operator) or COMPARISONS[operator]
    return f"{quoted(column)} {sign} ?::{sql_type}"


def _truth(one: Condition) -> bool:
    if one.text not in ("true", "false"):
        raise InvalidQuestion(f"{one.column}.null", f"{one.text!r} is neither true nor false")
    return one.text == "true"


def _listed(one: Condition) -> list[str]:
    """The values between the commas; one that holds a comma stands in double quotes."""
    try:
        (texts,) = csv.reader([one.text], strict=True) if one.text else [[""]]
    except (csv.Error, ValueError) as error:
        raise InvalidQuestion(f"{one.column}.in", f"is not values with commas between them ({error})") from None
    if len(texts) > LIST_VALUES_MAX:
        raise InvalidQuestion(f"{one.column}.in", f"{len(texts)} values are too many; {LIST_VALUES_MAX} are allowed")
    return texts


def _order(sort: Sequence[str], types: dict[str, str], key: Sequence[str]) -> list[Term]:
    wanted = {name.removeprefix("-"): name.startswith("-") for name in sort}
    if len(wanted) < len(sort):
        raise InvalidQuestion("sort", "names a column twice")
    if len(sort) > SORT_COLUMNS_MAX:
        raise InvalidQuestion("sort", f"{len(sort)} columns are too many; {SORT_COLUMNS_MAX} are allowed")
    for name in wanted:
        if not is_plain(types[_known(name, types, "sort")]):
            raise InvalidQuestion("sort", f"{name} is {types[name]}, which has no order; POST /sql can more")
    names = [*wanted, *(name for name in key if name not in wanted)]
    return [_term(name, types[name], descending=wanted.get(name, False), whole=name in key) for name in names]


def _term(name: str, sql_type: str, *, descending: bool, whole: bool) -> Term:
    column = quoted(name)
    cut = is_text(sql_type) and not whole
    return Term(f"left({column}, {SORTED_CHARACTERS_MAX})" if cut else column, sql_type, descending)


def _ordering(term: Term) -> str:
    return f"{term.expression} {'desc' if term.descending else 'asc'} nulls last"


def _behind(order: Sequence[Term], values: Sequence[str | None], parameters: list[str]) -> str:
    """Whether a row comes behind the one that has these values; nulls come last."""
    if not order:
        return "false"
    term, value = order[0], values[0]
    if value is None:
        return f"({term.expression} is null and {_behind(order[1:], values[1:], parameters)})"
    parameters += [value, value]
    rest = _behind(order[1:], values[1:], parameters)
    typed = f"?::{term.sql_type}"
    later = f"{term.expression} {'<' if term.descending else '>'} {typed} or {term.expression} is null"
    return f"({later} or ({term.expression} = {typed} and {rest}))"


def _fingerprint(model: str, question: Question) -> str:
    asked = [duckdb.__version__, model, sorted(question.conditions), question.sort]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()[:16]


def _place(cursor: str, fingerprint: str, terms: int) -> Place:
    try:
        if len(cursor) > CURSOR_CHARACTERS_MAX:
            raise ValueError
        decoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = msgspec.json.decode(decoded, type=Place)
    except (ValueError, RecursionError):
        raise InvalidCursor("is none that an answer gave as `next`; ask without it for the first page") from None
    if place.fingerprint != fingerprint or len(place.values) != terms:
        raise InvalidCursor(
            "belongs to another question; keep read model, filters and sort from page to page "
            "(limit, select and format may change)"
        )
    return place
