"""`make marathon`: a node under everybody's load for a given time, and whether it is after that as it was before."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import click
import msgspec
from rookery.eventstore import Log
from rookery.tests.faults.auditing import audit, check_fresh_fold
from rookery.tests.faults.colony import ORIGIN, Colony, colony
from rookery.tests.faults.ledger import Ledger

from .load import everybody, publish_past
from .report import Report, Sample, write
from .samples import Latencies, Vitals, size_mib

SAMPLE_SECONDS = 5.0
ARRIVE_SECONDS_MAX = 60.0
SEGMENT_EVENTS = 8_192
MEMORY = "--duckdb-memory-mib=256"


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.2), default=30.0, show_default=True, help="For how long.")
@click.option("--events-per-second", type=click.FloatRange(min=1), default=100.0, show_default=True)
@click.option("--past-events", type=click.IntRange(min=0), default=500_000, show_default=True, help="Held before.")
@click.option("--write", "document", type=click.Path(path_type=Path), help="Put the table into this document.")
@click.option("--remark", default="", help="What should be said of the machine, as that others used it meanwhile.")
def main(minutes: float, events_per_second: float, past_events: int, document: Path | None, remark: str) -> None:
    """Run a node under publishers, agents, queries, SQL, SPARQL, a live reader, an archive and a node that syncs.

    It begins once both nodes hold the past and have folded it, and DuckDB may hold a quarter of what it may otherwise:
    so caches are full, or nearly so, and what still grows does so for ever.

    Once a minute says how it is. In the end the log is held against what was acknowledged, line by line, the read
    models against a fresh fold, and the other node's log against this one's. Ends with 1 if anything isn't as it
    should be.

    \b
        make marathon MINUTES=30
        python -m rookery.tests.marathon --minutes 2 --events-per-second 50
    """
    logging.disable(logging.WARNING)
    folder = Path(tempfile.mkdtemp(prefix="rookery-marathon-"))
    report = asyncio.run(run(folder, minutes, events_per_second, past_events))
    report = msgspec.structs.replace(report, remark=remark)
    click.echo(report.text())
    if document:
        write(document, report)
    if not report.is_well:
        click.echo(f"not well; its files are in {folder}")
        sys.exit(1)
    shutil.rmtree(folder, ignore_errors=True)


async def run(folder: Path, minutes: float, events_per_second: float, past_events: int) -> Report:
    """The whole of it."""
    ledger, latencies, samples = Ledger(), Latencies(), list[Sample]()
    options = [f"--segment-events-max={SEGMENT_EVENTS}", f"--archive={folder / 'archive'}", "--archive-hours=0"]
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(colony(folder / "first", MEMORY, *options, separate=False))
        assert first.node is not None
        other = await _other(stack, folder, first)
        await publish_past(first.node.nats_url, ledger, past_events)
        for one in (first, other):
            await _folded(one, past_events)
        async with everybody(first.node.nats_url, first.node.url, ledger, events_per_second, latencies.observe):
            await _sample(first, latencies, samples, minutes)
        verdict = await audit(first, ledger)
        alike = await _arrives(first, other)
        await first.stop()
        await asyncio.to_thread(check_fresh_fold, first.data)
    return Report(minutes, events_per_second, past_events, verdict, alike, tuple(samples), tuple(latencies.minutes))


async def _other(stack: AsyncExitStack, folder: Path, first: Colony) -> Colony:
    """A node of another origin that takes what the first one has."""
    assert first.node is not None
    options = f"--peers={first.node.url}", "--origin=other"
    return await stack.enter_async_context(colony(folder / "other", MEMORY, *options, separate=False))


async def _folded(colony: Colony, events: int) -> None:
    """Wait until a node's read models and graph have all of the past."""
    while True:
        status = await colony.get("/status")
        behind = status and [model["lag_events"] for model in status["projections"]] + [status["graph_lag_events"]]
        if status and status["events"] >= events and not any(behind):
            return
        await asyncio.sleep(1)


async def _sample(first: Colony, latencies: Latencies, samples: list[Sample], minutes: float) -> None:
    began = time.monotonic()
    server = await first.server_pid()
    while (passed := time.monotonic() - began) < minutes * 60:
        at = passed / 60
        disk_mib = await asyncio.to_thread(size_mib, first.data)
        samples.append(Sample(at, Vitals.of(first.pid), Vitals.of(server), disk_mib))
        if int(at) >= len(latencies.minutes) + 1:
            latencies.turn()
            last = samples[-1]
            click.echo(
                f"minute {int(at)}: node {last.node.resident_mib:,.0f} MiB, {last.node.files} files, "
                f"{last.node.threads} threads; nats-server {last.server.resident_mib:,.0f} MiB; "
                f"disk {last.disk_mib:,.0f} MiB; 99 % (ms): "
                + ", ".join(f"{name} {value:,.0f}" for name, value in latencies.minutes[-1].p99.items()),
                err=True,
            )
        await asyncio.sleep(SAMPLE_SECONDS)
    latencies.turn()


async def _arrives(first: Colony, other: Colony) -> bool:
    """Whether the other node's log comes to have, line for line, what the first one's has."""
    deadline = time.monotonic() + ARRIVE_SECONDS_MAX
    with Log.open(first.log, writable=False) as here, Log.open(other.log, writable=False) as there:
        last = here.vector()[ORIGIN]
        while there.vector().get(ORIGIN, 0) < last and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        lines = (record.line for record in here.read(ORIGIN, limit=last))
        copied = (record.line for record in there.read(ORIGIN, limit=last))
        return all(one == two for one, two in zip(lines, copied, strict=True))


if __name__ == "__main__":
    main()
