"""What a new user does first, from end to end: import recorded work, ask, and compare with the source files."""

from __future__ import annotations

import csv
import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price

from .conftest import Rookery

TRACE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
)


def price(input_tokens: int, output_tokens: int) -> Decimal:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    return calc_price(usage, model_ref="gpt-4o", provider_id="openai").total_price


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return path


def test_a_trace_becomes_a_ledger_and_a_second_import_changes_nothing(rookery: Rookery, trace: Path) -> None:
    command = ("import", "azure-llm", trace, "--provider", "openai", "--model", "gpt-4o", "--agent", "tracer", "--json")
    first = json.loads(rookery(*command).out.splitlines()[-1])
    assert {key: first[key] for key in ("events", "new", "duplicates", "rejected")} == {
        "events": 2,
        "new": 2,
        "duplicates": 0,
        "rejected": 0,
    }
    second = json.loads(rookery(*command).out.splitlines()[-1])
    assert (second["new"], second["duplicates"]) == (0, 2)
    (row,) = [row for row in rookery("query", "cost_by_agent", "--json").json if row["agent_id"] == "tracer"]
    assert (row["calls"], row["input_tokens"], row["output_tokens"]) == (2, 770, 153)
    assert Decimal(row["cost_usd"]) == price(374, 44) + price(396, 109)


def test_a_model_without_a_known_price_has_no_cost_instead_of_none_at_all(rookery: Rookery, trace: Path) -> None:
    rookery("import", "azure-llm", trace, "--provider", "openai", "--model", "unheard-of")
    (row,) = [row for row in rookery("query", "cost_by_model", "--json").json if row["model"] == "unheard-of"]
    assert (row["calls"], row["cost_usd"], row["unpriced_calls"]) == (2, None, 2)


def test_a_truncated_file_is_imported_up_to_the_damage_which_is_named(rookery: Rookery, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text(TRACE + "2023-11-16 18:16:0")
    outcome = rookery("import", "azure-llm", path, "--provider", "openai", "--model", "gpt-4o-mini", "--json")
    summary = json.loads(outcome.out)
    assert (outcome.code, summary["events"], summary["rejected"]) == (1, 2, 1)
    assert "line 4" in summary["rejections"][0]["where"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("azure-llm", "nowhere.csv", "--provider", "openai", "--model", "gpt-4o"), "no such file"),
        (("azure-llm", "nowhere.csv", "--model", "gpt-4o"), "--provider"),
        (("azure", "nowhere.csv"), "azure"),
        (("tau-bench",), "PATH"),
    ],
)
def test_an_import_that_cant_begin_says_why(rookery: Rookery, arguments: tuple[str, ...], complaint: str) -> None:
    failed = rookery("import", *arguments)
    assert failed.code == 2
    assert complaint in failed.err


def test_events_exported_by_tail_can_be_imported_elsewhere(rookery: Rookery, tmp_path: Path) -> None:
    event = {
        "specversion": "1.0",
        "id": "by-hand-1",
        "source": "/agents/a",
        "type": "run.started",
        "subject": "run-by-hand",
        "time": "2026-11-20T10:00:00Z",
        "data": {"task": "x"},
    }
    path = tmp_path / "events.ndjson"
    path.write_text(json.dumps(event) + "\n" + "{nonsense\n")
    summary = json.loads(rookery("import", "ndjson", path, "--json").out)
    assert (summary["new"], summary["rejected"]) == (1, 1)


class TestRecordedWork:
    """The public data sets, compared with what is counted straight from their files."""

    def test_azure_llm_gives_the_cost_of_every_call(self, rookery: Rookery, recorded_data: Path) -> None:
        path = recorded_data / "azure-llm" / "AzureLLMInferenceTrace_conv.csv"
        with path.open() as file:
            calls = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
        command = (
            "import",
            "azure-llm",
            path,
            "--provider",
            "openai",
            "--model",
            "gpt-4o",
            "--agent",
            "azure",
            "--json",
        )
        summary = json.loads(rookery(*command).out)
        assert (summary["events"], summary["rejected"]) == (len(calls), 0)
        (row,) = [row for row in rookery("query", "cost_by_agent", "--json").json if row["agent_id"] == "azure"]
        assert row["calls"] == len(calls)
        assert row["input_tokens"] == sum(tokens for tokens, _ in calls)
        assert row["output_tokens"] == sum(tokens for _, tokens in calls)
        assert Decimal(row["cost_usd"]) == sum(price(*call) for call in calls)
        assert json.loads(rookery(*command).out)["new"] == 0

    def test_tau_bench_gives_every_run_with_its_reward(self, rookery: Rookery, recorded_data: Path) -> None:
        path = recorded_data / "tau-bench" / "gpt-4o-airline.json"
        recorded = json.loads(path.read_text())
        rookery("import", "tau-bench", path)
        runs = [row for row in rookery("query", "runs", "--json").json if row["run_id"].startswith("tau-bench")]
        assert sorted((row["task_id"], row["reward"], row["messages"], row["tool_calls"]) for row in runs) == sorted(
            (
                str(run["task_id"]),
                run["reward"],
                len(run["traj"]),
                sum(len(message.get("tool_calls") or []) for message in run["traj"]),
            )
            for run in recorded
        )
        used = {row["tool"]: row["calls"] for row in rookery("query", "tool_use", "--json").json}
        assert used == Counter(
            message["name"] for run in recorded for message in run["traj"] if message["role"] == "tool"
        )
        (skill,) = [
            row for row in rookery("query", "proficiency", "--json").json if row["skill"] == "tau-bench.airline"
        ]
        assert (skill["attempts"], skill["successes"]) == (200, sum(run["reward"] == 1 for run in recorded))

    def test_who_and_when_gives_every_failure_and_its_cause(self, rookery: Rookery, recorded_data: Path) -> None:
        folder = recorded_data / "whoandwhen" / "Algorithm-Generated"
        recorded = [json.loads(path.read_text()) for path in folder.glob("*.json")]
        rookery("import", "who-and-when", folder)
        runs = [row for row in rookery("query", "runs", "--json").json if row["run_id"].startswith("who-and-when")]
        assert {row["status"] for row in runs} == {"failed"}
        assert sorted((row["mistake_agent_id"], row["mistake_step"], row["messages"]) for row in runs) == sorted(
            (run["mistake_agent"], int(run["mistake_step"]), len(run["history"])) for run in recorded
        )
        insights = rookery("query", "insights", "--json").json
        assert sorted(row["text"] for row in insights) == sorted(run["mistake_reason"] for run in recorded)
