"""Quarantine: a branch of an origin that can't be merged is kept aside, for a person to look at."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...eventstore import Disk, Log, MirrorRefused
from ...eventstore.arrivals import Arrivals
from ...eventstore.line import NO_CHAIN, Chain
from .forks import Fork
from .peers import Peer, PeerLied

NAME = "quarantine"
FORK_FILE = "fork.json"
BRANCH_EVENTS_MAX = 100_000
BRANCH_BYTES_MAX = 64 * 2**20
BRANCHES_MAX = 16  # of one origin


async def set_aside(
    data: Path, peer: Peer, fork: Fork, log: Log, before_taking: Callable[[], object] = lambda: None
) -> Path | None:
    """Keep the peer's branch in a folder of its own, as far as it may be long; None if there are too many of them.

    Its lines are held against each other, behind the last line that both logs have. Raises `PeerError`, `OSError`, or
    what `before_taking` raises, where there is no room; then nothing of it is kept.
    """
    origin = data / NAME / fork.origin
    folder = origin / f"{fork.n:020}-{fork.theirs}"
    disk = Disk()
    if disk.exists(folder / FORK_FILE):
        return folder
    if len(disk.names(origin)) >= BRANCHES_MAX:
        return None
    await asyncio.to_thread(disk.make_folder, folder)
    before = log.get(fork.origin, fork.n - 1)
    arrivals = Arrivals(fork.origin, fork.n - 1, Chain.after(before.line) if before else Chain(NO_CHAIN))
    try:
        await _copy(peer, fork, arrivals, folder, disk, before_taking)
        await asyncio.to_thread(disk.replace, folder / FORK_FILE, msgspec.json.format(msgspec.json.encode(fork)))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


async def _copy(
    peer: Peer, fork: Fork, arrivals: Arrivals, folder: Path, disk: Disk, before_taking: Callable[[], object]
) -> None:
    state = (await peer.offer()).origins.get(fork.origin)
    if state is None:
        raise PeerLied(peer.name, "its offer", f"it no longer has {fork.origin}")
    last = min(state.last, fork.n - 1 + BRANCH_EVENTS_MAX)
    size_bytes = 0
    while arrivals.n < last and size_bytes < BRANCH_BYTES_MAX:
        first = arrivals.n + 1
        run = await peer.lines(fork.origin, arrivals.n, last)
        try:
            await asyncio.to_thread(arrivals.keys, run.lines)
        except MirrorRefused as refused:
            raise PeerLied(peer.name, f"{fork.origin}:{refused.n}", refused.reason) from None
        if not run.lines:
            return
        before_taking()
        size_bytes += sum(map(len, run.lines))
        path = folder / f"{first:020}.ndjson"
        await asyncio.to_thread(disk.replace, path, b"\n".join(run.lines) + b"\n")
