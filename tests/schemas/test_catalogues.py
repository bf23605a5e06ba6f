"""A catalogue is checked by its published schema and against itself, and the one that is shipped is whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rookery.schemas.catalogues import CATALOGUE_BYTES_MAX, InvalidCatalogue, catalogue_in
from rookery.schemas.export import schema_of

SHIPPED = Path(__file__).resolve().parents[2] / "ops" / "catalogues" / "polyglot-swarm.json"


def catalogue(*agents: dict[str, Any], **fields: Any) -> bytes:
    usual = {"name": "?", "description": "", "role": "r", "capabilities": ["x"], "transport": "nats"}
    named = [{**usual, "name": agent.get("id"), **agent} for agent in agents]
    return json.dumps({"name": "test", "version": "1", "agents": named, **fields}).encode()


def test_the_shipped_catalogue_has_57_agents_in_their_tiers() -> None:
    found = catalogue_in(SHIPPED.read_bytes())
    assert Counter(entry.tier or entry.role for entry in found.agents) == {
        "coordinator": 11,
        "system": 18,
        "execution": 21,
        "service": 7,
    }
    assert [entry.id for entry in found.agents if entry.parent is None] == ["queen"]


def test_the_shipped_catalogue_is_what_the_published_schema_says() -> None:
    schema, shipped = schema_of("catalogue"), json.loads(SHIPPED.read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(shipped, schema)
    assert shipped["$schema"] == schema["$id"]


def test_whoever_others_answer_to_comes_before_them() -> None:
    found = catalogue_in(catalogue({"id": "c", "parent": "b"}, {"id": "b", "parent": "a"}, {"id": "a"}, {"id": "d"}))
    assert [entry.id for entry in found.agents] == ["a", "d", "b", "c"]


@pytest.mark.parametrize(
    ("agents", "reason"),
    [
        ([{"id": "a", "name": "A"}, {"id": "a", "name": "B"}], "2 agents have the id 'a'"),
        ([{"id": "a", "name": "Same"}, {"id": "b", "name": "Same"}], "2 agents have the name 'Same'"),
        ([{"id": "boss"}, {"id": "b", "parent": "bos"}], "'b' answers to 'bos', who isn't in it; did you mean 'boss'?"),
        ([{"id": "a", "parent": "a"}], "'a' answers to itself, through 'a'"),
        (
            [{"id": "a", "parent": "b"}, {"id": "b", "parent": "c"}, {"id": "c", "parent": "a"}],
            "'a' answers to itself, through 'b'",
        ),
        ([{"id": "", "name": "a"}], "$.agents[0].id"),
        ([{"id": "a", "tier": "boss"}], "Invalid enum value 'boss' - at `$.agents[0].tier`"),
        ([{"id": "a", "transport": "pigeon"}], "$.agents[0].transport"),
        ([{"id": "a", "capabilities": []}], "$.agents[0].capabilities"),
        ([{"id": "a", "heartbeat_interval_seconds": -1}], "$.agents[0].heartbeat_interval_seconds"),
        ([{"id": "a", "heartbeat_interval_seconds": 1e12}], "$.agents[0].heartbeat_interval_seconds"),
        ([{"id": "a", "colour": "red"}], "colour"),
        ([], "$.agents"),
    ],
)
def test_what_contradicts_itself_is_refused_with_the_place(agents: list[dict[str, Any]], reason: str) -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        catalogue_in(catalogue(*agents))
    assert reason in str(refused.value)


def test_who_only_answers_to_a_circle_is_not_blamed_for_it() -> None:
    with pytest.raises(InvalidCatalogue) as refused:
        catalogue_in(catalogue({"id": "a", "parent": "a"}, {"id": "b", "parent": "a"}))
    assert refused.value.faults == ["'a' answers to itself, through 'a'"]


def test_of_many_faults_some_are_told_and_the_rest_counted() -> None:
    with pytest.raises(InvalidCatalogue, match="and 5 more"):
        catalogue_in(catalogue(*({"id": f"a{n}", "parent": "nobody"} for n in range(15))))


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b"[" * 100_000, b" " * (CATALOGUE_BYTES_MAX + 1)])
def test_what_is_no_catalogue_at_all_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidCatalogue):
        catalogue_in(payload)
