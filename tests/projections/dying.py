"""Processes that die while one version of the read models replaces another."""

from __future__ import annotations

import os
import signal
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from rookery.eventstore import Log
from rookery.projections import Catalogue, Projections, Resources
from rookery.projections.definitions import SQL_FOLDER, parse
from rookery.tests.eventstore.faults import CountingDisk

Way = Literal["rebuild", "roll_back"]

# Few projections and few threads: what is at stake is files, and every death costs a start.
FILES = ("messages.sql", "fleet_hourly.sql")
RESOURCES = Resources(threads=1, rebuild_threads=1)

_processes = get_context("forkserver")  # a child of a process that has used DuckDB inherits locks that nobody opens
_processes.set_forkserver_preload([__name__])


class KillingDisk(CountingDisk):
    """Kills the process at a touch of the disk, before it happens."""

    def fault(self, name: str, args: tuple[Any, ...]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def few() -> Catalogue:
    """A few of the projections."""
    return Catalogue(parse((SQL_FOLDER / name).read_text("utf-8"), name) for name in FILES)


def few_opened(path: Path, log: Log, disk: CountingDisk | None = None) -> Projections:
    """The read models of a few projections."""
    return Projections.open(path, log, catalogue=few(), resources=RESOURCES, disk=disk)


def dies(path: Path, log: Path, way: Way, touch: int) -> bool:
    """Go that way in a process that is killed at the n-th touch of the disk, or, at 0, when it has folded a batch.

    Whether it came so far.
    """
    process = _processes.Process(target=_go, args=(path, log, way, touch))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _go(path: Path, folder: Path, way: Way, touch: int) -> None:
    disk = KillingDisk()
    with Log.open(folder, writable=False) as log, few_opened(path, log, disk) as projections:
        disk.touches, disk.first, disk.last = 0, touch, touch
        go(projections, way, None if touch else lambda done, total: os.kill(os.getpid(), signal.SIGKILL))


def go(projections: Projections, way: Way, progress: Any = None) -> None:
    """Rebuild, or roll back."""
    if way == "rebuild":
        projections.rebuild(progress)
    else:
        projections.roll_back(progress)
