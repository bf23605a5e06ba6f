"""Reactions: what became of the node's answers to events, where that is worth a fact of its own."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import Count, Error, Name, Reason

ReactionName = Annotated[Name, Meta(description="The reaction, as in `alerts.report_failed_run`.")]
Cause = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}:[1-9][0-9]{0,18}\Z",
        description="The event that it reacts to, by its address, as in `local:41`.",
    ),
]
Entity = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_]*/[^\x00-\x1f\x7f]+\Z", description="What it is about, kind and id, as in `run/run-9`."
    ),
]
Attempts = Annotated[Count, Meta(description="How often it was tried since it was first tried, or last re-driven.")]
Place = Annotated[Count, Meta(description="It reacts to what the log has behind this number.")]


@event_type("reaction.installed")
class ReactionInstalled(EventData, frozen=True, kw_only=True):
    """A node has a reaction that it did not have before, and reacts from here on: what was there already is past."""

    after: Place


@event_type("reaction.completed")
class ReactionCompleted(EventData, frozen=True, kw_only=True):
    """A reaction is done. It stands in the log with what the reaction told, or not at all."""

    reaction: ReactionName
    cause: Cause
    entity: Entity


@event_type("reaction.failed")
class ReactionFailed(EventData, frozen=True, kw_only=True):
    """An attempt at a reaction failed, and it is tried again."""

    reaction: ReactionName
    cause: Cause
    entity: Entity
    attempts: Attempts
    error: Error


@event_type("reaction.parked")
class ReactionParked(EventData, frozen=True, kw_only=True):
    """All attempts at a reaction failed: it waits for a person, and what happens to the same entity waits behind it."""

    reaction: ReactionName
    cause: Cause
    entity: Entity
    attempts: Attempts
    error: Error


@event_type("reaction.redriven")
class ReactionRedriven(EventData, frozen=True, kw_only=True):
    """Somebody asked for another try at a parked reaction."""

    reaction: ReactionName
    cause: Cause
    entity: Entity
    reason: Reason | None = None


@event_type("reaction.discarded")
class ReactionDiscarded(EventData, frozen=True, kw_only=True):
    """Somebody decided that a parked reaction is never to be done, and said why. What waited behind it goes on."""

    reaction: ReactionName
    cause: Cause
    entity: Entity
    reason: Reason
