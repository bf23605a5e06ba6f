"""Conversations: each message once, at its place, in whichever shape instrumentations recorded it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rookery.handlers.otel import Span
from rookery.handlers.otel.messages import MESSAGES_MAX
from rookery.handlers.otel.spans import SpanEvent

from .conftest import TRACE, span, told

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.agent.name": "coder-7"}


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def messages(*spans: Span) -> list[tuple[int, str, str | None]]:
    found = [event["data"] for event in told(*spans) if event["type"] == "message.recorded"]
    return [(one["step"], one["role"], one.get("content")) for one in found]


SYSTEM, USER, ANSWER = said("system", "Be brief."), said("user", "Hi"), said("assistant", "Hello")
EXPECTED = [(0, "system", "Be brief."), (1, "user", "Hi"), (2, "assistant", "Hello")]

SHAPES: list[Span] = [
    span(2, CHAT | {"gen_ai.input.messages": [SYSTEM, USER], "gen_ai.output.messages": [ANSWER]}),
    span(
        2,
        CHAT | {"gen_ai.input.messages": json.dumps([SYSTEM, USER]), "gen_ai.output.messages": json.dumps([ANSWER])},
    ),
    span(
        2,
        CHAT
        | {
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
            "gen_ai.input.messages": json.dumps([USER]),
            "gen_ai.output.messages": json.dumps([ANSWER]),
        },
    ),
    span(
        2,
        CHAT,
        events=[
            SpanEvent(
                "gen_ai.client.inference.operation.details",
                {"gen_ai.input.messages": [SYSTEM, USER], "gen_ai.output.messages": [ANSWER]},
            )
        ],
    ),
    span(
        2,
        CHAT,
        events=[
            SpanEvent("gen_ai.system.message", {"content": "Be brief."}),
            SpanEvent("gen_ai.user.message", {"content": "Hi"}),
            SpanEvent("gen_ai.choice", {"message": '{"role": "assistant", "content": "Hello"}'}),
        ],
    ),
    span(
        2,
        CHAT
        | {
            "llm.input_messages.0.message.role": "system",
            "llm.input_messages.0.message.content": "Be brief.",
            "llm.input_messages.1.message.role": "user",
            "llm.input_messages.1.message.contents.0.message_content.text": "Hi",
            "llm.output_messages.0.message.role": "assistant",
            "llm.output_messages.0.message.content": "Hello",
        },
    ),
    span(
        2,
        CHAT
        | {
            "gen_ai.prompt.1.content": "Hi",
            "gen_ai.prompt.1.role": "user",
            "gen_ai.prompt.0.role": "system",
            "gen_ai.prompt.0.content": "Be brief.",
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Hello",
        },
    ),
]


def test_a_message_that_has_its_text_in_two_ways_is_told_once() -> None:
    text = {
        "llm.input_messages.0.message.content": "Hi",
        "llm.input_messages.0.message.contents.0.message_content.text": "Hi",
    }
    for attributes in (text, dict(reversed(text.items()))):
        assert messages(span(2, CHAT | attributes)) == [(0, "user", "Hi")]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_says_the_same(shape: Span) -> None:
    assert messages(shape) == EXPECTED


def test_nothing_is_recorded_where_content_is_not() -> None:
    assert messages(span(2, CHAT)) == []


def test_calls_that_follow_one_another_tell_each_message_once() -> None:
    asks = {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "ls", "arguments": {}}]}
    gets = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "a.py"}]}
    first = span(2, CHAT | {"gen_ai.input.messages": [SYSTEM, USER], "gen_ai.output.messages": [asks]})
    second = span(3, CHAT | {"gen_ai.input.messages": [SYSTEM, USER, asks, gets], "gen_ai.output.messages": [ANSWER]})
    found = messages(first, second)
    assert [(step, role) for step, role, _ in found] == [
        (0, "system"),
        (1, "user"),
        (2, "assistant"),
        (3, "tool"),
        (4, "assistant"),
    ]
    assert [content for *_, content in found][3:] == ["a.py", "Hello"]


def test_a_message_is_of_its_run_its_agent_and_its_time() -> None:
    asked, answered, _ = told(span(2, CHAT | {"gen_ai.input.messages": [USER], "gen_ai.output.messages": [ANSWER]}))
    assert asked["data"] == {"run_id": TRACE, "step": 0, "role": "user", "content": "Hi"}
    assert answered["data"]["agent_id"] == "coder-7"
    assert asked["time"] < answered["time"]
    assert asked["subject"] == f"{TRACE}-{2:016x}-0"


def test_a_tool_s_answer_names_the_call_that_it_answers() -> None:
    gets = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "a.py"}]}
    event, _ = told(span(2, CHAT | {"gen_ai.input.messages": [gets]}))
    assert event["data"]["tool_call_id"] == "t1"


@pytest.mark.parametrize(
    "odd", ["not json", "[", "{}", 5, True, [], [None], [[]], [{"role": 7, "parts": {"a": [1]}}], {"a": 1}, ["\x00"]]
)
def test_odd_content_is_no_reason_to_lose_the_call(odd: Any) -> None:
    found = told(span(2, CHAT | {"gen_ai.input.messages": odd, "gen_ai.output.messages": odd}))
    assert found[-1]["type"] == "llm_call.completed"


def test_a_call_adds_only_so_many_messages() -> None:
    assert len(messages(span(2, CHAT | {"gen_ai.input.messages": [USER] * 5_000}))) == MESSAGES_MAX
