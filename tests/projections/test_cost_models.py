"""The ledger and its roll-ups, and the fleet's timelines, checked by hand."""

from __future__ import annotations

from rookery.schemas import (
    AgentHeartbeatSent,
    LlmCallCompleted,
    LlmCallFailed,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
)

from .colony import Colony, fact

HOUR = 3_600.0
DAY = 24 * HOUR


def call(
    model: str = "gpt-4o",
    seconds: float = 0,
    *,
    cost: str | None = None,
    agent: str | None = None,
    run: str | None = None,
):
    data = LlmCallCompleted(
        provider="openai",
        request_model=model,
        agent_id=agent,
        run_id=run,
        input_tokens=10,
        output_tokens=4,
        cost_usd=cost,
    )
    return fact(data, f"call-{seconds}", seconds)


def test_the_ledger_splits_tokens_into_disjoint_buckets(colony: Colony) -> None:
    colony.given(
        fact(
            LlmCallCompleted(
                provider="openai",
                request_model="gpt-4o",
                response_model="gpt-4o-2024-08-06",
                input_tokens=100,
                output_tokens=50,
                cache_read_input_tokens=30,
                cache_creation_input_tokens=20,
                reasoning_output_tokens=40,
                cost_usd="0.0034375",
                price_version="v1",
            ),
            "call-1",
        )
    )
    entry = colony.record("llm_calls")
    buckets = ("uncached_input_tokens", "cache_read_tokens", "cache_write_tokens", "answer_tokens", "reasoning_tokens")
    assert [entry[bucket] for bucket in buckets] == [50, 30, 20, 10, 40]
    assert (entry["status"], entry["model"], entry["operation"]) == ("completed", "gpt-4o", "chat")
    assert (entry["cost_usd"], entry["usage_source"], entry["price_version"]) == ("0.0034375", "provider", "v1")


def test_what_nobody_counted_stays_unknown_and_what_contradicts_itself_is_never_negative(colony: Colony) -> None:
    colony.given(
        fact(LlmCallFailed(provider="p", request_model="m", error="overloaded"), "c-1", 1),
        fact(
            LlmCallCompleted(provider="p", request_model="m", input_tokens=5, cache_read_input_tokens=2**63 - 1),
            "c-2",
            2,
        ),
    )
    names = ("status", "usage_source", "input_tokens", "uncached_input_tokens", "answer_tokens", "cost_usd", "error")
    assert colony.rows("llm_calls", *names) == [
        ("failed", "unknown", None, None, None, None, "overloaded"),
        ("completed", "provider", 5, 0, None, None, None),
    ]


def test_cost_is_exact_and_says_how_many_calls_it_leaves_out(colony: Colony) -> None:
    colony.given(call(seconds=0, cost="0.1"), call(seconds=1, cost="0.2"), call(seconds=2))
    colony.given(call(seconds=3, cost="0.000000000001"), call("o3", 4))
    names = ("provider", "model", "calls", "input_tokens", "output_tokens", "cost_usd", "unpriced_calls")
    assert colony.rows("cost_by_model", *names) == [
        ("openai", "gpt-4o", 4, 40, 16, "0.300000000001", 1),
        ("openai", "o3", 1, 10, 4, None, 1),
    ]
    assert colony.rows("cost_by_provider", "calls", "cost_usd", "unpriced_calls") == [(5, "0.300000000001", 2)]


def test_cost_is_rolled_up_by_hour_day_agent_and_run(colony: Colony) -> None:
    colony.given(
        call(seconds=0, cost="1", agent="a", run="r-1"),
        call(seconds=HOUR, cost="2", agent="a"),
        call(seconds=DAY, cost="4", run="r-1"),
        fact(LlmCallFailed(provider="openai", request_model="gpt-4o", error="x", cost_usd="8"), "f", DAY),
    )
    assert colony.rows("cost_by_hour", "hour", "agent_id", "calls", "failed_calls", "cost_usd") == [
        ("2026-11-20T12:00:00.000000Z", "a", 1, 0, "1"),
        ("2026-11-20T13:00:00.000000Z", "a", 1, 0, "2"),
        ("2026-11-21T12:00:00.000000Z", None, 2, 1, "12"),
    ]
    assert colony.rows("cost_by_day", "day", "cost_usd") == [("2026-11-20", "3"), ("2026-11-21", "12")]
    assert colony.rows("cost_by_agent", "agent_id", "cost_usd") == [("a", "3"), (None, "12")]
    assert colony.rows("cost_by_run", "run_id", "calls", "cost_usd") == [("r-1", 2, "5")]


def test_sums_outlast_the_largest_numbers_that_events_can_carry(colony: Colony) -> None:
    largest = LlmCallCompleted(
        provider="p",
        request_model="m",
        input_tokens=2**63 - 1,
        output_tokens=2**63 - 1,
        cost_usd="999999999999.999999999999",
    )
    colony.given(fact(largest, "1"), fact(largest, "2")).given(fact(largest, "3"))
    assert colony.rows("cost_by_day", "input_tokens", "cost_usd") == [(3 * (2**63 - 1), "2999999999999.999999999997")]


def test_the_fleets_hours_and_days_count_each_active_agent_once(colony: Colony) -> None:
    colony.given(
        fact(RunStarted(), "r-1", 0, source="/agents/a"),
        fact(AgentHeartbeatSent(), "a", 60, source="/agents/a"),
        fact(ToolCallCompleted(tool="t", agent_id="b", outcome="error"), "t-1", 61, source="/importers/x"),
    )
    colony.given(
        fact(RunFailed(error="x"), "r-1", HOUR, source="/agents/a"),
        call(seconds=HOUR + 1, cost="0.5", agent="a"),
        fact(LlmCallFailed(provider="p", request_model="m", error="x"), "c", HOUR + 2, source="/agents/a"),
    )
    assert colony.rows(
        "fleet_hourly", "hour", "events", "runs_started", "runs_failed", "tool_errors", "active_agents"
    ) == [
        ("2026-11-20T12:00:00.000000Z", 3, 1, 0, 1, 2),
        ("2026-11-20T13:00:00.000000Z", 3, 0, 1, 0, 2),
    ]
    daily = colony.record("fleet_daily")
    assert (daily["events"], daily["llm_calls"], daily["llm_errors"], daily["active_agents"]) == (6, 2, 1, 3)
    assert (daily["cost_usd"], daily["unpriced_calls"]) == ("0.5", 1)
    fleet = colony.record("fleet")
    assert (fleet["agents"], fleet["runs"], fleet["runs_running"], fleet["active_agents"]) == (1, 1, 0, 3)
    assert (fleet["events"], fleet["cost_usd"]) == (6, "0.5")


def test_an_empty_fleet_is_one_row_of_zeros(colony: Colony) -> None:
    fleet = colony.record("fleet")
    assert (fleet["events"], fleet["agents"], fleet["cost_usd"], fleet["last_hour"]) == (0, 0, None, None)
