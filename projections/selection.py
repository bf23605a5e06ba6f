"""What of the events is brought into SQL: the columns of a batch's table that folds name, and the views of it.

The events of a batch lie in one wide table, `events`, with a column for every field of every event, and each event type
has a view of its own. An event has the newest version of its shape here, its type is named without a version, and a
field that it leaves out has the value that this stands for.

To bind a view costs DuckDB a millisecond per fifty columns: what draws on several types is best one selection from
`events`, and no union of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from .relations import ENVELOPE, MADE, data_columns, literal, quoted, relations

_WORDS = re.compile(r"\w+")


class Selection:
    """The columns and relations that some SQL names, of all that there are: what nobody selects isn't worth loading."""

    def __init__(self, statements: Iterable[str]) -> None:
        words = frozenset(word for statement in statements for word in _WORDS.findall(statement))
        self._envelope = {column: sql for column, sql in ENVELOPE.items() if column in words} | {"type": _type()}
        self._relations = [relation for name, relation in relations().items() if name in words]
        self.data = {column: sql_type for column, sql_type in data_columns().items() if column in words}

    @classmethod
    def of_everything(cls) -> Selection:
        """All that there are."""
        return cls([*ENVELOPE, *data_columns(), *relations()])

    @classmethod
    def to_keep(cls) -> Selection:
        """All from which everything there is can be had again by `kept_columns`."""
        return cls([*(column for column in ENVELOPE if column not in MADE), *data_columns()])

    def kept_columns(self, fields: Collection[str] | None = None) -> dict[str, str]:
        """The columns of `events`, in SQL, from what was selected `to_keep`, or from `columns_to_keep` of `fields`."""
        data = {
            name: quoted(name) if fields is None or name in fields else f"null::{kind}"
            for name, kind in self.data.items()
        }
        return {name: MADE.get(name, quoted(name)) for name in self._envelope} | data

    def columns_to_keep(self, fields: Collection[str]) -> dict[str, str]:
        """Those of `columns` that have something in them, and aren't made from others."""
        return {
            name: sql
            for name, sql in self.columns(fields).items()
            if name not in MADE and (name in self._envelope or name in fields)
        }

    def columns(self, fields: Collection[str]) -> dict[str, str]:
        """The columns of `events`, in SQL, from an event as it is on the wire. It may have these fields, no others."""
        data = {name: self._value(name) if name in fields else f"null::{kind}" for name, kind in self.data.items()}
        return self._envelope | data

    def drawn_on(self, names: Iterable[str]) -> list[str]:
        """Which of these columns of an event as it is on the wire `columns` makes something of."""
        words = {word for sql in self._envelope.values() for word in _WORDS.findall(sql)}
        return [name for name in names if name in words]

    def fields_of(self, wire_types: Collection[str]) -> frozenset[str]:
        """Which columns of `data` events of these types may have."""
        names = (
            field.name for known in relations().values() if known.wire_type in wire_types for field in known.fields
        )
        return frozenset(name for name in names if name in self.data)

    def views(self) -> Iterator[str]:
        """The statements that create the relations of single types over `events`."""
        for relation in self._relations:
            columns = [*self._envelope, *(field.name for field in relation.fields if field.name in self.data)]
            yield (
                f"create or replace temp view {quoted(relation.name)} as "  # noqa: S608
                f"select {', '.join(map(quoted, columns))} from events where type = {literal(relation.type)}"
            )

    def _value(self, column: str) -> str:
        """The value of a column of `data`, in SQL, from an event's `type` and `data` as they are on the wire."""
        value = f"data.{quoted(column)}"
        defaults = {
            relation.wire_type: field.default
            for relation in relations().values()
            for field in relation.fields
            if field.name == column and field.default is not None
        }
        return f"coalesce({value}, {_case('type', defaults, 'null')})" if defaults else value


def _type() -> str:
    """An event's type without the version, in SQL, from the `type` that it has on the wire."""
    versioned = [relation for relation in relations().values() if relation.wire_type != relation.type]
    return _case("type", {relation.wire_type: literal(relation.type) for relation in versioned}, "type")


def _case(of: str, values: Mapping[str, str], otherwise: str) -> str:
    whens = (f"when {literal(key)} then {value}" for key, value in values.items())
    return f"case {of} {' '.join(whens)} else {otherwise} end"
