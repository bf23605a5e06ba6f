"""Sync: nodes copy from each other what their logs lack, verbatim and verified, over whatever connects them."""

from .bundle_peer import BundlePeer
from .bundles import InvalidBundle, export_bundle
from .continuous import PeerStatus, Syncing, SyncStatus
from .forks import Fork
from .http_peer import HttpPeer
from .log_peer import LogPeer
from .nats_peer import NatsPeer
from .nats_service import serve_sync
from .offering import Offering
from .peers import (
    Gap,
    Offer,
    OriginState,
    Peer,
    PeerError,
    PeerLied,
    PeerRefused,
    PeerUnreachable,
    Run,
)
from .pulling import Failure, Pull, Pulled
from .reaching import is_on_nats, peer_at
from .recovering import is_behind, recover_own
from .runs import ENCODED_BYTES_MAX, InvalidRun, decode_run, encode_run

__all__ = [
    "ENCODED_BYTES_MAX",
    "BundlePeer",
    "Failure",
    "Fork",
    "Gap",
    "HttpPeer",
    "InvalidBundle",
    "InvalidRun",
    "LogPeer",
    "NatsPeer",
    "Offer",
    "Offering",
    "OriginState",
    "Peer",
    "PeerError",
    "PeerLied",
    "PeerRefused",
    "PeerStatus",
    "PeerUnreachable",
    "Pull",
    "Pulled",
    "Run",
    "SyncStatus",
    "Syncing",
    "decode_run",
    "encode_run",
    "export_bundle",
    "is_behind",
    "is_on_nats",
    "peer_at",
    "recover_own",
    "serve_sync",
]
