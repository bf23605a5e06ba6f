"""Recovering: a node that was restored from an older state takes its own history back from a peer that has more of it.

That is right only before the node writes anything new: from then on there are two histories. So it is done before
ingest begins, and only where the peer's history goes on exactly where this one ends.
"""

from __future__ import annotations

from pathlib import Path

from ...eventstore import Log
from ...eventstore.archive import Watch, unwatched
from .forks import fork_of
from .peers import Peer
from .pulling import Pull, Pulled


async def recover_own(folder: Path, own: str, peer: Peer, *, watch: Watch = unwatched) -> Pulled:
    """Complete the log's own origin from a peer; nobody may have it open. Its bus counts as a new one from then on.

    Raises what `Pull.run` raises; a fork is in what is returned, and then nothing was taken.
    """
    with Log.open(folder, own=()) as log:
        return await Pull(log, peer, (), only=own, watch=watch).run()


async def is_behind(log: Log, own: str, peer: Peer) -> bool:
    """Whether the peer has more of this log's own history, and has all of this log's. Raises `PeerError`."""
    state = (await peer.offer()).origins.get(own)
    held = log.vector().get(own, 0)
    return state is not None and state.begin <= held < state.last and await fork_of(log, peer, own, state) is None
