"""Forks: two histories under one origin, found where they part.

Whoever has the same chain at a line has the same lines up to there. So two logs are compared at the last line that both
have, and where the chains differ there, a search of a few questions finds the first line that does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from ...eventstore import Log
from ...eventstore.arrivals import is_same_file
from ...eventstore.line import has_chain
from ...eventstore.manifest import Entry
from .peers import CHAINS_AT_ONCE_MAX, OriginState, Peer, PeerLied


class Fork(msgspec.Struct, frozen=True, kw_only=True):
    """From line `n` on, this log and the peer have different histories of an origin. The chains are those at `n`."""

    origin: str
    n: int
    ours: str
    theirs: str
    peer: str

    def __str__(self) -> str:
        return (
            f"{self.origin} has two histories: they part at {self.origin}:{self.n}, where the chain is {self.ours} "
            f"here and {self.theirs} at {self.peer}"
        )


async def fork_of(log: Log, peer: Peer, origin: str, state: OriginState) -> Fork | None:
    """Where this log and the peer part, if they do: nothing is pulled then, for neither is the right one by itself."""
    common = min(log.vector().get(origin, 0), state.last)
    if common == 0:
        return None
    theirs = state.chain if common == state.last else (await _chains(peer, origin, [common]))[0]
    ours = await asyncio.to_thread(log.chain_at, origin, common)
    if ours == theirs:
        return await _fork_of_manifests(log, peer, origin, state)
    return await _first_difference(log, peer, origin, state.begin, Fork(
        origin=origin, n=common, ours=ours, theirs=theirs, peer=peer.name
    ))  # fmt: skip


async def _first_difference(log: Log, peer: Peer, origin: str, below: int, found: Fork) -> Fork:
    """The first line that differs, behind `below`, as far as the peer can say."""
    while found.n - below > 1:
        step = -(-(found.n - below) // CHAINS_AT_ONCE_MAX)
        numbers = list(range(below + step, found.n, step)) or [below + 1]
        theirs = await _chains(peer, origin, numbers)
        ours = await asyncio.to_thread(_own_chains, log, origin, numbers)
        for n, mine, other in zip(numbers, ours, theirs, strict=True):
            if mine != other:
                found = msgspec.structs.replace(found, n=n, ours=mine, theirs=other)
                break
            below = n
    return found


async def _fork_of_manifests(log: Log, peer: Peer, origin: str, state: OriginState) -> Fork | None:
    """Lines of the first version have no chain: logs that have such lines must have sealed the same of them."""
    first = log.get(origin, 1)
    if state.begin or first is None or has_chain(first.line):
        return None
    sealed = log.sealed_state(origin)
    if sealed.last != state.sealed or sealed.head == state.manifest:
        return None
    after = 0
    while after < sealed.last and (lines := await peer.manifest(origin, after)):
        theirs = _entries_of(peer, origin, lines)
        for mine, other in zip(map(_entry, log.manifest_lines(origin, after=after)), theirs, strict=False):
            if not is_same_file(mine, other):
                (chain,) = await _chains(peer, origin, [mine.first])
                ours = log.chain_at(origin, mine.first)
                return Fork(origin=origin, n=mine.first, ours=ours, theirs=chain, peer=peer.name)
            after = mine.last
    return None


def _entries_of(peer: Peer, origin: str, lines: Sequence[bytes]) -> list[Entry]:
    try:
        return [_entry(line) for line in lines]
    except msgspec.MsgspecError as error:
        raise PeerLied(peer.name, f"{origin}'s manifest", str(error)) from None


def _entry(line: bytes) -> Entry:
    return msgspec.json.decode(line, type=Entry)


def _own_chains(log: Log, origin: str, numbers: list[int]) -> list[str]:
    return [log.chain_at(origin, n) for n in numbers]


async def _chains(peer: Peer, origin: str, numbers: Sequence[int]) -> list[str]:
    chains = await peer.chains(origin, numbers)
    if len(chains) != len(numbers):
        raise PeerLied(peer.name, f"{origin}'s chains", f"{len(chains)} came, and {len(numbers)} were asked for")
    return chains
