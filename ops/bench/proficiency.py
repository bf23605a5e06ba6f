"""Ratings of agents, beside Elo, Glicko-2, TrueSkill and Beta posteriors, on recorded outcomes of real work.

Each outcome is expected by what came before it, and only then learned from. AUC is the chance that a success was
expected more than a failure; log-loss punishes what was surely wrong; ECE says by how much, on average, what was
expected differs from what came, in ten classes of what was expected.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from msgspec.structs import replace

from ...handlers.proficiency import Outcome
from ..cli.output import remark
from . import outcome_sets
from .figures import Figure
from .outcome_sets import SETS, OutcomeSet
from .rating_methods import METHODS, Method

CLASSES = 10
OURS, RIVAL = "rookery", "elo"
RELIABLE_ON = "assistments09"
CHANCE_MIN = 1e-9

Expected = list[tuple[float, float]]
"""What each score was expected to be, and what it was."""


def proficiency(sets: Sequence[str] = tuple(SETS), *, outcomes_max: int | None = None) -> list[Figure]:
    """Every method on every set that is at hand; what is missing is said. `outcomes_max`: of each set."""
    figures: list[Figure] = []
    for name, recorded in _at_hand(sets):
        outcomes = recorded.outcomes[:outcomes_max]
        of_set = {method: _followed(make(), outcomes) for method, make in METHODS.items()}
        figures += _figures(name, {method: expected for method, (expected, _) in of_set.items()})
        if 0 < recorded.held_out < len(outcomes):
            held_out = {method: expected[recorded.held_out :] for method, (expected, _) in of_set.items()}
            figures += _figures(f"{name}.new_agents", held_out)
        if name == RELIABLE_ON:
            figures += _reliability(name, of_set[OURS][0])
            figures += [
                Figure.of(f"proficiency.{name}.{method}.speed", speed, "outcomes/s")
                for method, (_, speed) in of_set.items()
            ]
    return figures


def auc(expected: Expected) -> float:
    """The chance that a success was expected more than a failure; ties count half. NaN where either is missing."""
    ranked = sorted(expected)
    rank, successes, ranks = 0.0, 0.0, 0.0
    for _, tied in groupby(ranked, key=itemgetter(0)):
        scores = [score for _, score in tied]
        ranks += sum(scores) * (rank + (len(scores) + 1) / 2)
        successes += sum(scores)
        rank += len(scores)
    failures = rank - successes
    return (ranks - successes * (successes + 1) / 2) / (successes * failures) if successes and failures else math.nan


def log_loss(expected: Expected) -> float:
    """The mean surprise, in nats."""
    return -sum(
        score * math.log(max(chance, CHANCE_MIN)) + (1 - score) * math.log(max(1 - chance, CHANCE_MIN))
        for chance, score in expected
    ) / len(expected)


def calibration_error(expected: Expected) -> float:
    """The expected calibration error: the mean difference of what was expected and what came, class by class."""
    return sum(count * abs(chance - score) for chance, score, count in reliability(expected)) / len(expected)


def reliability(expected: Expected) -> Iterator[tuple[float, float, int]]:
    """For each class of what was expected: its mean, the mean of what came, and how many there are."""
    edges = [edge / CLASSES for edge in range(CLASSES)] + [math.inf]
    for least, most in pairwise(edges):
        found = [pair for pair in expected if least <= pair[0] < most]
        if found:
            yield *(math.fsum(values) / len(found) for values in zip(*found, strict=True)), len(found)  # type: ignore[misc]


def _at_hand(names: Sequence[str]) -> Iterator[tuple[str, OutcomeSet]]:
    folder = outcome_sets.folder()
    for name in names:
        file, read, argument = SETS[name]
        if folder is None or not (folder / file).exists():
            remark(f"skipped {name}: {file} is not in the folder that {outcome_sets.VARIABLE} names")
            continue
        yield name, read(folder, argument)


def _followed(method: Method, outcomes: Sequence[Outcome]) -> tuple[Expected, float]:
    """What the method expected of each, and how many it took in a second."""
    began = time.perf_counter()
    chances = [method.take(*outcome) for outcome in outcomes]
    seconds = time.perf_counter() - began
    scores = [outcome.score for outcome in outcomes]
    return list(zip(chances, scores, strict=True)), len(outcomes) / seconds


def _figures(name: str, of_set: dict[str, Expected]) -> Iterator[Figure]:
    for method, expected in of_set.items():
        rival = of_set[RIVAL] if method == OURS else None
        for measure, (unit, of) in MEASURES.items():
            beside = None if rival is None else of(rival)
            figure = Figure.of(
                f"proficiency.{name}.{method}.{measure}",
                of(expected),
                unit,
                rival=RIVAL if rival else None,
                rival_value=beside,
            )
            is_better_when_more = measure == "auc" and figure.ratio
            yield replace(figure, ratio=round(1 / figure.ratio, 4)) if is_better_when_more and figure.ratio else figure


def _reliability(name: str, expected: Expected) -> Iterator[Figure]:
    for chance, score, count in reliability(expected):
        yield Figure.of(f"proficiency.{name}.{OURS}.came_of_{chance:.3f}", score, f"of {count}")


# What each is called in a figure, its unit, and how it is told.
MEASURES: dict[str, tuple[str, Callable[[Expected], float]]] = {
    "auc": ("AUC", auc),
    "log_loss": ("nats", log_loss),
    "ece": ("ECE", calibration_error),
}
