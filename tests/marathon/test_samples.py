"""A marathon's judgement: what grows is said to grow, and what only jumps is not."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from rookery.tests.faults.ledger import Verdict

from .report import BEGIN, END, Report, Sample, write
from .samples import Latencies, Minute, Vitals, slope


def test_a_leak_is_seen_through_noise() -> None:
    chance = Random(1)
    moments = [at / 60 for at in range(300)]
    leaking = [200 + 12 * moment + chance.gauss(0, 4) for moment in moments]
    assert slope(moments, leaking) == pytest.approx(12, abs=0.5)


def test_spikes_and_one_jump_at_the_end_are_no_leak() -> None:
    chance = Random(1)
    moments = [at / 60 for at in range(300)]
    values = [200 + chance.gauss(0, 1) + (300 if at % 9 == 0 else 0) + (80 if at > 280 else 0) for at in range(300)]
    assert slope(moments, values) == pytest.approx(0, abs=0.5)


def test_too_few_samples_say_nothing() -> None:
    assert slope([], []) == slope([1.0], [5.0]) == 0


def test_a_minute_has_its_own_percentiles() -> None:
    latencies = Latencies()
    for at in range(100):
        latencies.observe("query", at / 1_000)
    assert latencies.turn().p99 == {"query": 99}
    latencies.observe("query", 0.5)
    assert (latencies.turn().p50, len(latencies.minutes)) == ({"query": 500}, 2)


def test_the_table_says_what_grows_and_what_is_missing(tmp_path: Path) -> None:
    samples = tuple(Sample(at / 10, Vitals(100 + at, 60, 40), Vitals(30, 15, 9), 5.0) for at in range(100))
    minute = Minute({"query": 5.0}, {"query": 50.0}, {"query": 60})
    report = Report(10, 100, 0, Verdict(7, lost=2), True, samples, (minute,) * 10)
    document = tmp_path / "reliability.md"
    document.write_text(f"before\n{BEGIN}\nyesterday\n{END}\nafter\n")
    write(document, report)
    text = document.read_text()
    assert "yesterday" not in text
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "| node, memory (MiB) | 130.0 | 186.0 | 199.0 | +600.0 |" in text
    assert "lost 2" in text
    assert not report.is_well
