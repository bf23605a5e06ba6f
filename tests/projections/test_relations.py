"""The relations follow from the structs, and one name is one type everywhere."""

from __future__ import annotations

import msgspec
import pytest
from rookery.projections.relations import Field, relation_of, relations, wide
from rookery.schemas import EventData, EventType, LlmCallCompleted, current_types
from rookery.schemas.vocabulary import Seconds


def event_type(name: str, struct: type[EventData]) -> EventType:
    return EventType(name, struct, msgspec.json.Decoder(struct))


def test_every_current_type_has_a_relation_named_like_it_without_its_version() -> None:
    assert {relation.wire_type for relation in relations().values()} == {known.name for known in current_types()}
    assert relations()["feedback_given"].wire_type == "feedback.given.v2"
    assert relations()["feedback_given"].type == "feedback.given"
    assert len(relations()) == len(current_types())


def test_a_column_has_the_type_that_its_annotation_says() -> None:
    class Everything(EventData, frozen=True, kw_only=True):
        flag: bool
        share: float
        duration_seconds: Seconds | None = None
        words: list[str] = []  # noqa: RUF012
        count: int = 3
        mood: str = "it's fine"

    assert relation_of(event_type("thing.happened", Everything)).fields == (
        Field("flag", "BOOLEAN", None),
        Field("share", "DOUBLE", None),
        Field("duration_seconds", "DECIMAL(18,6)", None),
        Field("words", "VARCHAR[]", "[]"),
        Field("count", "BIGINT", "3"),
        Field("mood", "VARCHAR", "'it''s fine'"),
    )


def test_two_events_may_not_disagree_on_what_a_name_is() -> None:
    class Confused(EventData, frozen=True, kw_only=True):
        input_tokens: str

    found = [relation_of(event_type("thing.happened", struct)) for struct in (LlmCallCompleted, Confused)]
    with pytest.raises(TypeError, match="one name means one thing"):
        wide(found)


def test_a_field_may_not_hide_the_envelope() -> None:
    class Hiding(EventData, frozen=True, kw_only=True):
        subject: str

    with pytest.raises(TypeError, match="its envelope has already"):
        wide([relation_of(event_type("thing.happened", Hiding))])
