"""The audit after a fault: what the log has is held against what was promised, and read models against a fresh fold."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from rookery.eventstore import Log
from rookery.projections import Projections

from .colony import ORIGIN, Colony
from .ledger import Ledger, Verdict

ARRIVE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


class ReadModelsDiffer(AssertionError):
    """Read models are not what the log folds into."""


async def audit(colony: Colony, ledger: Ledger) -> Verdict:
    """Let the log take what was acknowledged, read what it has gained, and say how the books stand.

    What is not there after a while, with a node that says it has everything, is lost.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ARRIVE_SECONDS_MAX
    with Log.open(colony.log, writable=False) as log:
        while True:
            settled = await _is_settled(colony)
            ledger.take(log.read(ORIGIN, after=ledger.last))
            if not ledger.is_waiting or settled or loop.time() > deadline:
                return ledger.verdict()
            await asyncio.sleep(POLL_SECONDS)


async def _is_settled(colony: Colony) -> bool:
    """Whether the node says that its log has everything that its bus has."""
    status = await colony.get("/status")
    if status is None or status["subsystems"]["ingest"]["state"] != "ready" or status["bus"]["last_sequence"] is None:
        return False
    return all(origin["lag_events"] == 0 for origin in status["origins"])


async def check_rebuilt(colony: Colony) -> None:
    """The node's read models are what it folds anew. Raises `ReadModelsDiffer`."""
    report = await colony.post("/rebuild")
    if report is None or report["digests_before"] != report["digests_after"]:
        raise ReadModelsDiffer(f"served: {report and report['digests_before']}, anew: {report}")


def check_fresh_fold(data: Path) -> None:
    """What a stopped node left is what another program folds of the same log, from its first line on."""
    with Log.open(data / "log", writable=False) as log, tempfile.TemporaryDirectory() as folder:
        with Projections.open(data / "projections.duckdb", log) as served:
            served.catch_up()
            found = served.digests()
        with Projections.open(Path(folder) / "fresh.duckdb", log) as fresh:
            fresh.catch_up()
            expected = fresh.digests()
    if found != expected:
        differing = sorted(name for name in expected if found.get(name) != expected[name])
        raise ReadModelsDiffer(f"not what a fresh fold gives: {', '.join(differing)}")
