"""Alerts: what somebody should look at."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from .reactions import Cause, Entity
from .registry import EventData, event_type
from .vocabulary import AgentId, Name

AlertKind = Annotated[Name, Meta(description="What it is about, as in `run_failed`.")]
AlertText = Annotated[str, Meta(description="What happened, in words.")]
Severity = Annotated[Literal["warning", "critical"], Meta(description="How soon somebody should look.")]


@event_type("alert.raised")
class AlertRaised(EventData, frozen=True, kw_only=True):
    """Something went wrong that somebody should look at. The same alert is not raised again within an hour."""

    kind: AlertKind
    severity: Severity
    text: AlertText
    entity: Entity | None = None
    agent_id: AgentId | None = None
    cause: Cause | None = None
