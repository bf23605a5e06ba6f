"""The typed SQL relations that folds select from, derived from the event structs.

Each event type has a relation of its own, named like the type: `llm_call_completed` holds a batch's
`llm_call.completed`, whatever version of the shape they were published in.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import msgspec

from ..schemas import EventType, current_types

# What every relation starts with, and how it comes from an event as it is on the wire. `happened` orders the facts
# about an entity in the same way on every node.
ENVELOPE = {
    "origin": "origin",
    "n": "n",
    "id": "id",
    "type": "type",
    "source": "source",
    "publisher": "split_part(source, '/', -1)",
    "subject": "subject",
    "time": "time",
    "recorded_time": "recordedtime",
    "correlationid": "correlationid",
    "happened": "struct_pack(time := time, origin := origin, n := n)",
}
# What of the envelope is made from the rest of it, and never kept.
MADE = {name: ENVELOPE[name] for name in ("publisher", "happened")}
_SQL_TYPES: dict[type[msgspec.inspect.Type], str] = {
    msgspec.inspect.StrType: "VARCHAR",
    msgspec.inspect.IntType: "BIGINT",
    msgspec.inspect.BoolType: "BOOLEAN",
    msgspec.inspect.FloatType: "DOUBLE",
    msgspec.inspect.LiteralType: "VARCHAR",
    msgspec.inspect.AnyType: "JSON",
    msgspec.inspect.DictType: "JSON",
}


class Field(NamedTuple):
    """A column that comes from an event's data. `default`: SQL for what an absent field stands for."""

    name: str
    sql_type: str
    default: str | None


class Relation(NamedTuple):
    """The events of one type, as SQL sees them. `wire_type` is the newest name of the type, with its version."""

    wire_type: str
    fields: tuple[Field, ...]

    @property
    def type(self) -> str:
        """The type as SQL has it: without the version."""
        return ".".join(self.wire_type.split(".")[:2])

    @property
    def name(self) -> str:
        """The relation's own name."""
        return self.type.replace(".", "_")


@cache
def relations() -> dict[str, Relation]:
    """The relation of every current event type, by name."""
    found = [relation_of(known) for known in current_types()]
    return {relation.name: relation for relation in found}


@cache
def data_columns() -> dict[str, str]:
    """Every field of every current event and its SQL type. The same name is the same type everywhere."""
    return wide(relations().values())


def relation_of(known: EventType) -> Relation:
    """The relation of one event type."""
    struct = msgspec.inspect.type_info(known.struct)
    if not isinstance(struct, msgspec.inspect.StructType):
        raise TypeError(f"{known.name} is not a struct")
    return Relation(known.name, tuple(_field(field) for field in struct.fields))


def wide(of: Iterable[Relation]) -> dict[str, str]:
    """The columns that hold all of these relations' fields. Raises where two relations disagree on a type."""
    columns: dict[str, str] = {}
    for relation in of:
        for field in relation.fields:
            if field.name in ENVELOPE:
                raise TypeError(f"{relation.type} names a field {field.name!r}, which its envelope has already")
            if columns.setdefault(field.name, field.sql_type) != field.sql_type:
                raise TypeError(
                    f"{relation.type}.{field.name} is {field.sql_type} in SQL, but {columns[field.name]} in another "
                    "event; one name means one thing, so rename it or use the same annotation"
                )
    return columns


def literal(text: str) -> str:
    """`text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def quoted(name: str) -> str:
    """`name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _field(field: msgspec.inspect.Field) -> Field:
    return Field(field.encode_name, _sql_type(field.type), _default(field))


def _sql_type(annotated: msgspec.inspect.Type) -> str:
    if isinstance(annotated, msgspec.inspect.Metadata):
        return (annotated.extra or {}).get("sql") or _sql_type(annotated.type)
    if isinstance(annotated, msgspec.inspect.UnionType):
        (one,) = (member for member in annotated.types if not isinstance(member, msgspec.inspect.NoneType))
        return _sql_type(one)
    if isinstance(annotated, msgspec.inspect.ListType):
        return _sql_type(annotated.item_type) + "[]"
    return _SQL_TYPES[type(annotated)]


def _default(field: msgspec.inspect.Field) -> str | None:
    if field.default_factory is not msgspec.NODEFAULT:
        return "[]" if field.default_factory() == [] else None
    if field.default is msgspec.NODEFAULT or field.default is None:
        return None
    return literal(field.default) if isinstance(field.default, str) else str(field.default)
