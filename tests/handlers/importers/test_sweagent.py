"""SWE-agent's trajectories become runs with what was said, what was run, and what it cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers import sweagent
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.sweagent import FILE_BYTES_MAX, read
from rookery.schemas import check_strictly

BEGIN = datetime(2024, 5, 6, tzinfo=UTC)
ISSUE = "We're currently solving the following issue.\nISSUE:\nIt is broken.\n\nINSTRUCTIONS:\nNow go."


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "agent": "main", **more}


def step(action: str, observation: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "observation": observation, "response": "…", "thought": "…", "state": {}, **more}


HISTORY = [
    turn("system", "You are a programmer."),
    turn("user", ISSUE),
    turn("assistant", "Let's look.\n```\nls -F\n```", action="ls -F\n", thought="Let's look."),
    turn("user", "src/\n(Open file: n/a)"),
    turn("assistant", "Done.", action="submit"),
]
STEPS = [step("ls -F\n", "src/\n", execution_time=0.25), step("submit", "diff --git")]
INFO = {
    "exit_status": "submitted",
    "submission": "diff --git",
    "model_stats": {"total_cost": 9.0, "instance_cost": 0.1 + 0.2, "tokens_sent": 700, "tokens_received": 24},
}
WHOLE = {"environment": "main", "history": HISTORY, "trajectory": STEPS, "info": INFO}


def findings(file: Any, name: str = "octo__cat-1", **options: Any) -> list[Found | Rejected]:
    text = file if isinstance(file, bytes) else json.dumps(file).encode()
    return list(read(BytesIO(text), name, **{"time": BEGIN, **options}))


def events(file: Any, **options: Any) -> list[dict[str, Any]]:
    found = findings(file, **options)
    assert all(isinstance(one, Found) and check_strictly(one.payload) for one in found)
    return [msgspec.json.decode(one.payload) for one in found if isinstance(one, Found)]


def told(file: Any, type: str, **options: Any) -> list[dict[str, Any]]:
    return [event["data"] for event in events(file, **options) if event["type"] == type]


def test_a_trajectory_is_a_run_from_its_issue_to_its_patch() -> None:
    all_of_it = events(WHOLE)
    assert [event["type"] for event in all_of_it] == [
        "run.started",
        *["message.recorded"] * 3,
        "tool_call.completed",
        *["message.recorded"] * 2,
        "tool_call.completed",
        "llm_call.completed",
        "run.completed",
    ]
    [run_id] = {event["correlationid"] for event in all_of_it}
    assert run_id.startswith("sweagent-octo__cat-1-")
    assert all_of_it[0]["data"] == {
        "agent_id": "swe-agent",
        "task_id": "octo__cat-1",
        "task": "It is broken.",
        "skill": "swe-agent",
        "clock": "none",
    }
    assert all_of_it[-1]["data"] == {"agent_id": "swe-agent", "skill": "swe-agent", "output": "diff --git"}


def test_a_command_is_a_call_of_the_tool_that_is_its_first_word() -> None:
    first, second = told(WHOLE, "tool_call.completed")
    assert first == {
        "tool": "ls",
        "run_id": first["run_id"],
        "agent_id": "swe-agent",
        "step": 2,
        "duration_seconds": 0.25,
        "arguments": {"command": "ls -F\n"},
        "output": "src/\n",
    }
    assert (second["tool"], second["step"], second["output"]) == ("submit", 4, "diff --git")


def test_tokens_and_dollars_are_one_call_of_the_model_that_file_or_caller_names() -> None:
    [call] = told(WHOLE, "llm_call.completed", provider="openai")
    assert (call["input_tokens"], call["output_tokens"], call["cost_usd"]) == (700, 24, "0.3")
    assert (call["provider"], call["request_model"]) == ("openai", "unknown")
    settings = {"agent": {"model": {"name": "gpt-4o"}}}
    for config in (settings, json.dumps(settings)):
        [call] = told({**WHOLE, "replay_config": config}, "llm_call.completed")
        assert (call["provider"], call["request_model"]) == ("unknown", "gpt-4o")
    [call] = told({**WHOLE, "replay_config": settings}, "llm_call.completed", model="o3")
    assert call["request_model"] == "o3"
    for useless in ({"agent": {"model": {"name": "replay"}}}, "{", [], {"agent": None}):
        [call] = told({**WHOLE, "replay_config": useless}, "llm_call.completed")
        assert call["request_model"] == "unknown"


@pytest.mark.parametrize(
    ("stats", "spent"),
    [
        ({}, []),
        ({"instance_cost": 0, "tokens_sent": 0, "tokens_received": 0, "api_calls": 11}, []),
        ({"instance_cost": 1.5}, [(None, None, "1.5")]),
        ({"tokens_sent": 5, "tokens_received": 1}, [(5, 1, None)]),
    ],
)
def test_what_nobody_counted_is_unknown_and_not_nothing(stats: dict[str, Any], spent: list[Any]) -> None:
    calls = told({**WHOLE, "info": {"model_stats": stats}}, "llm_call.completed")
    assert [tuple(call.get(key) for key in ("input_tokens", "output_tokens", "cost_usd")) for call in calls] == spent
    assert all(("price_version" in call) == ("cost_usd" in call) for call in calls)


def test_a_file_without_a_trajectory_takes_its_commands_from_the_conversation() -> None:
    first, second = told({"history": HISTORY}, "tool_call.completed")
    assert (first["tool"], first["output"]) == ("ls", "src/\n(Open file: n/a)")
    assert (second["tool"], second.get("output")) == ("submit", None)
    assert {event["type"] for event in events({"history": HISTORY})} == {
        "run.started",
        "message.recorded",
        "tool_call.completed",
    }


def test_commands_that_the_conversation_leaves_out_come_last() -> None:
    calls = told({**WHOLE, "history": HISTORY[:3]}, "tool_call.completed")
    assert [(call["tool"], call["step"]) for call in calls] == [("ls", 2), ("submit", 3)]


def test_demonstrations_are_shown_and_not_done() -> None:
    demo = [turn("user", "Like so.", is_demo=True), turn("assistant", "ls", is_demo=True, action="ls")]
    file = {**WHOLE, "history": [HISTORY[0], *demo, *HISTORY[1:]]}
    assert [call["step"] for call in told(file, "tool_call.completed")] == [4, 6]
    said = told(file, "message.recorded")
    assert [(one["role"], one.get("agent_id")) for one in said[1:4]] == [
        ("user", None),
        ("assistant", None),
        ("user", None),
    ]
    assert told(file, "run.started")[0]["task"] == "It is broken."


def test_an_answer_without_a_command_is_only_said() -> None:
    file = {**WHOLE, "trajectory": [step("", ""), STEPS[1]]}
    assert [(call["tool"], call["step"]) for call in told(file, "tool_call.completed")] == [("submit", 4)]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("submitted", "run.completed"),
        ("submitted (exit_cost)", "run.completed"),
        ("exit_context", "run.failed"),
        (None, None),
    ],
)
def test_a_run_that_submits_is_completed_and_any_other_end_is_a_failure(status: str | None, ended: str | None) -> None:
    ends = [event for event in events({**WHOLE, "info": {"exit_status": status}}) if event["type"].startswith("run.")]
    assert [event["type"] for event in ends[1:]] == ([ended] if ended else [])
    if ended == "run.failed":
        assert ends[1]["data"]["error"] == status


@pytest.mark.parametrize(
    ("said", "task"),
    [
        ("<pr_description>\nIt is slow.\n</pr_description> Fix it.", "It is slow."),
        ("Anything else.", "Anything else."),
        ([{"type": "text", "text": "In parts."}], '[{"type":"text","text":"In parts."}]'),
    ],
)
def test_the_task_is_the_issue_where_it_can_be_found(said: Any, task: str) -> None:
    assert told({"history": [turn("user", said)]}, "run.started")[0]["task"] == task


def test_runs_at_the_same_issue_are_told_apart_and_one_run_is_always_the_same() -> None:
    other = {**WHOLE, "trajectory": STEPS[:1]}
    assert events(WHOLE) == events(WHOLE)
    assert events(WHOLE)[0]["subject"] != events(other)[0]["subject"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "truncated"),
        (b"\xff", "JSON"),
        (b"[]", "object"),
        (b"{}", "history"),
        (b'{"history": [{"role": "witch"}]}', "witch"),
        (b'{"history": [], "trajectory": [{"observation": ""}]}', "action"),
        (b'{"history": [], "trajectory": [{"action": "", "execution_time": -1}]}', ">= 0"),
        (b'{"history": [], "replay_config": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_a_file_that_is_no_trajectory_is_rejected_with_what_is_wrong(text: bytes, reason: str) -> None:
    [rejected] = findings(text)
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason


def test_a_file_that_is_too_long_is_rejected_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweagent, "FILE_BYTES_MAX", 100)
    assert findings(WHOLE) == [Rejected("", "it is longer than 100 bytes")]
    assert FILE_BYTES_MAX > 100


def test_one_observation_that_is_too_large_costs_only_itself() -> None:
    file = {**WHOLE, "trajectory": [step("cat big", "x" * 1_100_000), STEPS[1]]}
    rejected = [one for one in findings(file) if isinstance(one, Rejected)]
    assert [one.where for one in rejected] == ["turn 2"]
    assert len(findings(file)) == len(findings(WHOLE))
