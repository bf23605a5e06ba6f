"""Documents for a JSON Schema: such as it allows, and such as are nearly right."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

TEXT_CHARACTERS_MAX = 20

# What a slip of the hand, another language or another clock makes of a value.
ODD = [
    *(None, True, False, "", " ", "a", "a\n", "\u2028", "nul\0", "Ω" * 256, "Ω" * 257, "x" * 65, "x" * 513, [], {}),
    *([None], [""], ["a\n"], {"": None}, 0, 1, -1, 5, 6, 0.5, 1.5, -1e-9, 1e8 + 0.5, -1e8 - 1, 10**11, 10**11 + 1),
    *(2**63 - 1, 2**63, -(2**63), 2**64, 1e300, "1", "0.0000000000001", "1e3", "-1", "\u0661", "1000000000000"),
    *("2026-11-20T13:53:04Z", "2026-11-20T13:53:04.123456789Z", "2026-11-20T13:53:04-00:00"),
    *("2026-11-20T13:53:04+01:00", "2026-11-20t13:53:04Z", "2026-11-20 13:53:04Z", "2026-11-20T13:53:04"),
    *("2026-02-29T13:53:04Z", "2024-02-29T13:53:04Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
    *("2026-11-20T24:00:00Z", "2016-12-31T23:59:60Z", "2026-11-20T13:53:04.Z", "2026-11-20T13:53:04Z\n"),
    *("run.started", "run.started\n", "Run.Started", "/agents/", "/agents/\n", "1.0", "1.0\n"),
    *("local:1", "local:01", "local:1\n", "run/x", "run/", "run/\n", "0" * 16, "0" * 16 + "\n"),
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.sampled_from(ODD) | st.recursive(
    SCALARS, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3), max_leaves=5
)


def allowed_by(schema: Any) -> st.SearchStrategy[Any]:
    """Values that the schema allows."""
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", "anything")
    return st.one_of(*(KINDS[kind](schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)))


@st.composite
def nearly(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """The document with one thing in it removed, added or replaced, somewhere."""
    document = copy.deepcopy(document)
    place = draw(st.sampled_from([*_objects_in(document)]))
    key = draw(st.sampled_from([*place, *NAMES]) | st.text())
    change = draw(st.sampled_from(["replace", "stretch", "remove"]))
    if change == "remove" and key in place:
        del place[key]
    elif change == "stretch" and isinstance(place.get(key), str):
        place[key] += draw(st.sampled_from(["\n", "\0", " ", "/", ".v2", "0"]))
    else:
        place[key] = draw(ANYTHING)
    return document


def whole(value: Any) -> Any:
    """The value with numbers that are whole written so: JSON Schema sees no difference between 1.0 and 1."""
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


NAMES = [
    "n",
    "seq",
    "recordedtime",
    "origin",
    "data",
    "data_base64",
    "traceparent",
    "partitionkey",
    "metadata",
    "run_id",
]


def _objects_in(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield document
    for part in document.values():
        if isinstance(part, dict):
            yield from _objects_in(part)


def _texts(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", TEXT_CHARACTERS_MAX)
    if schema.get("format") == "date-time":
        return st.datetimes().map(lambda time: f"{time.isoformat()}Z")
    if "pattern" not in schema:
        return st.text(min_size=shortest, max_size=min(longest, TEXT_CHARACTERS_MAX))
    found = st.from_regex(schema["pattern"].replace("$", r"\Z"))
    return found.filter(lambda text: shortest <= len(text) <= longest)


def _integers(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum"), schema.get("maximum"))


def _numbers(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    return st.floats(schema.get("minimum"), schema.get("maximum"), allow_nan=False, allow_infinity=False)


def _lists(schema: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(allowed_by(schema.get("items", {})), max_size=3)


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = {name: part for name, part in schema.get("properties", {}).items() if part is not False}
    required = schema.get("required", [])
    return st.fixed_dictionaries(
        {name: allowed_by(properties[name]) for name in required},
        optional={name: allowed_by(part) for name, part in properties.items() if name not in required},
    )


KINDS = {
    "null": lambda schema: st.none(),
    "boolean": lambda schema: st.booleans(),
    "string": _texts,
    "integer": _integers,
    "number": _numbers,
    "array": _lists,
    "object": _objects,
    "anything": lambda schema: ANYTHING,
}
