"""A published type may gain optional fields and allow more; what takes away is named with its field."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from rookery.schemas.compatibility import breaches
from rookery.schemas.json_schema import Schema

from .documents import allowed_by

EXAMPLES_MAX = 300
PUBLISHED: Schema = {
    "type": "object",
    "required": ["kind", "place"],
    "properties": {
        "kind": {"enum": ["good", "bad"]},
        "text": {"type": ["string", "null"], "maxLength": 10},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}, "default": []},
        "place": {"$ref": "#/$defs/Place"},
        "goal": {"anyOf": [{"$ref": "#/$defs/Goal"}, {"type": "null"}]},
        "anything": {},
        "ours": False,
    },
    "$defs": {
        "Goal": {"type": "object", "properties": {"reward": {"type": "number", "maximum": 1}}},
        "Place": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "inside": {"$ref": "#/$defs/Place"}},
        },
    },
}


def changed(path: str, value: object) -> Schema:
    """PUBLISHED with the value at `path` replaced, or removed where it is `...`."""
    schema = copy.deepcopy(PUBLISHED)
    *parents, last = path.split("/")
    place: Any = schema
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return schema


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("properties/newer", {"type": ["string", "null"]}),
        ("properties/kind/enum", ["good", "bad", "odd"]),
        ("properties/text/maxLength", 20),
        ("properties/text/maxLength", ...),
        ("properties/count/minimum", -1),
        ("properties/count/type", ["integer", "null"]),
        ("properties/tags/items/minLength", 0),
        ("properties/ours", {"type": "string"}),
        ("properties/ours", ...),
        ("properties/kind/description", "Which kind it is."),
        ("title", "Thing"),
        ("$defs/Place/properties/newer", {"type": "string"}),
    ],
)
def test_what_adds_keeps_the_promise(path: str, value: object) -> None:
    assert breaches("thing.made", PUBLISHED, changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("properties/count", ..., "count", "is gone"),
        ("required", ["kind", "place", "count"], "count", "is required now"),
        ("required", ["place"], "kind", "is not required any more"),
        ("properties/kind/enum", ["good"], "kind", "'bad' is not allowed any more"),
        ("properties/text/type", "string", "text", "was null, is string now"),
        ("properties/count/type", "string", "count", "was integer, is string now"),
        ("properties/count", {}, "count", "was integer, is anything now"),
        ("properties/anything/type", "string", "anything", "is only string now"),
        ("properties/anything/enum", ["a"], "anything", "allows only some words now"),
        ("properties/text/maxLength", 9, "text", "the longest length was 10, is 9 now"),
        ("properties/count/minimum", 1, "count", "the smallest value was 0, is 1 now"),
        ("properties/count/multipleOf", 2, "count", "multipleOf was absent, is 2 now"),
        ("properties/text/pattern", "^a", "text", "pattern was absent, is ^a now"),
        ("properties/tags/items/minLength", 2, "tags[]", "the shortest length"),
        ("properties/tags/default", ["new"], "tags", "meant [] where it was absent, means ['new'] now"),
        ("properties/anything", False, "anything", "is not allowed any more"),
        ("properties/newer", False, "newer", "is not allowed any more"),
        ("additionalProperties", False, "[]", "is not allowed any more"),
        ("$defs/Place/properties/name/type", "integer", "place.name", "was string, is integer now"),
        ("$defs/Place/required", ["name", "inside"], "place.inside", "is required now"),
        ("$defs/Goal/properties/reward", ..., "goal.reward", "is gone"),
        ("$defs/Goal/properties/reward/maximum", 0.5, "goal.reward", "the largest value was 1, is 0.5 now"),
        ("properties/goal/anyOf", [{"$ref": "#/$defs/Goal"}], "goal", "was one of 2, is one of 1 now"),
    ],
)
def test_what_takes_away_is_named_with_its_field(path: str, value: object, field: str, reason: str) -> None:
    (breach,) = breaches("thing.made", PUBLISHED, changed(path, value))
    assert (breach.type, breach.field) == ("thing.made", field)
    assert reason in breach.reason


INLINE = {name: part for name, part in PUBLISHED["properties"].items() if name not in ("place", "goal")}
FLAT: Schema = {"type": "object", "required": ["kind"], "properties": INLINE}
INSTEAD: dict[str, list[Any]] = {
    "type": ["string", "integer", "array", "object", ["string", "null"], ["integer", "string", "null"]],
    "enum": [["good"], ["good", "bad", "odd"]],
    "required": [[], ["kind", "text"]],
    "properties": [{}],
    "items": [{}, {"type": "string"}, {"type": "string", "minLength": 2}, False],
    "default": [[], ["a"]],
    "minimum": [-5, 5],
    "maximum": [5, 50],
    "minLength": [0, 2],
    "maxLength": [5, 50],
}
ANY_FIELD = [{}, False, {"type": "integer"}, {"enum": ["good"]}]


@st.composite
def tampered(draw: st.DrawFn) -> Schema:
    """FLAT with one or two things in it removed or replaced."""
    schema = copy.deepcopy(FLAT)
    for _ in range(draw(st.integers(1, 2))):
        place, key = draw(st.sampled_from([*places_in(schema)]))
        if draw(st.booleans()):
            place[key] = copy.deepcopy(draw(st.sampled_from(INSTEAD.get(key, ANY_FIELD))))
        else:
            del place[key]
    return schema


def places_in(schema: Schema) -> Iterator[tuple[Schema, str]]:
    """Every object in the schema with each of its keys."""
    for key, part in schema.items():
        yield schema, key
        if isinstance(part, dict):
            yield from places_in(part)


@settings(max_examples=EXAMPLES_MAX, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(tampered(), st.data())
def test_what_was_allowed_stays_allowed_where_no_promise_is_broken(schema: Schema, data: st.DataObject) -> None:
    assume(not breaches("thing.made", FLAT, schema))
    document = data.draw(allowed_by(FLAT))
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(document)
