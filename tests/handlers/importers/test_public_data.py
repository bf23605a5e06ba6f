"""The public data sets, imported, beside what their files say when they are read without Rookery."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices.data import providers
from rookery.handlers.importers import run_import

AZURE = "azure-llm/AzureLLMInferenceTrace_conv.csv"
SWE_AGENT = "sweagent"
TAU_BENCH = "tau-bench/gpt-4o-airline.json"
WHO_AND_WHEN = "whoandwhen"


def of_type(shelf: Any, name: str) -> list[tuple[Any, Any]]:
    return [(event, event.payload()) for event in shelf.events if event.type == name]


async def imported_twice(shelf: Any, source: str, path: Path, options: dict[str, str | None], events: int) -> None:
    first = await run_import(source, [path], options, shelf.publish)
    assert (first.events, first.new, first.rejected, first.notes) == (events, events, 0, [])
    second = await run_import(source, [path], options, shelf.publish)
    assert (second.events, second.new, second.duplicates) == (events, 0, events)


async def test_azure_s_trace_costs_what_its_tokens_cost(real_data: Path, shelf: Any) -> None:
    with (real_data / AZURE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    price: Any
    [price] = [m.prices for p in providers if p.id == "openai" for m in p.models if m.id == "gpt-4o"]
    inputs = [int(row["ContextTokens"]) for row in rows]
    outputs = [int(row["GeneratedTokens"]) for row in rows]
    total = (price.input_mtok * sum(inputs) + price.output_mtok * sum(outputs)) / Decimal(10**6)

    await imported_twice(shelf, "azure-llm", real_data / AZURE, {"provider": "openai", "model": "gpt-4o"}, 19_366)

    calls = of_type(shelf, "llm_call.completed")
    assert [call.input_tokens for _, call in calls] == inputs
    assert [call.output_tokens for _, call in calls] == outputs
    assert sum(Decimal(call.cost_usd) for _, call in calls) == total
    assert [event.time for event, _ in calls] == [
        datetime.strptime(row["TIMESTAMP"][:-1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC) for row in rows
    ]


async def test_tau_bench_s_messages_tool_calls_and_rewards_come_out(real_data: Path, shelf: Any) -> None:
    trajectories = json.loads((real_data / TAU_BENCH).read_text())
    turns = [turn for trajectory in trajectories for turn in trajectory["traj"]]
    answers = [turn for turn in turns if turn["role"] == "tool"]
    assert (len(trajectories), len(turns), len(answers)) == (200, 5_308, 1_164)

    await imported_twice(shelf, "tau-bench", real_data / TAU_BENCH, {}, 200 * 2 + 5_308 + 1_164)

    messages = [message for _, message in of_type(shelf, "message.recorded")]
    assert [(m.role, m.content) for m in messages] == [(turn["role"], turn["content"]) for turn in turns]
    calls = [call for _, call in of_type(shelf, "tool_call.completed")]
    assert [(call.tool, call.output) for call in calls] == [(turn["name"], turn["content"]) for turn in answers]
    failed = sum(turn["content"].startswith("Error") for turn in answers)
    assert sum(call.outcome == "error" for call in calls) == failed > 0
    asked = [json.loads(call["function"]["arguments"]) for turn in turns for call in turn.get("tool_calls") or ()]
    assert [call.arguments for call in calls] == asked
    ends = of_type(shelf, "run.completed")
    assert [end.reward for _, end in ends] == [trajectory["reward"] for trajectory in trajectories]
    assert sum(end.reward for _, end in ends) / len(ends) == 0.42
    assert sum(end.success for _, end in ends) == 84
    starts = {event.subject: start for event, start in of_type(shelf, "run.started")}
    assert starts["tau-bench-airline-gpt-4o-7-2"].task == next(
        t["info"]["task"]["instruction"] for t in trajectories if (t["task_id"], t["trial"]) == (7, 2)
    )
    assert len(starts) == 200


async def test_who_and_when_s_steps_and_attributions_come_out(real_data: Path, shelf: Any) -> None:
    files = [json.loads(path.read_text()) for path in sorted((real_data / WHO_AND_WHEN).rglob("*.json"))]
    steps = [(turn["role"], turn["name"], turn["content"]) for file in files for turn in file["history"]]
    assert len(files) == 126

    await imported_twice(shelf, "who-and-when", real_data / WHO_AND_WHEN, {}, 126 * 4 + len(steps))

    messages = [message for _, message in of_type(shelf, "message.recorded")]
    assert [(m.role, m.agent_id, m.content) for m in messages] == steps
    mistakes = [(file["mistake_agent"], int(file["mistake_step"]), file["mistake_reason"]) for file in files]
    attributed = [data for _, data in of_type(shelf, "run.failure_attributed")]
    assert [(data.agent_id, data.step, data.reason) for data in attributed] == mistakes
    insights = [data for _, data in of_type(shelf, "insight.recorded")]
    assert [(data.agent_id, data.text) for data in insights] == [(agent, reason) for agent, _, reason in mistakes]
    assert len({event.subject for event, _ in of_type(shelf, "run.failed")}) == 126
    # Three files blame an agent that didn't act at the step they name: that is what they say.
    by_step = {(m.run_id, m.step): m.agent_id for m in messages}
    differing = [
        event
        for event, data in of_type(shelf, "run.failure_attributed")
        if by_step.get((event.subject, data.step)) != data.agent_id
    ]
    assert len(differing) == 3


async def test_swe_agent_s_turns_commands_and_costs_come_out(real_data: Path, shelf: Any) -> None:
    files = [json.loads(path.read_text()) for path in sorted((real_data / SWE_AGENT).glob("*.traj"))]
    turns = [turn for file in files for turn in file["history"]]
    done = [step for file in files for step in file.get("trajectory", ())]
    asked = [turn for turn in files[0]["history"] if turn["role"] == "assistant"]  # it has no trajectory
    stats = [file["info"]["model_stats"] for file in files if "info" in file]
    spent = [one for one in stats if one["tokens_sent"]]
    assert (len(files), len(turns), len(done), len(asked), len(spent)) == (13, 272, 122, 5, 3)

    events = 13 + len(turns) + len(done) + len(asked) + len(spent) + 12
    await imported_twice(shelf, "sweagent", real_data / SWE_AGENT, {"provider": "openai"}, events)

    messages = [message for _, message in of_type(shelf, "message.recorded")]
    assert [(m.role, m.content) for m in messages] == [(turn["role"], turn["content"]) for turn in turns]
    calls = [call for _, call in of_type(shelf, "tool_call.completed")]
    assert [call.arguments["command"] for call in calls] == [one["action"] for one in [*asked, *done]]
    assert [call.output for call in calls[len(asked) :]] == [step["observation"] for step in done]
    timed = [step["execution_time"] for step in done if "execution_time" in step]
    assert [call.duration_seconds for call in calls if call.duration_seconds is not None] == timed
    assert sum(call.tool == "edit" for call in calls) == sum(one["action"].startswith("edit") for one in asked + done)
    models = [model for _, model in of_type(shelf, "llm_call.completed")]
    assert sum(model.input_tokens for model in models) == sum(one["tokens_sent"] for one in spent) == 182_614
    assert sum(model.output_tokens for model in models) == sum(one["tokens_received"] for one in spent) == 1_938
    cost = sum(Decimal(repr(one["instance_cost"])) for one in spent).quantize(Decimal("1e-12"))
    assert sum(Decimal(model.cost_usd) for model in models) == cost == Decimal("1.8251")
    assert [model.request_model for model in models] == ["gpt-4o", "unknown", "unknown"]
    patches = [file["info"]["submission"] for file in files if "info" in file]
    assert [end.output for _, end in of_type(shelf, "run.completed")] == patches
