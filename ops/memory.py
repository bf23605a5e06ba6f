"""The memory of the node's process: a ceiling, under which one query fails instead of the node being killed, and what
is free given back.

DuckDB accounts for what its tables, sorts and joins hold, and spills it. What a function makes of one value it takes
from the system without account: `range(1_000_000_000)` as a list is 8 GiB at once. Beneath a ceiling the system
refuses that, and DuckDB fails the query; without one the system kills the node.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from contextlib import suppress
from pathlib import Path

from ..projections import Resources
from .settings import Settings

# Above what DuckDB may hold: for the log, the graph, requests, answers, and what queries take without account.
UNACCOUNTED_BYTES = 3 * 2**30
MACHINE_SHARE_MAX = 0.8

# glibc would make up to 8 for each core.
ARENAS_MAX = max(2, os.cpu_count() or 1)
# At the end of each arena, what is free stays up to this much.
ARENA_SPARE_BYTES_MAX = 4 * 2**20
# What is larger is no part of an arena, and goes back to the system when it is freed.
ARENA_PIECE_BYTES_MAX = 2**20

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # as <malloc.h> has them
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def resources_of(settings: Settings) -> Resources:
    """What a node with these settings lets DuckDB use."""
    return Resources(memory_size_mib_max=settings.duckdb_memory_mib)


def limit_memory(resources: Resources) -> int | None:
    """Set the ceiling, unless there is a lower one already, and return it; None where the system knows none."""
    accounted = (resources.memory_size_mib_max + resources.rebuild_memory_size_mib_max) * 2**20
    ceiling = int(min(accounted + UNACCOUNTED_BYTES, _machine_bytes() * MACHINE_SHARE_MAX))
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        lowest = min([ceiling, *(one for one in (soft, hard) if one != resource.RLIM_INFINITY)])
        resource.setrlimit(resource.RLIMIT_DATA, (lowest, hard))
        return lowest
    return None


def give_back_what_is_free() -> bool:
    """Have glibc keep little of what is freed; False where the system's allocator is another one.

    Left alone, it learns from every large piece that is freed: pieces of up to 32 MiB then come from arenas, and each
    arena keeps up to 64 MiB that are free at its end, where `malloc_trim` doesn't reach. A node has threads enough for
    all the arenas that there may be. Call it before they start.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    allocator = ctypes.CDLL(None)
    told = {
        _ARENA_MAX: ARENAS_MAX,
        _TRIM_THRESHOLD: ARENA_SPARE_BYTES_MAX,
        _MMAP_THRESHOLD: ARENA_PIECE_BYTES_MAX,
    }
    return all(allocator.mallopt(what, value) for what, value in told.items())


def _machine_bytes() -> int:
    """What the machine has, or the container that this runs in."""
    present = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        return min(present, int(_CGROUP.read_text()))
    return present
