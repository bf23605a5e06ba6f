"""NATS subjects from events and back."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from rookery.schemas import (
    Event,
    FeedbackGiven,
    RunStarted,
    agent_in,
    entity_filter,
    escape,
    publisher_in,
    subject_of,
    unescape,
)

ANY_ID = st.text(min_size=1, max_size=50)


def test_a_subject_names_entity_id_fact_and_publisher() -> None:
    event = Event.of(RunStarted(), subject="run-9", source="/agents/coder-7")
    assert subject_of(event) == "evt.run.run-9.started.coder-7"
    assert entity_filter("run", "run-9") == "evt.run.run-9.>"


def test_the_agent_that_a_source_names_is_who_publishes_on_its_behalf() -> None:
    event = Event.of(RunStarted(), subject="run-9", source="/agents/eu/coder-7")
    assert agent_in(event.source) == event.publisher == publisher_in(subject_of(event)) == "coder-7"
    assert agent_in("/people/coder-7") is agent_in("/agents") is agent_in("coder-7") is None


def test_a_later_version_of_a_shape_keeps_its_subject() -> None:
    event = Event.of(FeedbackGiven(kind="thumb"), subject="f-1", source="/people/ada")
    assert (event.type, subject_of(event)) == ("feedback.given.v2", "evt.feedback.f-1.given.ada")


@given(ANY_ID)
def test_any_id_becomes_one_token_and_comes_back(id: str) -> None:
    token = escape(id)
    assert re.fullmatch(r"[A-Za-z0-9_~%-]+", token)
    assert unescape(token) == id


@given(ANY_ID)
def test_the_publisher_can_be_read_off_the_subject(id: str) -> None:
    assert publisher_in(f"evt.run.r.started.{escape(id)}") == id
