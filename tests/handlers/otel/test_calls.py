"""Single spans: what a model call, a tool call and a new agent become, whichever convention named them."""

from __future__ import annotations

from typing import Any

import pytest
from rookery.handlers.otel.spans import SpanEvent
from rookery.handlers.pricing import PRICE_VERSION

from .conftest import TRACE, data, span, told, translated

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1_000,
    "gen_ai.usage.output_tokens": 100,
}
PRICED = {"cost_usd": "0.0035", "price_version": PRICE_VERSION}


def test_a_chat_becomes_a_priced_model_call_of_its_trace_s_run() -> None:
    more = {
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.reasoning.output_tokens": 40,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.agent.name": "coder-7",
    }
    (event,) = told(span(2, CHAT | more))
    assert event == {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/otel/unknown_service",
        "type": "llm_call.completed",
        "subject": f"{TRACE}-0000000000000002",
        "time": "2026-11-20T12:00:00Z",
        "traceparent": f"00-{TRACE}-0000000000000002-01",
        "correlationid": TRACE,
        "data": {
            "provider": "openai",
            "request_model": "gpt-4o",
            "response_model": "gpt-4o-2024-08-06",
            "run_id": TRACE,
            "agent_id": "coder-7",
            "input_tokens": 1_000,
            "output_tokens": 100,
            "reasoning_output_tokens": 40,
            "duration_seconds": 1.0,
            "time_to_first_token_seconds": 0.25,
            "finish_reason": "stop",
        }
        | PRICED,
    }


OLD = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.prompt_tokens": 1_000,
    "gen_ai.usage.completion_tokens": 100,
}
OPENINFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.model_name": "gpt-4o",
    "llm.token_count.prompt": 1_000,
    "llm.token_count.completion": 100.0,
}


@pytest.mark.parametrize(
    "attributes",
    [CHAT, OLD, OLD | {"gen_ai.operation.name": "chat"}, OLD | {"llm.request.type": "chat"}, OPENINFERENCE],
)
def test_every_convention_says_the_same(attributes: dict[str, Any]) -> None:
    found = data(span(2, attributes))
    common = {"provider": "openai", "request_model": "gpt-4o", "input_tokens": 1_000, "output_tokens": 100}
    assert found == common | PRICED | {"run_id": TRACE, "duration_seconds": 1.0}


@pytest.mark.parametrize(
    ("attributes", "operation"),
    [
        (CHAT | {"gen_ai.operation.name": "text_completion"}, "text_completion"),
        (CHAT | {"gen_ai.operation.name": "generate_content"}, "generate_content"),
        (CHAT | {"gen_ai.operation.name": "embeddings"}, "embeddings"),
        (OPENINFERENCE | {"openinference.span.kind": "EMBEDDING"}, "embeddings"),
        (OLD | {"llm.request.type": "completion"}, "text_completion"),
    ],
)
def test_the_operation_is_kept(attributes: dict[str, Any], operation: str) -> None:
    assert data(span(2, attributes))["operation"] == operation


def test_a_cost_that_the_span_gives_counts_before_the_price_table() -> None:
    found = data(span(2, CHAT | {"gen_ai.usage.cost": 0.125}))
    assert (found["cost_usd"], "price_version" in found) == ("0.125", False)
    assert data(span(2, CHAT | {"gen_ai.usage.cost": -0.0}))["cost_usd"] == "0"


@pytest.mark.parametrize("cost", [-1, float("nan"), float("inf"), "much", True, [1]])
def test_a_cost_that_is_none_is_reckoned(cost: Any) -> None:
    assert data(span(2, CHAT | {"gen_ai.usage.cost": cost}))["cost_usd"] == PRICED["cost_usd"]


def test_a_model_is_priced_by_the_name_it_was_asked_for_where_its_own_is_unheard_of() -> None:
    assert data(span(2, CHAT | {"gen_ai.response.model": "my-deployment"}))["cost_usd"] == PRICED["cost_usd"]


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("x_ai", "grok-4"),
        ("az.ai.inference", "gpt-4o"),
        ("az.ai.openai", "gpt-4o"),
        ("azure.ai.openai", "gpt-4o"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("gcp.vertex_ai", "gemini-2.5-pro"),
        ("mistral_ai", "mistral-large-latest"),
        ("groq", "llama-3.3-70b-versatile"),
        ("deepseek", "deepseek-chat"),
    ],
)
def test_the_conventions_names_of_providers_have_prices(provider: str, model: str) -> None:
    found = data(span(2, CHAT | {"gen_ai.provider.name": provider, "gen_ai.request.model": model}))
    assert (found["provider"], "cost_usd" in found) == (provider, True)


def test_tokens_from_a_cache_are_part_of_the_input_and_cheaper() -> None:
    found = data(span(2, CHAT | {"gen_ai.usage.cache_read.input_tokens": 400}))
    assert (found["input_tokens"], found["cache_read_input_tokens"], found["cost_usd"]) == (1_000, 400, "0.003")


def test_a_span_with_an_absurd_count_is_told_without_a_cost_and_costs_no_other_span() -> None:
    absurd, other = told(span(2, CHAT | {"gen_ai.usage.input_tokens": 2**63 - 1}), span(3, CHAT))
    assert (absurd["data"]["input_tokens"], "cost_usd" in absurd["data"]) == (2**63 - 1, False)
    assert other["data"]["cost_usd"] == PRICED["cost_usd"]


@pytest.mark.parametrize("missing", ["gen_ai.provider.name", "gen_ai.request.model"])
def test_what_is_not_known_is_unknown_and_costs_nobody_knows_what(missing: str) -> None:
    found = data(span(2, {name: value for name, value in CHAT.items() if name != missing}))
    assert "unknown" in (found["provider"], found["request_model"])
    assert "cost_usd" not in found


def test_a_prompt_that_nobody_counted_was_not_free() -> None:
    found = data(span(2, {name: value for name, value in CHAT.items() if name != "gen_ai.usage.input_tokens"}))
    assert found["output_tokens"] > 0
    assert "input_tokens" not in found
    assert "cost_usd" not in found


def test_a_call_whose_tokens_nobody_counted_says_so() -> None:
    found = data(span(2, {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": -5}))
    assert found["usage_source"] == "unknown"
    assert not {"input_tokens", "output_tokens", "cost_usd"} & found.keys()


@pytest.mark.parametrize("value", [-1, 2**63, 1.5, True, "1e3", "²", [], {}, "9" * 30])
def test_tokens_that_are_no_number_are_left_out(value: Any) -> None:
    assert "input_tokens" not in data(span(2, CHAT | {"gen_ai.usage.input_tokens": value}))


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"error": "rate limited"}, "rate limited"),
        ({"error": "", "attributes": CHAT | {"error.type": "429"}}, "429"),
        ({"attributes": CHAT | {"error.type": "timeout"}}, "timeout"),
        ({"error": "", "events": [SpanEvent("exception", {"exception.message": "no route"})]}, "no route"),
        ({"error": ""}, "failed, and nobody recorded why"),
    ],
)
def test_a_call_that_failed_says_why(more: dict[str, Any], error: str) -> None:
    (event,) = told(span(2, **({"attributes": CHAT} | more)))
    assert (event["type"], event["data"]["error"]) == ("llm_call.failed", error)
    assert event["data"]["input_tokens"] == 1_000


TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "grep"}


@pytest.mark.parametrize(
    "attributes",
    [
        TOOL | {"gen_ai.tool.call.arguments": '{"pattern": "x"}', "gen_ai.tool.call.result": "3 lines"},
        TOOL | {"gen_ai.tool.call.arguments": {"pattern": "x"}, "gen_ai.tool.call.result": "3 lines"},
        {
            "openinference.span.kind": "TOOL",
            "tool.name": "grep",
            "input.value": '{"pattern": "x"}',
            "output.value": "3 lines",
        },
        {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": "grep",
            "traceloop.entity.input": '{"pattern": "x"}',
            "traceloop.entity.output": "3 lines",
        },
    ],
)
def test_a_tool_s_span_becomes_its_call(attributes: dict[str, Any]) -> None:
    assert data(span(2, attributes)) == {
        "tool": "grep",
        "run_id": TRACE,
        "outcome": "ok",
        "duration_seconds": 1.0,
        "arguments": {"pattern": "x"},
        "output": "3 lines",
    }


def test_a_tool_is_called_what_its_span_is_called_where_nothing_says_more() -> None:
    named = {"gen_ai.operation.name": "execute_tool"}
    assert data(span(2, named, name="execute_tool ls"))["tool"] == "ls"
    assert data(span(2, named))["tool"] == "unknown"


@pytest.mark.parametrize(("error", "outcome"), [("boom", "error"), ("deadline exceeded", "timed_out")])
def test_a_tool_that_failed_has_its_outcome(error: str, outcome: str) -> None:
    found = data(span(2, TOOL, error=error))
    assert (found["outcome"], found["error"]) == (outcome, error)


def test_a_new_agent_joins_the_colony_unless_making_it_failed() -> None:
    made = {"gen_ai.operation.name": "create_agent", "gen_ai.agent.id": "asst_5", "gen_ai.agent.name": "Math Tutor"}
    (event,) = told(span(2, made))
    assert (event["type"], event["subject"], event["data"]["name"]) == ("agent.registered", "asst_5", "Math Tutor")
    assert told(span(2, made, error="no quota")) == []


def test_the_service_is_the_agent_where_none_is_named_and_the_source_of_it_all() -> None:
    (event,) = told(span(2, CHAT, resource={"service.name": "Größe /v2 "}))
    assert event["data"]["agent_id"] == "Größe /v2"
    assert event["source"] == "/otel/Gr%C3%B6%C3%9Fe%20%2Fv2"
    assert "agent_id" not in data(span(2, CHAT, resource={"service.name": "unknown_service:python"}))


@pytest.mark.parametrize("service", ["x" * 5_000, "\U0001f426" * 300, "\n", "\x00a", "a/b?c#d e"])
def test_any_service_makes_a_source(service: str) -> None:
    told(span(2, CHAT, resource={"service.name": service}))


@pytest.mark.parametrize("size", [100, 70_000, 3_000_000])
def test_huge_attributes_are_cut_to_what_an_event_may_hold(size: int) -> None:
    text = "ä" * size
    found = data(span(2, TOOL | {"gen_ai.tool.call.arguments": [text], "gen_ai.tool.call.result": text}))
    assert len(found["output"]) < 70_000
    assert ("characters)" in found["output"]) == (size > 65_536)
    called = data(span(2, CHAT | {"gen_ai.agent.name": text, "gen_ai.request.model": text}))
    assert len(called["agent_id"]) == len(called["request_model"]) == min(size, 256)


def test_arguments_that_are_nested_too_deep_stay_a_text() -> None:
    text = "[" * 60 + "]" * 60
    assert data(span(2, TOOL | {"gen_ai.tool.call.arguments": text}))["arguments"] == text


def test_spans_without_genai_attributes_are_counted_and_ignored() -> None:
    others: list[dict[str, Any]] = [
        {},
        {"http.request.method": "GET"},
        {"gen_ai.operation.name": "retrieval"},
        {"openinference.span.kind": "CHAIN"},
        {"openinference.span.kind": "RERANKER", "llm.model_name": "r"},
        {"gen_ai.operation.name": ["chat"]},
    ]
    translation = translated(span(number, one) for number, one in enumerate(others, 2))
    assert (translation.told, translation.rejections, translation.ignored) == ([], [], len(others))
