"""Recorded outcomes of real work, in the order in which it was done, that rating methods are compared on.

They lie in the folder that `ROOKERY_TEST_DATA` names, as their authors published them, and are no part of Rookery.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ...handlers.proficiency import Outcome

VARIABLE = "ROOKERY_TEST_DATA"
SECONDS_PER_DAY = 86_400


class OutcomeSet(NamedTuple):
    """Outcomes in their order. From `held_out` on they are of agents that nobody has seen before."""

    outcomes: list[Outcome]
    held_out: int


def folder() -> Path | None:
    """Where the data is, if anywhere."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named and Path(named).is_dir() else None


def of_learners(data: Path, name: str) -> OutcomeSet:
    """Pupils at exercises, as github.com/theophilee/learner-performance-prediction has them: tab-separated.

    Those of its training file come first, one pupil after the other; where times are known, all in their order.
    """
    known = list(_learners(data / name / "preprocessed_data_train.csv"))
    outcomes = known + list(_learners(data / name / "preprocessed_data_test.csv"))
    if any(outcome.day for outcome in outcomes):
        return OutcomeSet(sorted(outcomes, key=lambda outcome: outcome.day), 0)
    return OutcomeSet(outcomes, len(known))


def of_tau_bench(data: Path, name: str) -> OutcomeSet:
    """A tool-calling agent at the tasks of an airline's desk, each four times."""
    agent_id, _, domain = name.removesuffix(".json").rpartition("-")
    runs = json.loads((data / "tau-bench" / name).read_bytes())
    runs.sort(key=lambda run: (run["trial"], run["task_id"]))
    return OutcomeSet([Outcome(agent_id, domain, run["reward"], 0.0, str(run["task_id"])) for run in runs], 0)


def of_mmlu(data: Path, name: str) -> OutcomeSet:
    """Two models at the questions of 57 subjects, as RouteLLM has them; the questions of all subjects in turn."""
    files = sorted((data / name / "mmlu").glob("mmlu_*.csv"))
    questions = [list(_questions(file)) for file in files]
    rounds = max(map(len, questions), default=0)
    turns = [of_one[turn] for turn in range(rounds) for of_one in questions if turn < len(of_one)]
    return OutcomeSet([outcome for turn in turns for outcome in turn], 0)


def of_gsm8k(data: Path, name: str) -> OutcomeSet:
    """Four models at the same problems of arithmetic."""
    lines = (data / name / "example_model_solutions.jsonl").read_text().splitlines()
    return OutcomeSet(
        [
            Outcome(model, "arithmetic", float(told["is_correct"]), 0.0, str(number))
            for number, line in enumerate(lines)
            for model, told in json.loads(line).items()
            if isinstance(told, dict)
        ],
        0,
    )


def _learners(file: Path) -> Iterator[Outcome]:
    if not file.exists():
        return
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            day = int(row["timestamp"]) / SECONDS_PER_DAY
            yield Outcome(row["user_id"], row["skill_id"], float(row["correct"]), day, row["item_id"])


def _questions(file: Path) -> Iterator[list[Outcome]]:
    with file.open(newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            models = [name for name in row if name != "prompt"]
            yield [Outcome(model, file.stem, float(row[model] == "True"), 0.0, str(number)) for model in models]


# What each is read from, to say what is missing, and how.
SETS: dict[str, tuple[str, Callable[[Path, str], OutcomeSet], str]] = {
    "assistments09": ("assistments09/preprocessed_data_train.csv", of_learners, "assistments09"),
    "assistments17": (
        "assistments17_first_attempt/preprocessed_data_test.csv",
        of_learners,
        "assistments17_first_attempt",
    ),
    "algebra05": ("algebra05/preprocessed_data_test.csv", of_learners, "algebra05"),
    "statics": ("statics/preprocessed_data_train.csv", of_learners, "statics"),
    "mmlu": ("routellm/mmlu", of_mmlu, "routellm"),
    "gsm8k": ("gsm8k/example_model_solutions.jsonl", of_gsm8k, "gsm8k"),
    "tau_bench": ("tau-bench/gpt-4o-airline.json", of_tau_bench, "gpt-4o-airline.json"),
}
