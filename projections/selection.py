"""What of the events is brought into SQL: the columns of a batch's table that folds name, and the views of it.

The events of a batch lie in one wide table, with a column for every field of every event. `events` is a view of all of
it, and each event type has one of its own. An event has the newest version of its shape here, its type is named without
a version, and a field that it leaves out has the value that this stands for.

To bind a view costs DuckDB a millisecond per fifty columns: what draws on several types is best one selection from
`events`, and no union of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from .relations import ENVELOPE, data_columns, literal, quoted, relations

_WORDS = re.compile(r"\w+")


class Selection:
    """The columns and relations that some SQL names, of all that there are: what nobody selects isn't worth loading."""

    def __init__(self, statements: Iterable[str]) -> None:
        words = frozenset(word for statement in statements for word in _WORDS.findall(statement))
        self._envelope = {column: sql for column, sql in ENVELOPE.items() if column in words}
        self._drawn_on = {word for sql in self._envelope.values() for word in _WORDS.findall(sql)} | {"type"}
        self._relations = [relation for name, relation in relations().items() if name in words]
        self.data = {column: sql_type for column, sql_type in data_columns().items() if column in words}

    @classmethod
    def of_everything(cls) -> Selection:
        """All that there are."""
        return cls([*ENVELOPE, *data_columns(), *relations()])

    def envelope(self, names: Iterable[str]) -> list[str]:
        """Which of these columns of the batch's table the relations draw on."""
        return [name for name in names if name in self._drawn_on]

    def fields_of(self, wire_types: Collection[str]) -> frozenset[str]:
        """Which columns of `data` events of these types may have."""
        names = (
            field.name for known in relations().values() if known.wire_type in wire_types for field in known.fields
        )
        return frozenset(name for name in names if name in self.data)

    def value(self, column: str) -> str:
        """The value of a column of `data`, in SQL, from an event's `type` and `data` as they are on the wire."""
        value = f"data.{quoted(column)}"
        defaults = {
            relation.wire_type: field.default
            for relation in relations().values()
            for field in relation.fields
            if field.name == column and field.default is not None
        }
        return f"coalesce({value}, {_case('type', defaults, 'null')})" if defaults else value

    def views(self) -> Iterator[str]:
        """The statements that create `events` and the relations of single types over the batch's table."""
        yield self._view("events", self.data)
        for relation in self._relations:
            fields = (field.name for field in relation.fields if field.name in self.data)
            yield self._view(relation.name, fields) + f" where type = {literal(relation.type)}"

    def _view(self, name: str, fields: Iterable[str]) -> str:
        envelope = (f"{sql} as {quoted(column)}" for column, sql in self._envelope.items())
        columns = ", ".join([*envelope, *map(quoted, fields)])
        return f"create or replace temp view {quoted(name)} as select {columns} from batch"  # noqa: S608


def type_expression() -> str:
    """An event's type without the version, in SQL, from the `type` that it has on the wire."""
    versioned = [relation for relation in relations().values() if relation.wire_type != relation.type]
    return _case("type", {relation.wire_type: literal(relation.type) for relation in versioned}, "type")


def _case(of: str, values: Mapping[str, str], otherwise: str) -> str:
    whens = (f"when {literal(key)} then {value}" for key, value in values.items())
    return f"case {of} {' '.join(whens)} else {otherwise} end"
