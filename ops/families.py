"""Families: Prometheus metrics made of numbers that are counted elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from .timings import Timings

PREFIX = "rookery_"

Sample = tuple[Sequence[str], float | None]
Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily)


def counter(name: str, help_: str, labels: Sequence[str], samples: Iterable[Sample]) -> CounterMetricFamily:
    """What only grows; its series end in `_total`. A value that is not known (None) has no series."""
    return _filled(CounterMetricFamily(PREFIX + name, help_, labels=labels), samples)


def gauge(name: str, help_: str, labels: Sequence[str], samples: Iterable[Sample]) -> GaugeMetricFamily:
    """What goes up and down. A value that is not known (None) has no series."""
    return _filled(GaugeMetricFamily(PREFIX + name, help_, labels=labels), samples)


def histogram(
    name: str, help_: str, labels: Sequence[str], samples: Iterable[tuple[Sequence[str], Timings]]
) -> HistogramMetricFamily:
    """Durations in seconds."""
    family = HistogramMetricFamily(PREFIX + name, help_, labels=labels)
    for values, timings in samples:
        family.add_metric(values, timings.buckets, timings.sum_seconds)
    return family


def _filled(family: Family, samples: Iterable[Sample]) -> Family:
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    return family
