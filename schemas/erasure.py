"""Erasure: what a person's data have come to, told without a word about the person."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import Count

SealedEvents = Annotated[Count, Meta(description="How many events of the log hold what was sealed with the key.")]
UncountedEvents = Annotated[Count, Meta(description="How many are in the archive alone, where nobody counted.")]
EventsByOrigin = Annotated[dict[str, Count], Meta(description="How many of them each origin has.")]
UpTo = Annotated[dict[str, Count], Meta(description="How far each origin went when they were counted.")]
RowsByReadModel = Annotated[dict[str, Count], Meta(description="How many rows of each read model hold some of it.")]
Places = Annotated[list[str], Meta(description="Where the sealed texts still are, readable by nobody, as in `log`.")]


@event_type("datasubject.forgotten")
class DatasubjectForgotten(EventData, frozen=True, kw_only=True):
    """A node destroyed its key of the person whose pseudonym is the subject: nobody reads there what it sealed.

    Each node that had the key tells so of itself, once: it is the receipt of the erasure.
    """

    sealed_events: SealedEvents
    uncounted_events: UncountedEvents = 0
    events_by_origin: EventsByOrigin
    up_to: UpTo
    rows_by_read_model: RowsByReadModel | None = None
    places: Places = []
