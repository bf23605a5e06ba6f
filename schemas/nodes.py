"""Nodes: the Rookery processes themselves."""

from __future__ import annotations

from .registry import EventData, event_type


@event_type("node.started")
class NodeStarted(EventData, frozen=True, kw_only=True):
    """A node began to serve."""

    version: str
    host: str | None = None


@event_type("node.stopped")
class NodeStopped(EventData, frozen=True, kw_only=True):
    """A node stopped in good order. A node that was killed leaves no such event."""

    reason: str | None = None
