"""Trajectories become runs with messages, tool calls and rewards."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.tau_bench import read
from rookery.schemas import check_strictly

BEGIN = datetime(2024, 6, 17, tzinfo=UTC)


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def asks(id: str, tool: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": tool, "arguments": arguments}}


def trajectory(*turns: dict[str, Any], task_id: int = 3, trial: int = 1, reward: float = 1.0) -> dict[str, Any]:
    info = {"task": {"user_id": "mia", "instruction": "Fly to Seattle."}, "source": "user"}
    return {"task_id": task_id, "reward": reward, "info": info, "traj": list(turns), "trial": trial}


def findings(*trajectories: Any, name: str = "gpt-4o-airline", **options: Any) -> list[Found | Rejected]:
    return list(read(BytesIO(json.dumps(trajectories).encode()), name, **{"time": BEGIN, **options}))


def events(*trajectories: Any, **options: Any) -> list[dict[str, Any]]:
    found = [finding for finding in findings(*trajectories, **options) if isinstance(finding, Found)]
    assert all(check_strictly(finding.payload) for finding in found)
    return [msgspec.json.decode(finding.payload) for finding in found]


CONVERSATION = (
    turn("system", "Policy"),
    turn("user", "Hello"),
    turn("assistant", None, tool_calls=[asks("call_1", "get_user", '{"user_id":"mia"}')]),
    turn("tool", '{"name":"Mia"}', tool_call_id="call_1", name="get_user"),
    turn("assistant", "Booking it.", tool_calls=[asks("call_2", "book", '{"to":"SEA"}')]),
    turn("tool", "Error: no seats", tool_call_id="call_2", name="book"),
)


def test_a_trajectory_becomes_a_run_with_its_messages_and_tool_calls_in_order() -> None:
    told = events(trajectory(*CONVERSATION))
    assert [(event["type"], event["data"]) for event in told] == [
        (
            "run.started",
            {
                "agent_id": "gpt-4o",
                "task_id": "3",
                "task": "Fly to Seattle.",
                "skill": "tau-bench.airline",
                "clock": "none",
                "metadata": {"trial": 1},
            },
        ),
        ("message.recorded", message(0, "system", "Policy")),
        ("message.recorded", message(1, "user", "Hello")),
        ("message.recorded", message(2, "assistant", None, agent_id="gpt-4o")),
        ("message.recorded", message(3, "tool", '{"name":"Mia"}', tool_call_id="call_1")),
        (
            "tool_call.completed",
            {
                "tool": "get_user",
                "run_id": RUN,
                "agent_id": "gpt-4o",
                "step": 3,
                "outcome": "ok",
                "arguments": {"user_id": "mia"},
                "output": '{"name":"Mia"}',
            },
        ),
        ("message.recorded", message(4, "assistant", "Booking it.", agent_id="gpt-4o")),
        ("message.recorded", message(5, "tool", "Error: no seats", tool_call_id="call_2")),
        (
            "tool_call.completed",
            {
                "tool": "book",
                "run_id": RUN,
                "agent_id": "gpt-4o",
                "step": 5,
                "outcome": "error",
                "arguments": {"to": "SEA"},
                "output": "Error: no seats",
                "error": "Error: no seats",
            },
        ),
        (
            "run.completed",
            {"agent_id": "gpt-4o", "skill": "tau-bench.airline", "task_id": "3", "success": True, "reward": 1.0},
        ),
    ]


RUN = "tau-bench-airline-gpt-4o-3-1"


def message(step: int, role: str, content: str | None, **more: str) -> dict[str, Any]:
    data = {"run_id": RUN, "step": step, "role": role, "content": content, **more}
    return {name: value for name, value in data.items() if value is not None}


def test_subjects_name_the_run_and_the_step_and_everything_belongs_to_the_run() -> None:
    told = events(trajectory(*CONVERSATION[:4]))
    assert [event["subject"] for event in told] == [
        RUN,
        f"{RUN}-0",
        f"{RUN}-1",
        f"{RUN}-2",
        f"{RUN}-3",
        f"{RUN}-3",
        RUN,
    ]
    assert {event["correlationid"] for event in told} == {RUN}
    assert {event["source"] for event in told} == {"/importers/tau-bench"}


def test_without_a_clock_events_follow_each_other_by_a_microsecond() -> None:
    told = events(trajectory(turn("user", "Hello")))
    assert [event["time"] for event in told] == [f"2024-06-17T00:00:00.{n:06}Z" for n in (1, 2, 3)]
    later = datetime(2026, 1, 1, tzinfo=UTC)
    assert events(trajectory(), time=later)[0]["time"] == "2026-01-01T00:00:00.000001Z"


@pytest.mark.parametrize(("reward", "success"), [(1.0, True), (1, True), (0.0, False), (0.5, False), (-1, False)])
def test_a_run_succeeds_when_its_reward_is_one(reward: float, success: bool) -> None:
    data = events(trajectory(reward=reward))[-1]["data"]
    assert (data["success"], data["reward"]) == (success, reward)


def test_a_trajectory_that_broke_off_is_a_failed_run() -> None:
    broken = trajectory(reward=0.0) | {"info": {"error": "rate limited", "traceback": "…"}}
    assert [(event["type"], event["data"].get("error")) for event in events(broken)] == [
        ("run.started", None),
        ("run.failed", "rate limited"),
    ]


@pytest.mark.parametrize(
    ("name", "agent", "skill"),
    [
        ("gpt-4o-airline", "gpt-4o", "tau-bench.airline"),
        ("sonnet-35-new-retail", "sonnet-35-new", "tau-bench.retail"),
        ("results", "results", "tau-bench"),
        ("airline", "airline", "tau-bench.airline"),
    ],
)
def test_agent_and_skill_come_from_the_file_s_name(name: str, agent: str, skill: str) -> None:
    data = events(trajectory(), name=name)[0]["data"]
    assert (data["agent_id"], data["skill"]) == (agent, skill)


def test_with_agent_and_skill_given_the_file_s_name_counts_for_nothing() -> None:
    options = {"agent": "coder-7", "skill": "support.flights"}
    one, other = (findings(trajectory(*CONVERSATION), name=name, **options) for name in ("a", "b"))
    assert one == other
    assert events(trajectory(), **options)[0]["subject"] == "support-flights-coder-7-3-1"


def test_formatting_changes_nothing() -> None:
    array = [trajectory(*CONVERSATION), trajectory(task_id=4)]
    plain, indented = (json.dumps(array, indent=indent).encode() for indent in (None, 4))
    assert list(read(BytesIO(plain), "x", time=BEGIN)) == list(read(BytesIO(indented), "x", time=BEGIN))


def test_a_tool_call_without_an_answer_and_an_answer_without_a_call_are_no_tool_calls() -> None:
    told = events(
        trajectory(
            turn("assistant", None, tool_calls=[asks("call_1", "get_user", "{}")]),
            turn("tool", "what?", tool_call_id="call_9", name="get_user"),
        )
    )
    assert [event["type"] for event in told] == ["run.started", "message.recorded", "message.recorded", "run.completed"]


def test_calls_are_paired_with_their_answers_by_id_also_when_an_id_comes_again() -> None:
    told = events(
        trajectory(
            turn("assistant", None, tool_calls=[asks("a", "first", "{}"), asks("b", "second", "{}")]),
            turn("tool", "2", tool_call_id="b"),
            turn("tool", "1", tool_call_id="a"),
            turn("assistant", None, tool_calls=[asks("a", "third", "{}")]),
            turn("tool", "3", tool_call_id="a"),
            turn("tool", "3, said twice", tool_call_id="a"),
        )
    )
    calls = [event["data"] for event in told if event["type"] == "tool_call.completed"]
    assert [(call["tool"], call["output"]) for call in calls] == [("second", "2"), ("first", "1"), ("third", "3")]


@pytest.mark.parametrize("arguments", ["", "{", "not json", "[" * 100_000, '{"x":1e999}'])
def test_arguments_that_are_not_json_stay_text(arguments: str) -> None:
    told = events(
        trajectory(
            turn("assistant", None, tool_calls=[asks("a", "tool", arguments)]),
            turn("tool", "1", tool_call_id="a"),
        )
    )
    assert told[3]["data"]["arguments"] == arguments


def test_content_in_parts_stays_json() -> None:
    told = events(trajectory(turn("user", [{"type": "text", "text": "Hello"}])))
    assert told[1]["data"]["content"] == '[{"type":"text","text":"Hello"}]'


def test_a_message_too_large_for_the_bus_is_rejected_alone() -> None:
    found = findings(trajectory(turn("user", "x" * 1_000_000), turn("assistant", "ok")))
    [rejected] = [finding for finding in found if isinstance(finding, Rejected)]
    assert rejected.where == "element 1, step 0"
    assert "the bus carries at most 1,000,000" in rejected.reason
    assert len(found) == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task_id": None}, "$.task_id"),
        ({"task_id": ""}, "$.task_id"),
        ({"reward": "high"}, "$.reward"),
        ({"traj": [{"role": "wizard", "content": ""}]}, "$.traj[0].role"),
        ({"traj": [{"content": ""}]}, "missing required field `role`"),
        ({"trial": 1.5}, "$.trial"),
    ],
)
def test_a_malformed_trajectory_is_rejected_whole_and_the_others_are_read(change: dict[str, Any], reason: str) -> None:
    found = findings(trajectory(task_id=1), trajectory() | change, trajectory(task_id=2))
    [rejected] = [finding for finding in found if isinstance(finding, Rejected)]
    assert rejected.where == "element 2"
    assert reason in rejected.reason
    assert len(found) == 5


def test_a_second_trajectory_of_the_same_task_and_trial_is_rejected_rather_than_lost() -> None:
    found = findings(trajectory(turn("user", "Hello")), trajectory(turn("user", "Goodbye")))
    assert [finding for finding in found if isinstance(finding, Rejected)] == [
        Rejected("element 2", f"{RUN} came earlier in the file")
    ]


def test_a_file_cut_anywhere_gives_the_runs_before_the_cut() -> None:
    text = json.dumps([trajectory(*CONVERSATION), trajectory(task_id=4), trajectory(task_id=5)]).encode()
    whole = list(read(BytesIO(text), "gpt-4o-airline", time=BEGIN))
    for size in range(len(text)):
        *before, last = read(BytesIO(text[:size]), "gpt-4o-airline", time=BEGIN)
        assert before == whole[: len(before)]
        assert isinstance(last, Rejected)
