"""The report of a marathon: a row per figure, how it was in the beginning and the end, and by how much it grows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec
from rookery.ops.bench.figures import machine
from rookery.tests.faults.ledger import Verdict

from .samples import Minute, Vitals, slope

BEGIN, END = "<!-- marathon: begin -->", "<!-- marathon: end -->"
WARM_UP_SHARE = 1 / 6  # of the time, in which caches fill and threads start


class Sample(NamedTuple):
    """One look at everything; `minute` is since the beginning."""

    minute: float
    node: Vitals
    server: Vitals
    disk_mib: float


class Figure(NamedTuple):
    """A figure over the whole time: medians of the first and the last third after the warm-up, its most, its slope."""

    name: str
    first: float
    last: float
    most: float
    per_hour: float


class Report(msgspec.Struct, frozen=True):
    """What came of it. `alike`: whether the other node has the same lines."""

    minutes: float
    events_per_second: float
    past_events: int
    verdict: Verdict
    alike: bool
    samples: tuple[Sample, ...]
    by_minute: tuple[Minute, ...]
    remark: str = ""

    @property
    def is_well(self) -> bool:
        """Whether everything that was acknowledged is there once, here and on the other node."""
        return self.verdict.is_whole and self.alike

    @property
    def _events_per_second(self) -> float:
        return (self.verdict.acknowledged - self.past_events) / (self.minutes * 60)

    def figures(self) -> Iterator[Figure]:
        """Each figure, once warm."""
        warm = [sample for sample in self.samples if sample.minute >= self.minutes * WARM_UP_SHARE] or self.samples
        moments = [sample.minute for sample in warm]
        yield _figure("node, memory (MiB)", moments, [sample.node.resident_mib for sample in warm])
        yield _figure("node, open files", moments, [sample.node.files for sample in warm])
        yield _figure("node, threads", moments, [sample.node.threads for sample in warm])
        yield _figure("nats-server, memory (MiB)", moments, [sample.server.resident_mib for sample in warm])
        yield _figure("nats-server, open files", moments, [sample.server.files for sample in warm])
        yield _figure("data folder (MiB)", moments, [sample.disk_mib for sample in warm])
        warm_minutes = list(enumerate(self.by_minute))[int(self.minutes * WARM_UP_SHARE) :]
        for name in sorted({name for minute in self.by_minute for name in minute.p99}):
            for share in ("p50", "p99"):
                found = [(at, getattr(minute, share)[name]) for at, minute in warm_minutes if name in minute.p99]
                if found:
                    yield _figure(f"{name}, {share} (ms)", *map(list, zip(*found, strict=True)))

    def text(self) -> str:
        """The table and what goes with it, as the documentation has it."""
        verdict = self.verdict
        other = "The other node has the same lines." if self.alike else "THE OTHER NODE'S LOG DIFFERS."
        lines = [
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}: {self.minutes:g} minutes, {self._events_per_second:,.0f} "
            f"events/s of {self.events_per_second:g} that were asked for, after {self.past_events:,} before."
            f"{' ' + self.remark if self.remark else ''}",
            "",
            f"Acknowledged {verdict.acknowledged:,}, lost {verdict.lost}, doubled {verdict.doubled}, wrong "
            f"{verdict.wrong}; the read models are what a fresh fold gives. {other}",
            "",
            "| figure | first third | last third | most | grows per hour |",
            "|---|---:|---:|---:|---:|",
        ]
        for name, first, last, most, per_hour in self.figures():
            lines.append(f"| {name} | {first:,.1f} | {last:,.1f} | {most:,.1f} | {per_hour:+,.1f} |")
        return "\n".join(lines)


def write(path: Path, report: Report) -> None:
    """Put the table into the document."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{report.text()}\n{END}{after}")


def _figure(name: str, moments: Sequence[float], values: Sequence[float]) -> Figure:
    third = max(1, len(values) // 3)
    return Figure(name, median(values[:third]), median(values[-third:]), max(values), 60 * slope(moments, values))
