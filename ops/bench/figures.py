"""Figures: what a benchmark measured, beside what a named rival did in the same run."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value. `ratio` says how many times better than the rival it is; below 1, it is worse."""

    name: str
    value: float
    unit: str
    rival: str | None = None
    rival_value: float | None = None
    ratio: float | None = None

    @classmethod
    def of(
        cls, name: str, value: float, unit: str, *, rival: str | None = None, rival_value: float | None = None
    ) -> Figure:
        """A figure, its ratio worked out: more is better per second, less is better in anything else."""
        ratio = None
        if rival_value:
            ratio = value / rival_value if unit.endswith("/s") else rival_value / value
        return cls(
            name=name,
            value=_rounded(value),
            unit=unit,
            rival=rival,
            rival_value=None if rival_value is None else _rounded(rival_value),
            ratio=None if ratio is None else _rounded(ratio),
        )


class Report(msgspec.Struct, frozen=True):
    """Everything that one run of `rookery bench` measured, and on what."""

    machine: str
    figures: list[Figure]


def machine() -> str:
    """The machine in words: cores, memory, system, Python."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory_gib:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def percentile(values: list[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
