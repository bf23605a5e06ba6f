"""The registry: every type has one name, one shape, and a way to its newest version."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

import msgspec
import pytest
from rookery.schemas import (
    EventData,
    EventType,
    FeedbackGiven,
    FeedbackGivenV1,
    all_types,
    current_types,
    decode_data,
    derived_id,
    is_superseded,
    new_id,
    type_of,
    usd,
)
from rookery.schemas.feedback import stars_become_a_score
from rookery.schemas.json_schema import event_schema
from rookery.schemas.registry import _fingerprint


def test_the_first_version_of_feedback_is_read_as_the_second() -> None:
    read = decode_data("feedback.given", b'{"run_id":"run-9","stars":4,"comment":"good"}')
    assert read == FeedbackGiven(kind="score", run_id="run-9", score=0.75, comment="good")


def test_a_superseded_type_is_known_but_not_current() -> None:
    assert is_superseded("feedback.given")
    assert not is_superseded("feedback.given.v2")
    assert FeedbackGivenV1 in {known.struct for known in all_types()}
    assert FeedbackGivenV1 not in {known.struct for known in current_types()}


@pytest.mark.parametrize("known", all_types(), ids=lambda known: known.name)
def test_every_type_is_a_frozen_struct_that_explains_itself(known: EventType) -> None:
    name, struct = known.name, known.struct
    assert issubclass(struct, EventData)
    assert struct.__struct_config__.frozen
    assert struct.__doc__
    assert msgspec.json.schema(struct)
    words = name.removesuffix(".v2").split(".")
    spelt = "".join(word.title() for part in words for word in part.split("_"))
    assert struct.__name__.removesuffix("V1") == spelt


@pytest.mark.parametrize("known", all_types(), ids=lambda known: known.name)
def test_every_field_says_what_it_is(known: EventType) -> None:
    fields = event_schema(known)["properties"]["data"]["properties"]
    assert [name for name, part in fields.items() if not part.get("description")] == [], (
        "give the field a type of its own with a description: the event reference is written from it"
    )


def test_ids_are_fresh_or_derived() -> None:
    assert new_id() < new_id()
    assert derived_id("a", "b") == derived_id("a", "b") != derived_id("ab")


def test_type_of_gives_the_wire_name() -> None:
    assert type_of(FeedbackGiven(kind="thumb")) == "feedback.given.v2"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("-0.0", "0"),
        ("1E+2", "100"),
        ("0.0034375", "0.0034375"),
        ("1E-13", "0"),
        ("2.50", "2.5"),
        ("999999999999.999999999999", "999999999999.999999999999"),
    ],
)
def test_dollars_travel_as_plain_digits(amount: str, text: str) -> None:
    assert usd(Decimal(amount)) == text


@pytest.mark.parametrize("amount", ["-1", "-1E-13", "1E+12", "999999999999.9999999999999", "NaN"])
def test_an_amount_that_no_event_can_carry_is_refused(amount: str) -> None:
    with pytest.raises((ValueError, InvalidOperation)):
        usd(Decimal(amount))


def shape(kinds: Any, words: str) -> EventType:
    kind = Annotated[kinds, msgspec.Meta(description=words)]
    struct = msgspec.defstruct("Turned", [("kind", kind)], bases=(EventData,), frozen=True)
    return EventType("gizmo.turned", struct, msgspec.json.Decoder(struct))


def test_what_is_derived_is_outdated_when_a_schema_allows_more_and_not_when_it_is_worded_otherwise() -> None:
    narrow, wide = Literal["left"], Literal["left", "right"]
    fingerprint = _fingerprint((shape(narrow, "Which way."),), ())
    assert fingerprint == _fingerprint((shape(narrow, "Where to."),), ())
    assert fingerprint != _fingerprint((shape(wide, "Which way."),), ())


def test_what_is_derived_is_outdated_when_an_upcaster_is_another() -> None:
    def halved(old: FeedbackGivenV1) -> EventData:
        return old

    assert _fingerprint((), ((FeedbackGivenV1, halved),)) != _fingerprint(
        (), ((FeedbackGivenV1, stars_become_a_score),)
    )
