"""The published schemas allow what `check` accepts, and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.schemas import EventData, EventType, InvalidEvent, MalformedEvent, all_types, check
from rookery.schemas.json_schema import Schema, envelope_schema, event_schema

from .documents import ODD, allowed_by, nearly, whole

EXAMPLES_MAX = 20
NAMES = [known.name for known in all_types()]
EVERY_TYPE = pytest.mark.parametrize("name", NAMES)
bounded = settings(
    max_examples=EXAMPLES_MAX,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


SCHEMAS = {known.name: event_schema(known) for known in all_types()} | {"envelope": envelope_schema()}


class Judge:
    """A schema's documents, and a validator that reads patterns as ECMA does and holds times to their format."""

    def __init__(self, schema: Schema) -> None:
        self.allows = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid
        self.documents = allowed_by(schema)
        self.near_misses = self.documents.flatmap(nearly)


JUDGES = {name: Judge(schema) for name, schema in SCHEMAS.items()}


def line(document: Any) -> bytes:
    """As it travels."""
    return json.dumps(document, ensure_ascii=False).encode()


def accepted(document: Any, name: str) -> bool:
    """Whether `check` takes it for an event of that type."""
    try:
        return check(line(document))[0].type == name
    except InvalidEvent:
        return False


def simplest(schema: Schema) -> dict[str, Any]:
    """An object that has only what the schema requires."""
    parts = {name: schema["properties"][name] for name in schema.get("required", [])}
    return {name: simplest(part) if "properties" in part else first_of(ODD, part) for name, part in parts.items()}


def first_of(values: list[Any], schema: Schema) -> Any:
    allows = Judge(schema).allows
    return next(value for value in [schema.get("const"), *schema.get("enum", []), *values] if allows(value))


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_schema_is_json_schema_2020_12(schema: Schema) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


@EVERY_TYPE
@bounded
@given(st.data())
def test_what_a_schema_allows_is_accepted(name: str, data: st.DataObject) -> None:
    document = whole(data.draw(JUDGES[name].documents))
    assert JUDGES[name].allows(document)
    assert accepted(document, name)


@EVERY_TYPE
@bounded
@given(st.data())
def test_what_is_nearly_an_event_is_judged_alike(name: str, data: st.DataObject) -> None:
    document = whole(data.draw(JUDGES[name].near_misses))
    assert JUDGES[name].allows(document) == accepted(document, name)


def with_odd_values(name: str) -> list[dict[str, Any]]:
    """The simplest event of the type with every odd value in every field."""
    sound = {"data": {}} | simplest(SCHEMAS[name])
    fields = [field for field, part in SCHEMAS[name]["properties"]["data"]["properties"].items() if part is not False]
    events = [sound | {field: odd} for field in SCHEMAS[name]["properties"] for odd in ODD]
    return events + [sound | {"data": sound["data"] | {field: odd}} for field in fields for odd in ODD]


@EVERY_TYPE
def test_every_odd_value_is_judged_alike_in_every_field(name: str) -> None:
    for event in with_odd_values(name):
        assert JUDGES[name].allows(event) == accepted(event, name), event


def test_javascript_judges_alike(node_modules: Path, tmp_path: Path) -> None:
    beyond = str(2**63).encode()  # to JavaScript the same as the largest count
    cases = [(name, event) for name in NAMES for event in with_odd_values(name) if beyond not in line(event)]
    (tmp_path / "cases.json").write_bytes(line({"schemas": SCHEMAS, "cases": cases}))
    command = ["node", Path(__file__).with_name("judge.cjs"), tmp_path / "cases.json", node_modules]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    judged = zip(cases, json.loads(done.stdout), strict=True)
    assert [case for case, allowed in judged if allowed != accepted(case[1], case[0])] == []


@bounded
@given(JUDGES["envelope"].near_misses.map(whole))
def test_an_envelope_is_judged_alike_whatever_is_in_it(document: Any) -> None:
    try:
        check(line(document))
        sound = True
    except InvalidEvent as error:
        sound = not isinstance(error, MalformedEvent)
    assert JUDGES["envelope"].allows(document) == sound


class Stop(EventData, frozen=True, kw_only=True):
    """Where the way goes on."""

    name: str
    next: tuple[Stop, ...] = ()


def test_structs_in_structs_are_in_the_same_file() -> None:
    class WayTaken(EventData, frozen=True, kw_only=True):
        """Somebody went somewhere."""

        stops: list[Stop]

    schema = event_schema(EventType("way.taken", WayTaken, msgspec.json.Decoder(WayTaken)))
    sound = {"specversion": "1.0", "id": "e", "source": "/a", "type": "way.taken", "subject": "w"}
    sound |= {"time": "2026-11-20T00:00:00Z", "data": {"stops": [{"name": "a", "next": [{"name": "b"}]}]}}
    allows = Judge(schema).allows
    assert allows(sound)
    assert not allows(sound | {"data": {"stops": [{"name": "a", "next": [{"name": 2}]}]}})


def test_a_payload_may_be_absent_where_nothing_in_it_is_required() -> None:
    assert "data" not in SCHEMAS["agent.unregistered"]["required"]
    assert "data" in SCHEMAS["agent.registered"]["required"]
