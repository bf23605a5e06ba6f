"""Origins: the histories that nodes copy from each other."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import INT64_MAX, Name

LineNumber = Annotated[int, Meta(ge=1, le=INT64_MAX, description="The first line that differs.")]
Chain = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z", description="The chain at that line, here.")]
PeerChain = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z", description="The chain at that line, at the peer.")]
Peer = Annotated[Name, Meta(description="Where the other history was found.")]


@event_type("origin.forked")
class OriginForked(EventData, frozen=True, kw_only=True):
    """A node found that an origin, the subject, has another history at a peer than here. Neither is merged."""

    first_line: LineNumber
    own_chain: Chain
    peer_chain: PeerChain
    peer: Peer
