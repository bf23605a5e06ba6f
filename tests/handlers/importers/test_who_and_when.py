"""Failed multi-agent runs become steps, failures and their attribution."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import msgspec
import pytest
from rookery.handlers.importers.elements import ELEMENT_BYTES_MAX
from rookery.handlers.importers.found import Found, Rejected
from rookery.handlers.importers.who_and_when import read
from rookery.schemas import check_strictly

BEGIN = datetime(2025, 4, 30, tzinfo=UTC)
FILE: dict[str, Any] = {
    "is_correct": False,
    "question": "How many?",
    "question_ID": "q-7",
    "level": "2",
    "ground_truth": "8",
    "history": [
        {"content": "Let us count.", "role": "assistant", "name": "Counting_Expert"},
        {"content": "exitcode: 0", "role": "user", "name": "Computer_terminal"},
    ],
    "mistake_agent": "Counting_Expert",
    "mistake_step": "1",
    "mistake_reason": "It counted wrong.",
    "system_prompt": {"Counting_Expert": "You count."},
}
RUN = "who-and-when-q-7-870104aa"


def findings(file: Any) -> list[Found | Rejected]:
    text = file if isinstance(file, bytes) else json.dumps(file).encode()
    return list(read(BytesIO(text), "1", time=BEGIN))


def events(file: Any) -> list[dict[str, Any]]:
    found = [finding for finding in findings(file) if isinstance(finding, Found)]
    assert all(check_strictly(finding.payload) for finding in found)
    return [msgspec.json.decode(finding.payload) for finding in found]


def test_a_file_becomes_a_failed_run_with_its_steps_and_whose_mistake_it_was() -> None:
    told = events(FILE)
    run_id = told[0]["subject"]
    assert [(event["type"], event["subject"].removeprefix(run_id), event["data"]) for event in told] == [
        (
            "run.started",
            "",
            {"task_id": "q-7", "task": "How many?", "clock": "none", "metadata": {"level": "2", "ground_truth": "8"}},
        ),
        (
            "message.recorded",
            "-0",
            {
                "run_id": run_id,
                "step": 0,
                "role": "assistant",
                "agent_id": "Counting_Expert",
                "content": "Let us count.",
            },
        ),
        (
            "message.recorded",
            "-1",
            {"run_id": run_id, "step": 1, "role": "user", "agent_id": "Computer_terminal", "content": "exitcode: 0"},
        ),
        ("run.failed", "", {"error": "the answer was wrong"}),
        (
            "run.failure_attributed",
            "",
            {
                "agent_id": "Counting_Expert",
                "step": 1,
                "reason": "It counted wrong.",
                "attributed_by": "Who&When's annotators",
            },
        ),
        (
            "insight.recorded",
            "-failure-attribution",
            {
                "kind": "failure_attribution",
                "text": "It counted wrong.",
                "run_id": run_id,
                "agent_id": "Counting_Expert",
            },
        ),
    ]
    assert {event["correlationid"] for event in told} == {run_id}


def test_run_ids_are_for_ever() -> None:
    assert events(FILE)[0]["subject"] == RUN


def test_the_attribution_is_imported_as_given_even_if_another_agent_acted_at_that_step() -> None:
    data = events(FILE | {"mistake_agent": "Nobody", "mistake_step": 99})[-2]["data"]
    assert (data["agent_id"], data["step"]) == ("Nobody", 99)


def test_hand_crafted_files_name_the_agent_in_the_role() -> None:
    history = [
        {"content": "How many?", "role": "human"},
        {"content": "Thinking", "role": "Orchestrator (thought)"},
        {"content": "Found 7", "role": "WebSurfer"},
    ]
    told = events({**FILE, "history": history})
    assert [(event["data"]["role"], event["data"].get("agent_id")) for event in told[1:4]] == [
        ("user", None),
        ("assistant", "Orchestrator"),
        ("assistant", "WebSurfer"),
    ]


def test_two_crews_at_the_same_question_are_two_runs_and_one_crew_written_differently_is_one() -> None:
    other = {**FILE, "history": FILE["history"][:1]}
    assert events(other)[0]["subject"] != RUN
    assert findings(json.dumps(FILE, indent=2, sort_keys=True).encode()) == findings(FILE)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"\xff\xfe{", "malformed"),
        ({**FILE, "question_ID": ""}, "$.question_ID"),
        ({**FILE, "history": "none"}, "$.history"),
        ({**FILE, "mistake_step": "first"}, "$.mistake_step"),
        ({name: value for name, value in FILE.items() if name != "mistake_agent"}, "`mistake_agent`"),
        (b'{"system_prompt":' + b"[" * 100_000, "recursion"),
        (b" " * (ELEMENT_BYTES_MAX + 1), "longer than 16,777,216 bytes"),
    ],
)
def test_a_file_that_holds_no_failed_run_is_rejected(file: Any, reason: str) -> None:
    [rejected] = findings(file)
    assert isinstance(rejected, Rejected)
    assert reason in rejected.reason


def test_a_step_that_is_too_large_is_rejected_alone() -> None:
    history = [{"content": "x" * 1_000_000, "role": "assistant", "name": "Talker"}, *FILE["history"]]
    rejected = [finding for finding in findings({**FILE, "history": history}) if isinstance(finding, Rejected)]
    assert [finding.where for finding in rejected] == ["step 0"]


def test_a_file_cut_anywhere_is_rejected() -> None:
    text = json.dumps(FILE).encode()
    for size in range(len(text)):
        [rejected] = findings(text[:size])
        assert isinstance(rejected, Rejected)
