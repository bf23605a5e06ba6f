"""Traces as runs: whatever the order, the batches and the repetitions in which their spans come."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.handlers.otel import Span, Translator
from rookery.handlers.otel.translation import TRACES_MAX

from .conftest import NOW_NS, TRACE, events, span, told, translated

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "lead"}
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
SAID = {"gen_ai.output.messages": '[{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]'}


def types(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in found]


def test_a_root_agent_is_the_trace_s_run() -> None:
    asked = {"gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Fix it"}]}]'}
    started, completed = told(span(1, AGENT | asked | SAID | {"gen_ai.conversation.id": "c-1"}, name="go"))
    assert (started["type"], started["subject"]) == ("run.started", TRACE)
    assert started["time"] < completed["time"]
    assert started["data"] == {
        "agent_id": "lead",
        "task": "Fix it",
        "metadata": {"name": "go", "conversation_id": "c-1"},
    }
    assert (completed["type"], completed["subject"]) == ("run.completed", TRACE)
    assert completed["data"] == {"agent_id": "lead", "duration_seconds": 1.0, "output": "done"}


@pytest.mark.parametrize("operation", ["invoke_agent", "invoke_workflow"])
def test_an_agent_further_down_is_a_run_of_its_own_and_part_of_the_trace_s(operation: str) -> None:
    started, completed = told(span(3, AGENT | {"gen_ai.operation.name": operation}))
    assert started["subject"] == completed["subject"] == f"{TRACE}-{3:016x}"
    assert started["data"]["parent_run_id"] == TRACE


def test_an_agent_that_failed_is_a_run_that_failed() -> None:
    _, failed = told(span(1, AGENT, error="gave up"))
    assert (failed["type"], failed["data"]["error"]) == ("run.failed", "gave up")


def test_an_agent_without_a_name_is_called_what_its_span_is_called() -> None:
    started, _ = told(span(1, {"gen_ai.operation.name": "invoke_agent"}, name="invoke_agent scout"))
    assert started["data"]["agent_id"] == "scout"


def test_a_call_that_is_a_whole_trace_belongs_to_no_run() -> None:
    (event,) = told(span(1, CHAT))
    assert "run_id" not in event["data"]


def test_a_call_that_is_a_whole_trace_is_a_run_where_its_content_is_recorded() -> None:
    found = told(span(1, CHAT | SAID))
    assert types(found) == ["run.started", "message.recorded", "llm_call.completed", "run.completed"]
    assert found[2]["data"]["run_id"] == TRACE


def test_such_a_run_s_task_and_output_are_what_was_said_last() -> None:
    asked = {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Hi"}
    found = told(span(1, CHAT | SAID | asked | {"input.value": '{"messages": []}', "output.value": "{}"}))
    assert (found[0]["data"]["task"], found[-1]["type"]) == ("Hi", "run.completed")
    assert told(span(1, CHAT | SAID | {"output.value": "{}"}))[-1]["data"]["output"] == "done"


def test_an_orphan_belongs_to_the_run_of_its_trace_all_the_same() -> None:
    (event,) = told(span(7, CHAT, parent_id="f" * 16))
    assert event["data"]["run_id"] == TRACE


def test_a_web_request_is_the_run_of_a_trace_in_which_agents_work() -> None:
    web = span(1, {"http.route": "/ask"}, name="POST /ask", resource={"service.name": "shop"})
    found = told(web, span(2, CHAT))
    assert types(found) == ["run.started", "run.completed", "llm_call.completed"]
    assert found[0]["data"] == {"agent_id": "shop", "metadata": {"name": "POST /ask", "service": "shop"}}


def test_a_web_request_that_comes_after_its_children_is_known_for_their_run() -> None:
    translator = Translator()
    assert types(events(translated([span(2, CHAT)], translator))) == ["llm_call.completed"]
    assert types(events(translated([span(1)], translator))) == ["run.started", "run.completed"]
    assert translated([span(1, trace_id="1" * 32)], translator).ignored == 1


def test_only_so_many_traces_are_remembered() -> None:
    translator = Translator()
    traces = [f"{number:032x}" for number in range(1, TRACES_MAX + 2)]
    translated([span(2, CHAT, trace_id=trace) for trace in traces], translator)
    assert translated([span(1, trace_id=traces[0])], translator).ignored == 1
    assert translated([span(1, trace_id=traces[1])], translator).ignored == 0


def spans() -> list[Span]:
    return [
        span(1, AGENT | SAID),
        span(2, CHAT | SAID),
        span(3, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ls"}),
        span(4, AGENT | {"gen_ai.agent.name": "helper"}),
        span(5, CHAT, parent_id=f"{4:016x}"),
        span(6, CHAT, error="down"),
        span(7, {"http.route": "/"}),
    ]


@given(order=st.permutations(range(7)), cuts=st.sets(st.integers(1, 13)), again=st.permutations(range(7)))
@settings(max_examples=60, deadline=None)
def test_order_batches_and_repetition_change_nothing(order: list[int], cuts: set[int], again: list[int]) -> None:
    given_spans = spans()
    expected = {event["id"]: event for event in told(*given_spans)}
    sent = [given_spans[index] for index in [*order, *again]]
    edges = [0, *sorted(cuts), len(sent)]
    translator = Translator()
    found: dict[str, dict[str, Any]] = {}
    for begin, end in pairwise(edges):
        for event in events(translated(sent[begin:end], translator)):
            assert found.setdefault(event["id"], event) == event
    assert found == expected


def test_a_trace_that_goes_on_is_remembered() -> None:
    translator = Translator()
    oldest, *others = [f"{number:032x}" for number in range(1, TRACES_MAX + 1)]
    translated([span(2, CHAT, trace_id=trace) for trace in (oldest, *others, oldest, "f" * 32)], translator)
    assert translated([span(1, trace_id=oldest)], translator).ignored == 0
    assert translated([span(1, trace_id=others[0])], translator).ignored == 1


def test_other_spans_of_a_run_s_trace_are_ignored_all_the_same() -> None:
    translation = translated([span(2, CHAT), span(3, {"http.route": "/"})])
    assert (len(translation.told), translation.ignored) == (1, 1)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"trace_id": ""}, "expected a trace id of 32 hex digits"),
        ({"trace_id": "0" * 32}, "not all zero"),
        ({"trace_id": "W8jx" * 6}, "expected a trace id"),
        ({"span_id": "0" * 16}, "expected a span id of 16 hex digits"),
        ({"span_id": "a" * 300}, "expected a span id"),
        ({"start_ns": 0, "end_ns": 0}, "set the clock"),
        ({"start_ns": 0}, "its start, 0 ns since 1970"),
        ({"start_ns": NOW_NS, "end_ns": 2**64 - 1}, "its end"),
        ({"start_ns": -(2**63)}, "its start"),
        ({"start_ns": 10**30}, "its start"),
        ({"end_ns": NOW_NS + 2 * 86_400 * 10**9}, "more than a day ahead"),
    ],
)
def test_a_span_that_cant_be_placed_is_rejected_and_costs_only_itself(more: dict[str, Any], reason: str) -> None:
    translation = translated([span(2, CHAT, **more), span(3, CHAT)])
    (rejection,) = translation.rejections
    assert (rejection.position, len(translation.told)) == (0, 1)
    assert reason in rejection.reason


def test_a_span_that_ends_before_it_begins_has_no_duration() -> None:
    (event,) = told(span(2, CHAT, start_ns=NOW_NS, end_ns=NOW_NS - 1))
    assert "duration_seconds" not in event["data"]


def test_a_span_that_never_ended_happened_when_it_began() -> None:
    (event,) = told(span(2, CHAT, end_ns=0))
    assert (event["time"], "duration_seconds" in event["data"]) == ("2026-11-20T11:59:59Z", False)
