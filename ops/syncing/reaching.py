"""Reaching a peer by its URL, whichever way that says."""

from __future__ import annotations

from pathlib import Path

from .http_peer import HttpPeer
from .nats_peer import SCHEMES, NatsPeer


def peer_at(url: str, *, bus_url: str | None = None, credentials: Path | None = None) -> HttpPeer | NatsPeer:
    """The peer at `http://HOST:PORT`, `nats://HOST:PORT/NODE`, or on the own bus, `nats:///NODE`. To be closed.

    Raises `InvalidInput`.
    """
    if is_on_nats(url):
        return NatsPeer(url, bus_url=bus_url, credentials=credentials)
    return HttpPeer(url)


def is_on_nats(url: str) -> bool:
    """Whether a peer is reached over NATS."""
    return url.partition("://")[0] in SCHEMES
