"""Agents, runs, messages, tools, assignments and what was learnt from them, checked by hand."""

from __future__ import annotations

from rookery.schemas import (
    AgentHeartbeatSent,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    CommitRecorded,
    FeedbackGiven,
    FeedbackGivenV1,
    InsightRecorded,
    LlmCallCompleted,
    MessageRecorded,
    NodeStarted,
    NodeStopped,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailureAttributed,
    RunStarted,
    ToolCallCompleted,
)

from .colony import Colony, fact


def test_an_agent_is_what_it_last_registered_as(colony: Colony) -> None:
    colony.given(
        fact(AgentRegistered(name="Coder", role="coder", capabilities=["python"], version="1"), "coder-7", 0),
        fact(AgentRegistered(name="Coder II", heartbeat_interval_seconds=2.5), "coder-7", 10),
        fact(AgentHeartbeatSent(active_assignments=3), "coder-7", 20),
    )
    agent = colony.record("agents")
    assert (agent["name"], agent["role"], agent["capabilities"], agent["state"]) == ("Coder II", None, [], "alive")
    assert agent["heartbeat_interval_seconds"] == 2.5
    assert agent["registered_at"] == "2026-11-20T12:00:10.000000Z"
    assert (agent["last_seen_at"], agent["active_assignments"]) == ("2026-11-20T12:00:20.000000Z", 3)


def test_an_agents_state_is_the_latest_by_time_whatever_came_last(colony: Colony) -> None:
    colony.given(fact(AgentUnregistered(), "a", 30), fact(AgentStateChanged(state="suspect"), "b", 5))
    colony.given(fact(AgentStateChanged(state="suspect"), "a", 20), fact(AgentRegistered(name="B"), "b", 4))
    assert colony.rows("agents", "agent_id", "state") == [("a", "unregistered"), ("b", "suspect")]


def test_a_run_gathers_what_happened_in_it(colony: Colony) -> None:
    colony.given(
        fact(RunStarted(agent_id="coder-7", task_id="t-1", task="mend it", skill="code"), "run-1", 0),
        fact(MessageRecorded(run_id="run-1", step=0, role="user", content="hi"), "m-1", 1),
        fact(MessageRecorded(run_id="run-1", step=1, role="assistant"), "m-2", 2),
        fact(ToolCallCompleted(tool="sed", run_id="run-1", outcome="ok"), "t-1", 3),
        fact(ToolCallCompleted(tool="sed", run_id="run-1", error="no such file"), "t-2", 4),
        fact(ToolCallCompleted(tool="sed"), "t-3", 4),
        fact(
            LlmCallCompleted(provider="p", request_model="m", run_id="run-1", input_tokens=7, cost_usd="0.1"), "c-1", 5
        ),
        fact(LlmCallCompleted(provider="p", request_model="m", run_id="run-1", output_tokens=3), "c-2", 6),
        fact(RunCompleted(success=True, reward=0.25), "run-1", 90.5),
    )
    assert colony.record("runs") == {
        "run_id": "run-1",
        "status": "completed",
        "agent_id": "coder-7",
        "task_id": "t-1",
        "task": "mend it",
        "skill": "code",
        "parent_run_id": None,
        "assignment_id": None,
        "started_at": "2026-11-20T12:00:00.000000Z",
        "ended_at": "2026-11-20T12:01:30.500000Z",
        "duration_seconds": 90.5,
        "success": True,
        "reward": 0.25,
        "messages": 2,
        "tool_calls": 2,
        "tool_errors": 1,
        "llm_calls": 2,
        "input_tokens": 7,
        "output_tokens": 3,
        "cost_usd": "0.1",
        "unpriced_calls": 1,
        "mistake_agent_id": None,
        "mistake_step": None,
        "mistake_reason": None,
        "error": None,
    }


def test_failed_tool_calls_count_whatever_comes_in_a_batch_of_its_own(colony: Colony) -> None:
    for number, error in enumerate(["no such file", None, "no such file"]):
        colony.given(fact(ToolCallCompleted(tool="sed", run_id="run-1", error=error), f"t-{number}", number))
    run = colony.record("runs")
    assert (run["tool_calls"], run["tool_errors"]) == (3, 2)


def test_a_run_has_a_status_from_the_first_that_is_heard_of_it(colony: Colony) -> None:
    colony.given(
        fact(RunStarted(), "started"),
        fact(MessageRecorded(run_id="spoken-of", step=0, role="user"), "m-1"),
        fact(RunFailed(error="broke", duration_seconds=4), "failed"),
        fact(RunCancelled(reason="too dear"), "cancelled"),
        fact(RunFailureAttributed(agent_id="b", step=3, reason="guessed"), "blamed"),
    )
    assert colony.rows("runs", "run_id", "status", "success", "error", "duration_seconds", "mistake_step") == [
        ("blamed", "running", None, None, None, 3),
        ("cancelled", "cancelled", None, "too dear", None, None),
        ("failed", "failed", False, "broke", 4.0, None),
        ("spoken-of", "running", None, None, None, None),
        ("started", "running", None, None, None, None),
    ]


def test_the_latest_finding_of_a_runs_mistake_stands(colony: Colony) -> None:
    colony.given(fact(RunFailureAttributed(agent_id="b", step=3, reason="guessed", attributed_by="ann"), "run-1", 10))
    colony.given(fact(RunFailureAttributed(agent_id="c", step=1, reason="misread"), "run-1", 5))
    assert colony.rows("runs", "mistake_agent_id", "mistake_step", "mistake_reason") == [("b", 3, "guessed")]
    assert colony.rows("failure_attributions", "agent_id", "step", "attributed_by") == [("b", 3, "ann"), ("c", 1, None)]


def test_messages_are_rows_in_the_order_of_their_steps(colony: Colony) -> None:
    colony.given(
        fact(MessageRecorded(run_id="r", step=1, role="assistant", content="né"), "m-2", 2),
        fact(MessageRecorded(run_id="r", step=0, role="user"), "m-1", 1),
    )
    assert colony.rows("messages", "step", "role", "content", "content_chars", "n") == [
        (0, "user", None, None, 2),
        (1, "assistant", "né", 2, 1),
    ]


def test_tool_use_counts_failures_and_time_per_tool_and_agent(colony: Colony) -> None:
    colony.given(
        fact(ToolCallCompleted(tool="sed", agent_id="a", outcome="ok", duration_seconds=0.1), "1", 1),
        fact(ToolCallCompleted(tool="sed", agent_id="a", outcome="denied", duration_seconds=0.2), "2", 2),
    )
    colony.given(
        fact(ToolCallCompleted(tool="sed", agent_id="a"), "3", 0),
        fact(ToolCallCompleted(tool="sed", error="x"), "4", 3),
    )
    used = colony.rows("tool_use", "agent_id", "calls", "errors", "timed_calls", "total_seconds", "mean_seconds")
    assert used == [("a", 3, 1, 2, 0.3, 0.15), (None, 1, 1, 0, 0.0, None)]
    assert colony.rows("tool_use", "first_at", "last_at")[0] == (
        "2026-11-20T12:00:00.000000Z",
        "2026-11-20T12:00:02.000000Z",
    )
    assert colony.rows("tool_calls", "call_id", "outcome") == [("1", "ok"), ("2", "denied"), ("3", None), ("4", None)]


def test_an_assignment_goes_from_pending_to_its_end(colony: Colony) -> None:
    for name in ("pending", "running", "completed", "failed", "late", "cancelled"):
        colony.append([fact(AssignmentCreated(kind="review", skill="code.review", timeout_seconds=60), name, 0)])
    for name in ("running", "completed", "failed"):
        colony.append([fact(AssignmentStarted(agent_id="a", run_id=f"run-{name}"), name, 10)])
    colony.given(
        fact(AssignmentCompleted(agent_id="a", score=0.5), "completed", 40),
        fact(AssignmentFailed(agent_id="a", error="gave up", duration_seconds=7), "failed", 50),
        fact(AssignmentTimedOut(), "late", 60),
        fact(AssignmentCancelled(reason="moot"), "cancelled", 1),
    )
    rows = colony.rows("assignments", "assignment_id", "status", "agent_id", "duration_seconds", "score", "error")
    assert rows == [
        ("cancelled", "cancelled", None, None, None, "moot"),
        ("completed", "completed", "a", 30.0, 0.5, None),
        ("failed", "failed", "a", 7.0, None, "gave up"),
        ("late", "timed_out", None, None, None, None),
        ("pending", "pending", None, None, None, None),
        ("running", "running", "a", None, None, None),
    ]


def test_what_was_released_waits_again_and_its_attempts_are_counted(colony: Colony) -> None:
    started = fact(AssignmentStarted(agent_id="a", run_id="r1", attempt=1), "as-1", 1)
    colony.given(
        fact(AssignmentCreated(kind="k", agent_id="a", chosen={"score": 0.5}), "as-1"),
        fact(AssignmentCreated(kind="k", agent_id="a"), "as-2"),
    )
    columns = ("assignment_id", "status", "agent_id", "attempts", "error")
    assert colony.rows("assignments", *columns) == [
        ("as-1", "pending", "a", 0, None),
        ("as-2", "pending", "a", 0, None),
    ]
    died = AssignmentReleased(agent_id="a", attempt=1, reason="it died")
    colony.given(started, fact(died, "as-1", 2), fact(AssignmentReleased(agent_id="a"), "as-2", 2))
    assert colony.rows("assignments", *columns) == [
        ("as-1", "pending", None, 1, "it died"),
        ("as-2", "pending", "a", 0, None),
    ]
    colony.given(fact(AssignmentStarted(agent_id="b", run_id="r2", attempt=2), "as-1", 3))
    assert colony.rows("assignments", *columns)[0] == ("as-1", "running", "b", 2, None)


def test_the_first_end_counts_whenever_it_says_it_was(colony: Colony) -> None:
    colony.given(
        fact(AssignmentCompleted(agent_id="b"), "as-1", 9), fact(AssignmentFailed(agent_id="a", error=""), "as-1", 5)
    )
    assert colony.rows("assignments", "status", "agent_id") == [("completed", "b")]


def test_the_end_of_an_assignment_may_be_heard_of_before_its_beginning(colony: Colony) -> None:
    colony.given(fact(AssignmentCompleted(agent_id="a", skill="s"), "as-1", 9))
    assert colony.rows("assignments", "status", "kind", "skill") == [("completed", None, "s")]
    colony.given(fact(AssignmentStarted(agent_id="a"), "as-1", 4), fact(AssignmentCreated(kind="k"), "as-1", 0))
    assert colony.rows("assignments", "status", "kind", "duration_seconds") == [("completed", "k", 5.0)]


def test_feedback_in_stars_is_folded_like_a_score(colony: Colony) -> None:
    colony.given(
        fact(FeedbackGivenV1(run_id="r-1", stars=4, comment="good"), "f-1", 1, source="/people/ann"),
        fact(FeedbackGiven(kind="score", run_id="r-1", score=0.75, comment="good"), "f-2", 2, source="/people/ann"),
    )
    first, second = colony.rows("feedback", "kind", "run_id", "score", "comment", "given_by")
    assert first == second == ("score", "r-1", 0.75, "good", "ann")


def test_insights_are_rows(colony: Colony) -> None:
    colony.given(fact(InsightRecorded(kind="tip", text="read first", tags=["care"], confidence=0.9), "i-1"))
    insight = colony.record("insights")
    assert (insight["text"], insight["tags"], insight["confidence"]) == ("read first", ["care"], 0.9)
    assert insight["publisher"] == "coder-7"


def test_commits_are_rows_and_add_up_by_author(colony: Colony) -> None:
    ann = {"repository": "r", "author": "Ann"}
    colony.given(
        fact(CommitRecorded(**ann, message="Begin\n\nHere.", files=2, insertions=9, deletions=0), "c-1", 0),
        fact(CommitRecorded(**ann, message="Go on", parents=["c-1"], files=1, insertions=1, deletions=4), "c-2", 60),
        fact(CommitRecorded(**ann, message="Merge", parents=["c-2", "c-9"]), "c-3", 90),
        fact(CommitRecorded(repository="r", message="?"), "c-4", 120),
    )
    assert colony.rows("commits", "commit_id", "summary", "parents", "files", "insertions") == [
        ("c-1", "Begin", 0, 2, 9),
        ("c-2", "Go on", 1, 1, 1),
        ("c-3", "Merge", 2, None, None),
        ("c-4", "?", 0, None, None),
    ]
    by_author = colony.rows("commits_by_author", "author", "commits", "files", "insertions", "deletions")
    assert by_author == [("Ann", 3, 3, 10, 4), (None, 1, None, None, None)]


def test_a_node_is_started_until_it_stops_in_good_order(colony: Colony) -> None:
    colony.given(
        fact(NodeStarted(version="1", host="h"), "a", 0),
        fact(NodeStopped(reason="upgrade"), "a", 5),
        fact(NodeStarted(version="2", host="h"), "a", 9),
        fact(NodeStarted(version="1"), "b", 0),
        fact(NodeStopped(), "b", 1),
        fact(NodeStopped(), "c", 1),
    )
    assert colony.rows("nodes", "node", "status", "version") == [
        ("a", "started", "2"),
        ("b", "stopped", "1"),
        ("c", "stopped", None),
    ]


def test_a_run_without_a_clock_has_no_duration_but_a_reported_one(colony: Colony) -> None:
    colony.given(
        fact(RunStarted(clock="none"), "ordered", 0),
        fact(RunCompleted(), "ordered", 1),
        fact(RunStarted(clock="none"), "reported", 0),
        fact(RunCompleted(duration_seconds=7), "reported", 1),
    )
    assert colony.rows("runs", "run_id", "duration_seconds") == [("ordered", None), ("reported", 7.0)]
