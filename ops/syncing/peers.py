"""A peer: another node's log as it is asked for what this one lacks, whichever way the two are connected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from ...schemas import RookeryError

ORIGINS_MAX = 1_000
CHAINS_AT_ONCE_MAX = 256
MANIFEST_LINES_MAX = 1_000
RUN_EVENTS_MAX = 16_384
RUN_BYTES_MAX = 8 * 2**20  # of lines; a longer line comes alone
LINE_BYTES_MAX = 96 * 2**20  # the largest message that NATS takes, kept whole

Origin = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Number = Annotated[int, Meta(ge=0, le=2**62)]
Chain = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PeerError(RookeryError):
    """The root of what can go wrong between this node and a peer."""


class PeerUnreachable(PeerError):
    """The peer did not answer, or broke off. The same may work later."""

    def __init__(self, peer: str, reason: str) -> None:
        self.peer = peer
        self.reason = reason
        super().__init__(f"the peer {peer} can't be reached: {reason}; sync goes on where it was when it answers again")


class PeerRefused(PeerError):
    """The peer won't give what was asked for, or is no node of this kind."""

    def __init__(self, peer: str, reason: str) -> None:
        self.peer = peer
        self.reason = reason
        super().__init__(f"the peer {peer} refused: {reason}")


class PeerLied(PeerError):
    """What the peer sent is not what it should be. Nothing of it was kept."""

    def __init__(self, peer: str, what: str, reason: str) -> None:
        self.peer = peer
        self.what = what
        self.reason = reason
        super().__init__(f"what the peer {peer} sent as {what} was refused, and nothing of it kept: {reason}")


class Gap(PeerError):
    """The peer begins later than this log ends: what lies between has to come from elsewhere."""

    def __init__(self, peer: str, origin: str, begins: int, ends: int) -> None:
        self.peer = peer
        self.origin = origin
        self.begins = begins
        self.ends = ends
        super().__init__(
            f"{peer} begins at {origin}:{begins} and this log ends at {origin}:{ends}: "
            f"export one from {ends + 1} on, with --after {origin}:{ends}"
        )


class TooManyOrigins(PeerError):
    """This log has as many origins as it may, and begins no other."""

    def __init__(self, peer: str, origin: str) -> None:
        self.peer = peer
        self.origin = origin
        super().__init__(
            f"{origin} was not copied from {peer}: this log has {ORIGINS_MAX:,} origins already, and begins no "
            "more; each is a folder in log/: look who tells of origins that there are not"
        )


class OriginState(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer has of an origin: the lines behind `begin` up to `last`, where the chain is `chain`.

    Those up to `sealed` are sealed, and `manifest` is the hash of the last line that tells so.
    """

    last: Number
    chain: Chain
    sealed: Number
    manifest: Digest
    signer: str | None = None
    begin: Number = 0


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a peer has: its own origin (None for a file), and how far it is in each."""

    own: str | None
    origins: dict[Origin, OriginState]


class Run(NamedTuple):
    """Lines that follow on each other and lie in one segment, which begins with the line `segment`."""

    segment: int
    lines: list[bytes]


class Peer(Protocol):
    """What sync asks of a peer. Raises `PeerError`; what it answers is checked by whoever asks."""

    @property
    def name(self) -> str:
        """What people call it: its URL, or its file."""

    async def offer(self) -> Offer:
        """What it has."""

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines, of which there may be `CHAINS_AT_ONCE_MAX`."""

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The lines of the origin's manifest for what is sealed after `after`, `MANIFEST_LINES_MAX` at most."""

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """The sealed file that begins with the line `first` and has `size_bytes`."""

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some of the lines after `after`, none beyond `up_to`; at least one, if the peer has it."""
