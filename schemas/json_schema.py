"""What each type of event looks like in JSON Schema 2020-12: for any language, and as exact as `check` is."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from .envelope import Event
from .registry import EventType
from .wire import RESERVED, TIME_PATTERN

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLACE = "https://rookery.dev/schemas/"

_DEFINITION = "#/$defs/{name}"


def event_schema(known: EventType) -> Schema:
    """The schema of a whole event of this type, envelope and data, which refers to nothing outside itself."""
    data, definitions = _shape_of(known.struct)
    schema = _envelope(known.name, cleandoc(data.pop("description", "")), {"type": {"const": known.name}, "data": data})
    if data.get("required"):
        schema["required"].append("data")
    return schema | ({"$defs": definitions} if definitions else {})


def envelope_schema() -> Schema:
    """The schema of what all events have in common."""
    description = "The envelope of every event, whatever its type: CloudEvents 1.0 in structured JSON mode."
    return _envelope("envelope", description, {"data": {"description": "What happened, in the shape of its type."}})


def document_schema(name: str, struct: type) -> Schema:
    """The schema of a document that is no event: a file that people write."""
    shape, definitions = _shape_of(struct)
    shape["description"] = cleandoc(shape.pop("description", ""))
    return (
        {"$schema": DIALECT, "$id": PLACE + file_name(name)} | shape | ({"$defs": definitions} if definitions else {})
    )


def file_name(name: str) -> str:
    """Where the schema of a type, or of the `envelope`, is published."""
    return f"{name}.json"


def _envelope(title: str, description: str, particulars: Schema) -> Schema:
    fields = {field.name: field for field in msgspec.structs.fields(Event)}
    properties = {name: _published(msgspec.json.schema(field.type)) for name, field in fields.items() if name != "data"}
    properties["specversion"] = {"const": "1.0", "description": "CloudEvents'."}
    properties["time"] |= {"format": "date-time", "pattern": f"^{TIME_PATTERN}$"}
    properties |= particulars
    return {
        "$schema": DIALECT,
        "$id": PLACE + file_name(title),
        "title": title,
        "description": description,
        "type": "object",
        "required": [name for name, field in fields.items() if field.required],
        # What the log writes, and binary payloads, which it doesn't take, an event may not bring.
        "properties": properties | dict.fromkeys(sorted({*RESERVED, "data_base64"}), False),
    }


def _shape_of(struct: type) -> tuple[Schema, Schema]:
    """The schema of a payload, and those of the structs in it."""
    _, definitions = msgspec.json.schema_components([struct], ref_template=_DEFINITION)
    shapes = {name: _published(shape) for name, shape in definitions.items()}
    return shapes.pop(struct.__name__), shapes


def _published(schema: Any) -> Any:
    """As msgspec has it, in the words of everybody: ECMA's `$` for Python's end of text, no default that is null."""
    if isinstance(schema, list):
        return [_published(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _published(part) for name, part in schema.items()}
    if isinstance(pattern := found.get("pattern"), str):
        found["pattern"] = pattern.replace(r"\Z", "$")
    if found.get("default", ...) is None:
        del found["default"]
    return _with_null_beside(found)


def _with_null_beside(schema: Schema) -> Schema:
    """Where a field is something or null: one schema that says so, not a choice of two."""
    match schema.get("anyOf"):
        case [{"type": str(kind)} as something, {"type": "null"}]:
            nullable: Schema = something | {"type": [kind, "null"]}
        case [{"enum": [*words]} as something, {"type": "null"}]:
            nullable = something | {"enum": [*words, None]}
        case _:
            return schema
    return nullable | {name: part for name, part in schema.items() if name != "anyOf"}
