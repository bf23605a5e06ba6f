"""A ceiling for the memory of the node's process, under which one query fails instead of the node being killed.

DuckDB accounts for what its tables, sorts and joins hold, and spills it. What a function makes of one value it takes
from the system without account: `range(1_000_000_000)` as a list is 8 GiB at once. Beneath a ceiling the system
refuses that, and DuckDB fails the query; without one the system kills the node.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

from ..projections import Resources

# Above what DuckDB may hold: for the log, the graph, requests, answers, and what queries take without account.
UNACCOUNTED_BYTES = 3 * 2**30
MACHINE_SHARE_MAX = 0.8

_CGROUP = Path("/sys/fs/cgroup/memory.max")


def limit_memory(resources: Resources | None = None) -> int | None:
    """Set the ceiling, unless there is a lower one already, and return it; None where the system knows none."""
    found = resources or Resources()
    accounted = (found.memory_size_mib_max + found.rebuild_memory_size_mib_max) * 2**20
    ceiling = int(min(accounted + UNACCOUNTED_BYTES, _machine_bytes() * MACHINE_SHARE_MAX))
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        lowest = min([ceiling, *(one for one in (soft, hard) if one != resource.RLIM_INFINITY)])
        resource.setrlimit(resource.RLIMIT_DATA, (lowest, hard))
        return lowest
    return None


def _machine_bytes() -> int:
    """What the machine has, or the container that this runs in."""
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        return min(present, int(_CGROUP.read_text()))
    return present
