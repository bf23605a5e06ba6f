"""Shapes: what a route answers, taken from the struct that it encodes, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec

PLACE = "#/shapes/"


def answers(kind: type, description: str, example: Any, *, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for a route that answers a `kind` as JSON. Raises where the example isn't one."""
    msgspec.convert(example, kind)
    content = {"schema": schema_of(kind), "example": example}
    return {status: {"description": description, "content": {"application/json": content}}}


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON Schema of a struct, whole: without references, which would point into another document."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template=PLACE + "{name}")
    whole = _inlined(schema, components)
    assert isinstance(whole, dict)
    return whole


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        rest = {name: part for name, part in schema.items() if name != "$ref"}
        return _inlined(components[reference.removeprefix(PLACE)], components) | rest
    return {name: _inlined(part, components) for name, part in schema.items()}
