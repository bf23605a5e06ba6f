"""Safekeeping: what befell the log and its bus, and how it was put right."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from .registry import EventData, event_type
from .vocabulary import Count, Reason

Sequence = Annotated[Count, Meta(description="A sequence of the bus's event stream.")]
Events = Annotated[Count, Meta(description="How many events.")]
LineNumber = Annotated[Count, Meta(description="A line's n in its origin.")]
File = Annotated[str, Meta(description="The file's name in its origin's folder.")]
Giver = Annotated[str, Meta(description="Where the bytes came from, as in `the archive s3://colony/archive`.")]


@event_type("bus.regressed")
class BusRegressed(EventData, frozen=True, kw_only=True):
    """The bus had lost events that the log holds, and is read again from where the two agree. The log lost nothing.

    The event's subject is the origin. `position` is the sequence up to which the log held the bus, `agreed` the one up
    to which both are still the same, and `missing_events` how many lines of the log the bus no longer has.
    """

    position: Sequence
    agreed: Sequence
    missing_events: Events
    reason: Reason


@event_type("bus.damaged")
class BusDamaged(EventData, frozen=True, kw_only=True):
    """nats-server found its store damaged when it started, and cut it off there. The event's subject is the origin.

    What the log had taken is in the log: `bus.regressed` then says how much that was.
    """

    stream: Annotated[str, Meta(description="The stream that lost messages, as in `EVENTS`.")]
    lost_messages: Annotated[Count, Meta(description="How many messages it says are lost.")]


@event_type("log.healed")
class LogHealed(EventData, frozen=True, kw_only=True):
    """A file of the log was damaged, and is again what it was. The event's subject is the origin.

    `first` and `last` are the lines that it holds, of the manifest those of all segments.
    """

    segment: File
    first: LineNumber
    last: LineNumber
    giver: Giver
    reason: Reason
