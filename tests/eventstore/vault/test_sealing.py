"""Sealing events and revealing them: what is personal is readable with the key alone, and only where it was sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.eventstore.errors import KeyGone
from rookery.eventstore.judging import judge
from rookery.eventstore.vault import (
    FORGOTTEN,
    MOVED,
    NO_KEY,
    UNREADABLE,
    Vault,
    revealed,
    revealed_event,
    revealed_json,
    revealed_text,
    sealed_event,
)
from rookery.schemas import (
    AgentRegistered,
    AssignmentCreated,
    CommitRecorded,
    Event,
    EventData,
    FeedbackGiven,
    FeedbackGivenV1,
    InvalidData,
    InvalidEvent,
    MemoryRecorded,
    MessageRecorded,
    RunStarted,
    ToolCallCompleted,
    all_types,
    check,
    decode,
    encode,
    sealed_in,
    subject_of,
    with_personal,
)

TEXT = "Ada said that she is at home on Fridays"
PERSONAL: list[tuple[EventData, str]] = [
    (AgentRegistered(name=TEXT, metadata={"owner": TEXT, "port": 1}), "name"),
    (AssignmentCreated(kind="x", input={"who": TEXT, "deep": [1, {"a": TEXT}]}), "input"),
    (CommitRecorded(repository="r", message=TEXT, author=TEXT, author_email="ada@example.com"), "author"),
    (FeedbackGiven(kind="comment", comment=TEXT, given_by=TEXT), "comment"),
    (FeedbackGivenV1(run_id="r", stars=4, comment=TEXT), "comment"),
    (MemoryRecorded(text=TEXT, tags=["work"]), "text"),
    (MessageRecorded(run_id="r", step=0, role="user", content=TEXT), "content"),
    (RunStarted(task=TEXT, metadata={"by": TEXT}), "task"),
    (ToolCallCompleted(tool="mail", arguments={"to": TEXT}, output=TEXT, error=TEXT), "arguments"),
]


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault.open(tmp_path / "vault")


def about(data: EventData, subject: str | None = "user-17", **envelope: Any) -> bytes:
    return encode(Event.of(data, subject="x-1", source="/people/operator", datasubject=subject, **envelope))


def sealed(payload: bytes, vault: Vault) -> bytes:
    return sealed_event(payload, check(payload)[0], vault)


def data_of(payload: bytes) -> Any:
    return msgspec.json.decode(payload)["data"]


@pytest.mark.parametrize(("data", "field"), PERSONAL, ids=lambda value: type(value).__name__)
def test_what_is_personal_is_sealed_and_read_again_with_the_key_alone(
    data: EventData, field: str, vault: Vault, tmp_path: Path
) -> None:
    payload = about(data)
    at_rest = sealed(payload, vault)
    for word in (b"Ada", b"user-17", b"ada@example.com"):
        assert word not in at_rest
    check(at_rest)
    event = decode(at_rest)
    assert judge(at_rest, subject_of(event)).reason == ""
    plain = msgspec.json.decode(payload)
    assert revealed_event(at_rest, vault) == plain
    assert revealed(data_of(at_rest), vault) == plain["data"]
    elsewhere = Vault.open(tmp_path / "elsewhere")
    assert revealed_event(at_rest, elsewhere)["data"][field] == NO_KEY
    vault.forget([vault.of("user-17")[0].id])
    assert revealed_event(at_rest, vault)["data"][field] == FORGOTTEN
    assert revealed_event(at_rest, vault)["datasubject"] == event.datasubject


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(input=json_values, metadata=st.dictionaries(st.text(max_size=5), json_values, max_size=3))
def test_whatever_is_sealed_is_revealed_as_it_was(input: Any, metadata: dict[str, Any], vault: Vault) -> None:
    payload = about(AssignmentCreated(kind="x", input=input, metadata=metadata))
    at_rest = sealed(payload, vault)
    assert judge(at_rest, subject_of(decode(at_rest))).reason == ""
    assert revealed_event(at_rest, vault) == msgspec.json.decode(payload)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1))
def test_a_text_is_revealed_wherever_it_stands(text: str, vault: Vault) -> None:
    token = data_of(sealed(about(RunStarted(task=text)), vault))["task"]
    assert revealed_text(f"<{token}> and <{token}>", vault) == f"<{text}> and <{text}>"
    assert msgspec.json.decode(revealed_json(msgspec.json.encode({"a": [token]}).decode(), vault)) == {"a": [text]}


def test_the_same_text_is_sealed_differently_each_time(vault: Vault) -> None:
    payload = about(RunStarted(task=TEXT))
    assert sealed(payload, vault) != sealed(payload, vault)


def test_an_event_without_a_data_subject_is_left_as_it_is(vault: Vault) -> None:
    payload = about(RunStarted(task=TEXT), None)
    assert sealed(payload, vault) is payload
    assert len(vault) == 0


def test_what_is_not_personal_keeps_its_bytes(vault: Vault) -> None:
    payload = about(RunStarted(task=TEXT, skill="a")).replace(b'"skill":"a"', b'"skill":"a","clock":"wall"')
    at_rest = sealed(payload, vault)
    assert b'"skill":"a","clock":"wall"' in at_rest
    assert at_rest.startswith(payload.partition(b',"datasubject"')[0])


def test_a_field_that_only_a_newer_schema_knows_counts_as_personal(vault: Vault) -> None:
    payload = about(RunStarted()).replace(b'"data":{', b'"data":{"nickname":"Ada"')
    assert b"Ada" not in sealed(payload, vault)


def test_what_is_sealed_already_stays_as_it_is(vault: Vault) -> None:
    once = sealed(about(RunStarted(task=TEXT)), vault)
    assert sealed(once, vault) == once


def test_more_may_be_sealed_for_a_pseudonym_as_long_as_its_key_is_there(vault: Vault) -> None:
    pseudonym = decode(sealed(about(RunStarted(task=TEXT)), vault)).datasubject
    more = about(RunStarted(task=TEXT), pseudonym)
    assert decode(sealed(more, vault)).datasubject == pseudonym
    assert pseudonym is not None
    vault.forget([pseudonym])
    with pytest.raises(KeyGone, match="was forgotten"):
        sealed(more, vault)


@pytest.mark.parametrize(
    ("data", "envelope", "field"),
    [
        (RunStarted(agent_id="user-17"), {}, "data.agent_id"),
        (MemoryRecorded(text="x", tags=["user-17"]), {}, "data.tags"),
        (RunStarted(), {"correlationid": "user-17"}, "correlationid"),
    ],
)
def test_an_event_that_names_the_person_in_plain_is_refused(
    data: EventData, envelope: dict[str, str], field: str, vault: Vault
) -> None:
    with pytest.raises(InvalidData) as refused:
        sealed(about(data, **envelope), vault)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("subject", "source", "field"), [("user-17", "/a/b", "subject"), ("x", "/a/user-17", "source")]
)
def test_an_envelope_that_names_the_person_is_refused(subject: str, source: str, field: str, vault: Vault) -> None:
    payload = encode(Event.of(RunStarted(), subject=subject, source=source, datasubject="user-17"))
    with pytest.raises(InvalidData) as refused:
        sealed(payload, vault)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("authid", "user-17"),
        ("causationid", "user-17"),
        ("dataschema", "https://example.com/people/user-17"),
        ("id", "user-17"),
        ("owners", ["user-17"]),
        ("tracestate", "team=red,user=user-17"),
    ],
)
def test_no_attribute_of_the_envelope_may_name_the_person(attribute: str, said: Any, vault: Vault) -> None:
    envelope = msgspec.json.decode(about(RunStarted()))
    with pytest.raises(InvalidData) as refused:
        sealed(msgspec.json.encode(envelope | {attribute: said}), vault)
    assert refused.value.field == attribute
    another = msgspec.json.decode(msgspec.json.encode(said).replace(b"user-17", b"user-170"))
    assert sealed(msgspec.json.encode(envelope | {attribute: another}), vault)


def test_a_sealed_text_means_nothing_in_another_event_or_field(vault: Vault) -> None:
    token = data_of(sealed(about(RunStarted(task=TEXT)), vault))["task"]
    pseudonym = vault.of("user-17")[0].id
    stolen = about(RunStarted(task=token), pseudonym)
    with pytest.raises(InvalidEvent, match="sealed for another"):
        sealed(stolen, vault)
    assert judge(stolen, subject_of(decode(stolen))).field == "data.task"
    assert revealed_event(stolen, vault)["data"]["task"] == MOVED


def test_a_sealed_text_that_was_changed_is_not_read(vault: Vault) -> None:
    token = data_of(sealed(about(RunStarted(task=TEXT)), vault))["task"]
    other = token[:-6] + ("A" if token[-6] != "A" else "B") + token[-5:]
    assert revealed(other, vault) == UNREADABLE
    head, _, content = token.rpartition(":")
    elsewhere = data_of(sealed(about(RunStarted(task="x")), vault))["task"].rpartition(":")[0]
    assert elsewhere != head
    assert revealed(f"{elsewhere}:{content}", vault) == UNREADABLE


def known(data: bytes = b'"data":{', then: bytes = b'"data":{') -> bytes:
    """An event of somebody's who is known by a pseudonym, and of whom this is said in plain."""
    return about(RunStarted(), "ds-" + "a" * 26).replace(data, then)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (about(RunStarted(task=TEXT)), "datasubject"),
        (about(RunStarted(task=TEXT), "ds-" + "a" * 26), "data.task"),
        (known(then=b'"data":{"nickname":"Ada"'), "data.nickname"),
        (known(b'"data":{}', b'"data":["Ada"]'), "data"),
        (known(then=b'"data":{"a":1').replace(b"run.started", b"run.sung"), "data.a"),
    ],
)
def test_what_comes_by_the_bus_in_plain_is_a_dead_letter_and_no_event(payload: bytes, field: str) -> None:
    verdict = judge(payload, subject_of(decode(payload)))
    assert verdict.event is None
    assert verdict.field == field
    assert "seal" in verdict.reason


PLAIN = {"endpoint", "version", "price_version", "finish_reason", "tags", "paths", "tool_call_id", "provider"}
PLAIN |= {"operation", "capabilities", "chosen", "parents", "cost_usd"}
OF_NODES = {
    "alert",
    "bus",
    "datasubject",
    "log",
    "node",
    "origin",
    "reaction",
}  # what nodes tell of themselves, and of nobody


def test_every_text_for_people_is_marked_as_personal() -> None:
    """A new field that isn't a name of something: decide whether it may say something of a person, or name it above."""
    for known in (one for one in all_types() if one.name.partition(".")[0] not in OF_NODES):
        for field in msgspec.structs.fields(known.struct):
            shape = msgspec.json.schema(field.type)
            kinds = [one for one in shape.get("anyOf", [shape]) if one.get("type") != "null"]
            assert any(one.get("x-personal") for one in kinds) or field.name in PLAIN or not any(map(is_text, kinds)), (
                f"{known.name}.{field.name}"
            )


def is_text(shape: Any) -> bool:
    is_name = shape.get("maxLength") == 256 or "enum" in shape
    return not is_name and shape.get("type") in ("string", "array", "object", None)


def test_what_is_changed_in_an_event_is_what_is_personal() -> None:
    event = decode(about(RunStarted(task=TEXT, agent_id="coder-7", metadata={"a": 1, "b": None}, clock="none")))
    seen: dict[str, Any] = {}
    with_personal(event, lambda field, value: seen.setdefault(field, value))
    assert seen == {"task": TEXT, "metadata.a": 1}
    assert sealed_in(TEXT) is None
