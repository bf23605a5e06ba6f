"""Cards as documents: what the official SDK makes of ours, and what we refuse of others."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from a2a.client.card_resolver import parse_agent_card
from a2a.compat.v0_3.types import AgentCard as OldCard
from a2a.extensions.common import find_extension_by_uri
from a2a.utils.proto_utils import validate_proto_required_fields
from google.protobuf.json_format import MessageToDict
from rookery.handlers.a2a import LIVENESS, AgentCard, InvalidCard, Liveness, card_in, card_of, encode_card
from rookery.handlers.a2a.cards import CARD_BYTES_MAX

SEEN = datetime(2026, 11, 20, 12, tzinfo=UTC)
ALIVE = Liveness(state="alive", as_of=SEEN, last_seen_at=SEEN, heartbeat_interval_seconds=2.5, incarnation=3)


def ours() -> AgentCard:
    return card_of(
        name="coder-7",
        description="Writes code.",
        version="1.2",
        url="http://127.0.0.1:8800/agents/coder-7/a2a",
        capabilities=["code.review", "code.fix"],
        liveness=msgspec.to_builtins(ALIVE),
    )


def test_the_official_sdk_finds_nothing_missing_in_our_card() -> None:
    card = parse_agent_card(json.loads(encode_card(ours())))
    validate_proto_required_fields(card)
    assert [(one.url, one.protocol_binding, one.protocol_version) for one in card.supported_interfaces] == [
        ("http://127.0.0.1:8800/agents/coder-7/a2a", "JSONRPC", "1.0"),
        ("http://127.0.0.1:8800/agents/coder-7/a2a", "JSONRPC", "0.3"),
    ]
    assert [(skill.id, skill.name, list(skill.tags)) for skill in card.skills] == [
        ("code.review", "code review", ["code"]),
        ("code.fix", "code fix", ["code"]),
    ]
    extension = find_extension_by_uri(card, LIVENESS)
    assert extension is not None
    assert not extension.required
    assert MessageToDict(extension.params) == {
        "state": "alive",
        "asOf": "2026-11-20T12:00:00Z",
        "lastSeenAt": "2026-11-20T12:00:00Z",
        "heartbeatIntervalSeconds": 2.5,
        "incarnation": 3.0,
    }


def test_a_client_of_the_version_before_reads_our_card_too() -> None:
    card = OldCard.model_validate_json(encode_card(ours()))
    assert (card.url, card.preferred_transport, card.protocol_version) == (ours().url, "JSONRPC", "0.3")


def test_an_agent_without_skills_still_has_a_card_that_the_old_type_takes() -> None:
    bare = card_of(name="x", description="", version="", url="http://h/a2a", capabilities=[], liveness={})
    assert OldCard.model_validate_json(encode_card(bare)).skills == []


def test_what_is_written_is_read_again() -> None:
    assert card_in(encode_card(ours())) == ours()


def test_a_card_of_the_version_before_is_reached_where_it_says() -> None:
    old = {
        "name": "old",
        "description": "",
        "version": "1",
        "protocolVersion": "0.3.0",
        "url": "http://h/rpc",
        "preferredTransport": "JSONRPC",
        "additionalInterfaces": [
            {"url": "http://h/rpc", "transport": "JSONRPC"},
            {"url": "http://h/rest", "transport": "HTTP+JSON"},
        ],
        "capabilities": {},
        "defaultInputModes": [],
        "defaultOutputModes": [],
        "skills": [],
    }
    found = card_in(json.dumps(old).encode()).interfaces
    assert [(one.url, one.protocol_binding, one.protocol_version) for one in found] == [
        ("http://h/rpc", "JSONRPC", "0.3.0"),
        ("http://h/rest", "HTTP+JSON", "0.3.0"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": 7}, "Expected `str`, got `int` - at `$.name`"),
        ({"name": "a\nb"}, "$.name"),
        ({"skills": "everything"}, "Expected `array`, got `str` - at `$.skills`"),
        ({"skills": [{"id": "x", "name": "x", "description": "", "tags": "one"}]}, "$.skills[0].tags"),
        ({"skills": [{"id": "x", "name": "x", "description": ""}] * 2}, "two of its skills have the same id"),
        ({"skills": [{"id": f"s{n}", "name": "x", "description": ""} for n in range(101)]}, "$.skills"),
        ({"capabilities": {"streaming": "yes"}}, "$.capabilities.streaming"),
        ({"capabilities": {"extensions": [{"description": "no uri"}]}}, "uri"),
        ({"supportedInterfaces": []}, "it names no interface"),
        ({"supportedInterfaces": [{"url": "javascript:alert(1)"}]}, "$.supportedInterfaces[0].url"),
        ({"supportedInterfaces": [{"url": "file:///etc/passwd"}]}, "$.supportedInterfaces[0].url"),
        ({"version": None}, "$.version"),
    ],
)
def test_a_card_of_wrong_types_is_refused_with_the_field(
    card: dict[str, Any], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidCard) as refused:
        card_in(json.dumps(card | change).encode())
    assert reason in str(refused.value)


@pytest.mark.parametrize("payload", [b"", b"[]", b"<html>", b"\xff", b"[" * 100_000, b" " * (CARD_BYTES_MAX + 1)])
def test_what_is_no_card_at_all_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidCard):
        card_in(payload)


def test_what_a_later_version_adds_is_left_aside(card: dict[str, Any]) -> None:
    assert card_in(json.dumps(card | {"moods": ["calm"]}).encode()).name == "Painter"
