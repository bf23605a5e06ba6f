"""Bytes to events and back, and what an edge refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rookery.schemas import (
    AgentRegistered,
    Event,
    InvalidData,
    InvalidEvent,
    LlmCallCompleted,
    MalformedEvent,
    UnknownEventType,
    check,
    check_strictly,
    decode,
    encode,
)

JSON_SCALARS = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
CALL = LlmCallCompleted(provider="openai", request_model="gpt-4o", input_tokens=374, cost_usd="0.0013750")
EVENT = Event.of(CALL, subject="call-1", source="/agents/coder-7", time=datetime(2026, 11, 20, tzinfo=UTC), id="e-1")


def changed(path: str, value: object) -> bytes:
    """EVENT's JSON with the value at `path` replaced, or removed where it is `...`."""
    document = json.loads(encode(EVENT))
    *parents, last = path.split(".")
    place = document
    for name in parents:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document).encode()


def test_an_event_is_one_line_of_cloudevents_json() -> None:
    assert json.loads(encode(EVENT)) == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/agents/coder-7",
        "type": "llm_call.completed",
        "subject": "call-1",
        "time": "2026-11-20T00:00:00Z",
        "data": {"provider": "openai", "request_model": "gpt-4o", "input_tokens": 374, "cost_usd": "0.0013750"},
    }
    assert b"\n" not in encode(EVENT)


def test_decoding_undoes_encoding() -> None:
    assert encode(decode(encode(EVENT))) == encode(EVENT)
    assert check(encode(EVENT))[1] == CALL


@pytest.mark.parametrize(
    ("path", "value", "kind", "field"),
    [
        ("id", ..., MalformedEvent, "id"),
        ("id", "", MalformedEvent, "id"),
        ("id", "two words", MalformedEvent, "id"),
        ("id", "e-1\n", MalformedEvent, "id"),
        ("specversion", "0.3", MalformedEvent, "specversion"),
        ("subject", "", MalformedEvent, "subject"),
        ("subject", 7, MalformedEvent, "subject"),
        ("subject", "two\nlines", MalformedEvent, "subject"),
        ("subject", "one line\n", MalformedEvent, "subject"),
        ("data_base64", "AAAA", MalformedEvent, "data_base64"),
        ("data.run_id", "nul\0", InvalidData, "data.run_id"),
        ("source", "/agents/", MalformedEvent, "source"),
        ("type", "Completed", MalformedEvent, "type"),
        ("type", "llm_call.complete", UnknownEventType, "type"),
        ("time", "yesterday", MalformedEvent, "time"),
        ("time", "2026-11-20t13:53:04z", MalformedEvent, "time"),
        ("time", "2026-11-20 13:53:04Z", MalformedEvent, "time"),
        ("time", "2026-11-20T13:53:04", MalformedEvent, "time"),
        ("time", "2026-11-20T13:53:04+02:00", MalformedEvent, "time"),
        ("data", [], InvalidData, "data"),
        ("data.provider", ..., InvalidData, "data.provider"),
        ("data.input_tokens", "374", InvalidData, "data.input_tokens"),
        ("data.input_tokens", -1, InvalidData, "data.input_tokens"),
        ("data.input_tokens", 2**63, InvalidData, "data.input_tokens"),
        ("data.cost_usd", 0.001375, InvalidData, "data.cost_usd"),
        ("data.cost_usd", "1e-3", InvalidData, "data.cost_usd"),
        ("data.cost_usd", "-1", InvalidData, "data.cost_usd"),
        ("data.cost_usd", "1\n", InvalidData, "data.cost_usd"),
        ("data.cost_usd", "1000000000000", InvalidData, "data.cost_usd"),
        ("data.cost_usd", "0.0000000000001", InvalidData, "data.cost_usd"),
        ("n", 7, MalformedEvent, "n"),
        ("recordedtime", "2026-11-20T13:53:04Z", MalformedEvent, "recordedtime"),
    ],
)
def test_what_is_wrong_is_refused_with_the_field_that_is_wrong(
    path: str, value: object, kind: type[InvalidEvent], field: str
) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        check(changed(path, value))
    assert (type(refusal.value), refusal.value.field) == (kind, field)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, encode(EVENT)[:-1]]
)
def test_what_is_no_event_at_all_is_malformed(payload: bytes) -> None:
    with pytest.raises(MalformedEvent):
        check(payload)


def test_an_event_over_several_lines_is_refused() -> None:
    with pytest.raises(MalformedEvent, match="line breaks"):
        check(json.dumps(json.loads(encode(EVENT)), indent=2).encode())


def test_a_name_that_stands_twice_is_refused_because_readers_disagree_on_it() -> None:
    twice = encode(EVENT).replace(b'"input_tokens":374', b'"input_tokens":5,"input_tokens":374')
    with pytest.raises(MalformedEvent, match="twice") as refusal:
        check(twice)
    assert refusal.value.field == "input_tokens"


SEEN_DIFFERENTLY = {
    "a name twice": b'"a":1,"a":2',
    "no UTF-8": b'"a":"\xff"',
    "half of a surrogate pair": b'"a":"\xed\xa0\x80"',
    "a number beyond numbers": b'"a":1e400',
    "the log's own attribute": b'"n":7',
    "a line break": b'"a":\n1',
    "a deep nest": b'"a":' + b"[" * 65 + b"]" * 65,
}


@pytest.mark.parametrize("odd", SEEN_DIFFERENTLY.values(), ids=SEEN_DIFFERENTLY)
@pytest.mark.parametrize(
    ("sound", "given"),
    [(b"374", b"374"), (b"llm_call.completed", b"llm_call.complete"), (b"374", b'"many"')],
    ids=["a valid event", "an unknown type", "invalid data"],
)
def test_what_readers_disagree_on_is_malformed_whatever_else_is_wrong(odd: bytes, sound: bytes, given: bytes) -> None:
    payload = encode(EVENT).replace(sound, given)
    with pytest.raises(MalformedEvent):
        check(b"{" + odd + b"," + payload[1:])


@pytest.mark.parametrize("around", [b" %s", b"%s ", b"%s\t", b"\t%s"])
def test_white_space_around_an_event_is_refused(around: bytes) -> None:
    with pytest.raises(MalformedEvent, match="white space"):
        check(around % encode(EVENT))


def test_a_newer_publishers_fields_pass_but_a_persons_typing_mistake_does_not() -> None:
    payload = changed("data.input_token", 5)
    assert check(payload)[1] == CALL
    with pytest.raises(InvalidData, match=r"not a field of llm_call\.completed") as refusal:
        check_strictly(payload)
    assert refusal.value.field == "data.input_token"


def nested(depth: int) -> bytes:
    """An event whose data, envelope included, is nested `depth` deep."""
    empty = encode(Event.of(AgentRegistered(name="a", metadata={"deep": []}), subject="a", source="/agents/a"))
    return empty.replace(b"[]", b"[" * (depth - 3) + b"]" * (depth - 3))


def test_what_is_nested_deeper_than_every_reader_follows_is_refused() -> None:
    check(nested(64))
    with pytest.raises(MalformedEvent, match="64 deep"):
        check(nested(65))


def test_what_is_nested_too_deep_to_be_written_is_no_event() -> None:
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(InvalidData, match="nested too deep"):
        Event.of(AgentRegistered(name="a", metadata={"deep": deep}), subject="a", source="/agents/a")


def test_a_number_that_no_reader_can_hold_is_refused() -> None:
    with pytest.raises(MalformedEvent, match="1e400"):
        check(encode(EVENT).replace(b'"provider"', b'"newer_field":1e400,"provider"'))


def test_extension_attributes_are_allowed() -> None:
    assert check(changed("partitionkey", "a"))[1] == CALL


def test_a_misspelt_type_is_told_the_nearest() -> None:
    with pytest.raises(UnknownEventType, match=r"did you mean 'llm_call.completed'\?"):
        check(changed("type", "llm_call.complete"))


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256),
    st.text(max_size=256),
    st.dictionaries(st.text(), JSON_SCALARS),
)
def test_whatever_a_publisher_says_survives_the_wire(name: str, text: str, metadata: dict[str, object]) -> None:
    data = AgentRegistered(name=name, role=text, metadata=metadata)
    event, read = check(encode(Event.of(data, subject=name, source="/agents/a")))
    assert (event.subject, read) == (name, data)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_a_typed_refusal(payload: bytes) -> None:
    with pytest.raises(InvalidEvent):
        check(payload)
