"""The event reference, written from the types: for people, as the schemas are for programs."""

from __future__ import annotations

from .json_schema import Schema, envelope_schema, event_schema, file_name
from .registry import EventType, all_types, is_superseded


def event_reference() -> str:
    """The envelope and every type, as Markdown."""
    envelope = f"## The envelope\n\n{_table(envelope_schema())}\n"
    return "\n".join([envelope, "## Types\n", *map(_section, all_types())])


def _section(known: EventType) -> str:
    schema = event_schema(known)
    entity, fact = known.name.split(".")[:2]
    superseded = "Superseded: it is read in the shape of its next version.\n\n" if is_superseded(known.name) else ""
    return (
        f"### {known.name}\n\n{schema['description']}\n\n{superseded}"
        f"`evt.{entity}.<id>.{fact}.<publisher>` · [schema](schemas/{file_name(known.name)})\n\n"
        f"{_table(schema['properties']['data'])}\n"
    )


def _table(schema: Schema) -> str:
    rows = [_row(name, part, schema) for name, part in schema["properties"].items() if part is not False]
    return "\n".join(["| field | type | | what it is |", "|---|---|---|---|", *rows])


def _row(name: str, part: Schema, schema: Schema) -> str:
    required = ", ".join(
        ["required"] * (name in schema.get("required", [])) + ["personal"] * part.get("x-personal", False)
    )
    default = f" `{part['default']}` where absent." if part.get("default") else ""
    return f"| `{name}` | {_kind(part)} | {required} | {part.get('description', '')}{default} |"


def _kind(part: Schema) -> str:
    if "const" in part:
        return f"`{part['const']}`"
    if "enum" in part:
        return ", ".join(f"`{word}`" for word in part["enum"] if word is not None)
    if "$ref" in part:
        return "object"
    kinds = part.get("type", "any JSON")
    kind = kinds if isinstance(kinds, str) else next(one for one in kinds if one != "null")
    if kind == "array":
        return f"array of {_kind(part.get('items', {}))}"
    return "time" if part.get("format") == "date-time" else str(kind)
