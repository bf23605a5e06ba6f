"""Nodes: the Rookery processes themselves."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import Reason

Version = Annotated[str, Meta(description="Rookery's version.")]
Host = Annotated[str, Meta(description="The machine that it runs on.")]


@event_type("node.started")
class NodeStarted(EventData, frozen=True, kw_only=True):
    """A node began to serve."""

    version: Version
    host: Host | None = None


@event_type("node.stopped")
class NodeStopped(EventData, frozen=True, kw_only=True):
    """A node stopped in good order. A node that was killed leaves no such event."""

    reason: Reason | None = None
