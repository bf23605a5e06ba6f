"""Langfuse's exports: the same observations in every shape that it writes them in."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.langfuse import read
from rookery.handlers.pricing import PRICE_VERSION
from rookery.schemas import check_strictly

API: dict[str, Any] = {
    "id": "obs-2",
    "traceId": "8b3b0a1e-6b0d-4f5c-9a3e-2f4d5c6b7a89",
    "parentObservationId": "obs-1",
    "type": "GENERATION",
    "name": "answer",
    "startTime": "2025-05-29T13:46:19.963Z",
    "endTime": "2025-05-29T13:46:21.463Z",
    "completionStartTime": "2025-05-29T13:46:20.463Z",
    "model": "gpt-4o",
    "usageDetails": {"input": 600, "input_cached_tokens": 400, "output": 60, "output_reasoning_tokens": 40, "total": 9},
    "calculatedTotalCost": 0.0042,
    "level": "DEFAULT",
    "input": [{"role": "user", "content": "Hi"}],
    "output": {"role": "assistant", "content": "Hello"},
}  # fmt: skip
BLOB: dict[str, Any] = {
    "id": "obs-2",
    "trace_id": API["traceId"],
    "parent_observation_id": "obs-1",
    "type": "GENERATION",
    "name": "answer",
    "start_time": "2025-05-29 13:46:19.963000",
    "end_time": "2025-05-29 13:46:21.463000",
    "completion_start_time": "2025-05-29 13:46:20.463000",
    "provided_model_name": "gpt-4o",
    "usage_details": API["usageDetails"],
    "total_cost": 0.0042,
    "level": "DEFAULT",
    "input": {"messages": API["input"]},
    "output": API["output"],
}
TRACE = "8b3b0a1e6b0d4f5c9a3e2f4d5c6b7a89"


def events(content: Any, **options: Any) -> list[dict[str, Any]]:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = [one for one in read(BytesIO(written), "export", **options) if isinstance(one, Found)]
    for one in found:
        check_strictly(one.payload)
    return [msgspec.json.decode(one.payload) for one in found]


def reasons(content: Any) -> list[str]:
    return [one.reason for one in read(BytesIO(json.dumps(content).encode()), "export") if isinstance(one, Rejected)]


def of_type(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in found if event["type"] == name]


def test_a_generation_becomes_a_model_call_with_langfuse_s_cost() -> None:
    (call,) = of_type(events(API), "llm_call.completed")
    assert call["source"] == "/importers/langfuse"
    assert call["time"] == "2025-05-29T13:46:21.463000Z"
    assert call["data"] == {
        "provider": "openai",
        "request_model": "gpt-4o",
        "run_id": TRACE,
        "input_tokens": 1_000,
        "output_tokens": 100,
        "cache_read_input_tokens": 400,
        "reasoning_output_tokens": 40,
        "cost_usd": "0.0042",
        "duration_seconds": 1.5,
        "time_to_first_token_seconds": 0.5,
    }


@pytest.mark.parametrize(
    "content",
    [
        [API],
        {"data": [API], "meta": {"page": 1}},
        {"id": API["traceId"], "name": "t", "timestamp": "2025-05-29", "observations": [API]},
        [{"id": API["traceId"], "observations": [API]}],
        BLOB,
        [BLOB],
        b"\n".join([json.dumps(BLOB).encode()] * 2),
        json.dumps([API], indent=2).encode(),
        json.dumps(API, indent=2).encode(),
    ],
)
def test_every_export_gives_the_same_events(content: Any) -> None:
    found = {event["id"]: event for event in events(content)}
    assert list(found.values()) == events(API)
    assert [event["type"] for event in found.values()] == ["message.recorded", "message.recorded", "llm_call.completed"]


@pytest.mark.parametrize(
    ("said", "cost_usd"),
    [
        ({"totalCost": 0, "calculatedTotalCost": None}, "0"),
        ({"totalCost": "0.000", "calculatedTotalCost": None}, "0"),
        ({"totalCost": None, "calculatedTotalCost": 0.0}, "0"),
        ({"totalCost": 0, "calculatedTotalCost": 0.5}, "0.5"),
    ],
)
def test_a_call_that_cost_nothing_is_not_priced(said: dict[str, Any], cost_usd: str) -> None:
    (call,) = of_type(events(API | said), "llm_call.completed")
    assert (call["data"]["cost_usd"], "price_version" in call["data"]) == (cost_usd, False)


def test_a_call_without_a_cost_is_priced() -> None:
    plain = {name: value for name, value in API.items() if name != "calculatedTotalCost"}
    (call,) = of_type(events(plain), "llm_call.completed")
    assert (call["data"]["cost_usd"], call["data"]["price_version"]) == ("0.003", PRICE_VERSION)


def test_the_provider_can_be_given() -> None:
    (call,) = of_type(events(API, provider="azure"), "llm_call.completed")
    assert call["data"]["provider"] == "azure"


def test_the_old_names_of_usage_are_read_too() -> None:
    old = {name: value for name, value in API.items() if name != "usageDetails"}
    (call,) = of_type(events(old | {"usage": {"promptTokens": 7, "completionTokens": 3}}), "llm_call.completed")
    assert (call["data"]["input_tokens"], call["data"]["output_tokens"]) == (7, 3)


def test_a_generation_that_failed_says_why() -> None:
    (call,) = of_type(events(API | {"level": "ERROR", "statusMessage": "429"}), "llm_call.failed")
    assert call["data"]["error"] == "429"


def test_tools_agents_and_the_root_become_what_their_spans_would() -> None:
    common = {"traceId": API["traceId"], "startTime": API["startTime"], "endTime": API["endTime"]}
    root = common | {"id": "obs-1", "type": "SPAN", "name": "handle", "input": "Fix it"}
    tool = common | {"id": "obs-3", "type": "TOOL", "name": "grep", "input": {"q": 1}, "parentObservationId": "obs-1"}
    agent = common | {"id": "obs-4", "type": "AGENT", "name": "helper", "parentObservationId": "obs-1"}
    found = events([tool, agent, API, root])
    (called,) = of_type(found, "tool_call.completed")
    assert (called["data"]["tool"], called["data"]["arguments"]) == ("grep", {"q": 1})
    assert [(one["subject"][:32], one["data"].get("task")) for one in of_type(found, "run.started")] == [
        (TRACE, None),
        (TRACE, "Fix it"),
    ]


def test_an_observation_that_came_from_opentelemetry_keeps_its_ids() -> None:
    ids = {"id": "b7ad6b7169203331", "traceId": "0AF7651916CD43DD8448EB211C80319C"}
    (call,) = of_type(events(API | ids), "llm_call.completed")
    assert call["subject"] == "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (5, "expected an observation, found int"),
        ([[]], "expected an observation, found list"),
        ({}, "expected an observation with a `type` as GENERATION"),
        (API | {"type": "SCORE"}, "found 'SCORE'"),
        (API | {"startTime": "soon"}, "found 'soon'"),
        (API | {"startTime": None}, "expected times"),
        (API | {"id": None}, "no `id`"),
        (API | {"startTime": "1815-12-10"}, "set the clock"),
    ],
)
def test_what_is_no_observation_is_rejected_with_a_reason(content: Any, reason: str) -> None:
    (found,) = reasons(content)
    assert reason in found


@pytest.mark.parametrize("odd", [5, "x", [1], {"input": "many", "output": None}, {"input": True}, {"input": -3}])
def test_odd_usage_is_left_out(odd: Any) -> None:
    (call,) = of_type(events(API | {"usageDetails": odd}), "llm_call.completed")
    assert "input_tokens" not in call["data"]
