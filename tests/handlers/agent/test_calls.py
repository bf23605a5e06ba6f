"""Calls of tools and models: timed, priced and recorded, however they end."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
import rookery.testing
from rookery import Task
from rookery.schemas import LlmCallCompleted, LlmCallFailed, ToolCallCompleted

run = rookery.testing.run


async def tool_calls(handler: Any) -> list[Any]:
    return (await run(handler, "work")).events_of("tool_call.completed")


async def llm_calls(handler: Any, type: str = "llm_call.completed") -> list[Any]:
    return (await run(handler, "work")).events_of(type)


async def test_a_tool_call_is_recorded_when_it_ends() -> None:
    async def work(task: Task) -> None:
        async with task.tool("ruff", {"path": "."}) as tool:
            tool.output = {"findings": 3}

    (call,) = await tool_calls(work)
    assert isinstance(call, ToolCallCompleted)
    assert (call.tool, call.outcome, call.arguments, call.output) == ("ruff", "ok", {"path": "."}, '{"findings":3}')
    assert call.duration_seconds is not None
    assert call.error is None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ValueError("bad"), "error"), (TimeoutError(), "timed_out"), (asyncio.CancelledError(), "error")],
)
async def test_a_tool_call_that_raises_is_recorded_as_what_it_is(error: BaseException, outcome: str) -> None:
    async def work(task: Task) -> None:
        with pytest.raises(type(error)):
            async with task.tool("ruff"):
                raise error

    (call,) = await tool_calls(work)
    assert call.outcome == outcome
    assert call.error.startswith(type(error).__name__)


async def test_an_outcome_that_is_no_exception_is_the_authors_to_say() -> None:
    async def work(task: Task) -> None:
        async with task.tool("rm") as tool:
            tool.outcome, tool.error = "denied", "not in this folder"

    (call,) = await tool_calls(work)
    assert (call.outcome, call.error) == ("denied", "not in this folder")


async def test_a_long_output_is_shortened_and_says_by_how_much() -> None:
    async def work(task: Task) -> None:
        async with task.tool("cat") as tool:
            tool.output = "x" * 25_000

    (call,) = await tool_calls(work)
    assert call.output.endswith("x… (15,000 characters more)")


async def test_arguments_that_cannot_be_recorded_are_refused_before_the_call() -> None:
    called: list[bool] = []

    async def work(task: Task) -> None:
        async with task.tool("ruff", arguments=object()):
            called.append(True)

    done = await run(work, "work")
    assert "data" in (done.error or "")
    assert not called


async def test_a_model_call_is_priced() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o") as call:
            call.usage(input_tokens=1_000_000, output_tokens=0)
            call.response_model, call.finish_reason = "gpt-4o-2024-08-06", "stop"
            call.first_token()

    (call,) = await llm_calls(work)
    assert isinstance(call, LlmCallCompleted)
    assert call.cost_usd == "2.5"
    assert (call.price_version or "").startswith("genai-prices/")
    assert (call.usage_source, call.finish_reason) == ("provider", "stop")
    assert call.time_to_first_token_seconds is not None


async def test_an_unknown_price_stays_unknown() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("our-basement", "llama-13") as call:
            call.usage(input_tokens=10, output_tokens=10)

    (call,) = await llm_calls(work)
    assert (call.cost_usd, call.price_version, call.input_tokens) == (None, None, 10)


async def test_what_the_author_says_it_cost_counts() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o") as call:
            call.usage(input_tokens=10, output_tokens=10)
            call.cost_usd = Decimal("0.125")

    (call,) = await llm_calls(work)
    assert (call.cost_usd, call.price_version) == ("0.125", None)


@pytest.mark.parametrize("cost", ["-1", "much", "NaN", Decimal("Infinity"), 10**12])
async def test_a_cost_that_is_none_is_refused_with_the_field(cost: Any) -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o") as call:
            call.cost_usd = cost

    assert "data.cost_usd" in ((await run(work, "work")).error or "")


async def test_usage_that_nobody_counted_is_unknown_and_not_zero() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o", operation="embeddings"):
            pass

    (call,) = await llm_calls(work)
    assert (call.usage_source, call.input_tokens, call.cost_usd, call.operation) == (
        "unknown",
        None,
        None,
        "embeddings",
    )


async def test_a_model_that_does_not_answer_is_recorded_as_failed() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o") as call:
            call.usage(input_tokens=1_000_000, output_tokens=0, cache_read_input_tokens=5)
            raise ConnectionError("reset")

    (call,) = await llm_calls(work, "llm_call.failed")
    assert isinstance(call, LlmCallFailed)
    assert call.error.startswith("ConnectionError: reset (test_calls.py:")
    assert call.input_tokens == 1_000_000
    assert call.cost_usd is not None


async def test_negative_tokens_are_refused() -> None:
    async def work(task: Task) -> None:
        async with task.llm_call("openai", "gpt-4o") as call:
            call.usage(input_tokens=-1, output_tokens=0)

    assert "data.input_tokens" in ((await run(work, "work")).error or "")


async def test_each_call_is_a_span_of_the_runs_trace() -> None:
    spans: list[str] = []

    async def work(task: Task) -> None:
        async with task.tool("a") as a, task.tool("b") as b:
            spans.extend([task.traceparent, a.traceparent, b.traceparent])

    await run(work, "work")
    assert len({span.split("-")[1] for span in spans}) == 1
    assert len({span.split("-")[2] for span in spans}) == 3
