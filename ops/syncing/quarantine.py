"""Quarantine: a branch of an origin that can't be merged is kept aside, for a person to look at."""

from __future__ import annotations

import asyncio
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


async def set_aside(data: Path, peer: Peer, fork: Fork, log: Log) -> Path | None:
    """Keep the peer's branch in a folder of its own, as far as it may be long; None if there are too many of them.

    Its lines are held against each other, behind the last line that both logs have. Raises `PeerError` or `OSError`.
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
    await _copy(peer, fork, arrivals, folder, disk)
    await asyncio.to_thread(disk.replace, folder / FORK_FILE, msgspec.json.format(msgspec.json.encode(fork)))
    return folder


async def _copy(peer: Peer, fork: Fork, arrivals: Arrivals, folder: Path, disk: Disk) -> None:
    state = (await peer.offer()).origins[fork.origin]
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
        size_bytes += sum(map(len, run.lines))
        path = folder / f"{first:020}.ndjson"
        await asyncio.to_thread(disk.replace, path, b"\n".join(run.lines) + b"\n")
