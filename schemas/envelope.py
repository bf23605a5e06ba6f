"""The envelope: one CloudEvents 1.0 event, whose bytes on the bus are its bytes in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID, uuid5

import msgspec
import uuid_utils

from .errors import InvalidData
from .registry import EventData, decode_data, type_of
from .vocabulary import Name

# UUIDv5 namespace of every id that is derived instead of drawn, so that doing a thing twice publishes it once.
NAMESPACE = UUID("c1b3f2c4-6f0e-5d59-9f0e-3d1f3a9d7b60")

# Patterns end in `\Z`: Python's `$` would let a line break follow. What is published says `$`, which elsewhere doesn't.
EventId = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]+\Z",
        description="The event's own id, unique for ever: a UUIDv7, or derived from what it is about.",
    ),
]
AGENTS_SOURCE = "/agents/"
Source = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=512,
        pattern=r"^[!-~]*[!-.0-~]\Z",
        description="Who says so, as in `/agents/coder-7`; the last segment is the publisher.",
    ),
]
TypeName = Annotated[
    str,
    msgspec.Meta(
        max_length=128,
        pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*(\.v[1-9][0-9]*)?\Z",
        description="What happened, to what kind of thing.",
    ),
]
Subject = Annotated[Name, msgspec.Meta(description="The id of the thing that the event is about.")]
Time = Annotated[datetime, msgspec.Meta(description="When it happened, in UTC, as in `2026-11-20T13:53:04.530453Z`.")]
TraceParent = Annotated[str, msgspec.Meta(description="W3C's trace context.")]
TraceState = Annotated[str, msgspec.Meta(description="W3C's, beside `traceparent`.")]
CorrelationId = Annotated[str, msgspec.Meta(description="The run or conversation that the event belongs to.")]
CausationId = Annotated[str, msgspec.Meta(description="The id of the event that this one is a reaction to.")]
DataSubject = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=256,
        pattern=r"^[^\x00-\x1f\x7f]+\Z",
        description="Whom the event's personal data are about. At the edge a name, as in `user-17`; in the log the "
        "pseudonym of the key that those data are sealed with.",
    ),
]
ContentType = Annotated[str, msgspec.Meta(description="CloudEvents'. `data` is JSON, whatever it says.")]
DataSchema = Annotated[str, msgspec.Meta(description="CloudEvents'. Kept, not interpreted.")]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CloudEvent. `data` holds the payload's JSON as it was published; `payload()` gives it typed.

    `time` is when the fact happened, in UTC. `subject` is the id of the entity that the fact is about, and
    `source` who says so (`/agents/coder-7`). `correlationid` names the run or conversation that the event belongs
    to, `causationid` the event that it is a reaction to, and `traceparent` is W3C's. Where
    there is a `datasubject`, the personal fields of `data` are sealed (`personal.py`). Attributes that are not named
    here are CloudEvents extensions: allowed, kept in the log, not interpreted.
    """

    specversion: Literal["1.0"]
    id: EventId
    source: Source
    type: TypeName
    subject: Subject
    time: Time
    traceparent: TraceParent | None = None
    tracestate: TraceState | None = None
    correlationid: CorrelationId | None = None
    causationid: CausationId | None = None
    datasubject: DataSubject | None = None
    datacontenttype: ContentType | None = None
    dataschema: DataSchema | None = None
    data: msgspec.Raw = msgspec.Raw(b"{}")

    @classmethod
    def of(
        cls,
        data: EventData,
        *,
        subject: str,
        source: str,
        id: str | None = None,
        time: datetime | None = None,
        correlationid: str | None = None,
        causationid: str | None = None,
        traceparent: str | None = None,
        datasubject: str | None = None,
    ) -> Event:
        """Wrap `data` in an envelope: a fresh UUIDv7 and the present moment unless `id` and `time` are given.

        Raises `InvalidData` for what is nested too deep to be written.
        """
        try:
            written = msgspec.json.encode(data)
        except RecursionError:
            raise InvalidData("nested too deep to be written; flatten it, or send it as a string", "data") from None
        return cls(
            specversion="1.0",
            id=id or new_id(),
            source=source,
            type=type_of(data),
            subject=subject,
            time=(time or datetime.now(UTC)).astimezone(UTC),
            correlationid=correlationid,
            causationid=causationid,
            traceparent=traceparent,
            datasubject=datasubject,
            data=msgspec.Raw(written),
        )

    @property
    def entity(self) -> str:
        """The kind of thing that the event is about: the type's first word."""
        return self.type.partition(".")[0]

    @property
    def publisher(self) -> str:
        """Who published it: the last segment of `source`."""
        return publisher_of(self.source)

    def payload(self) -> EventData:
        """The typed payload, in the newest version of its shape.

        Raises `UnknownEventType` or `InvalidData`.
        """
        return decode_data(self.type, self.data)


def new_id() -> str:
    """A fresh event id: a UUIDv7, so that ids sort by the time they were drawn."""
    return str(uuid_utils.uuid7())


def derived_id(*parts: str) -> str:
    """The same id for the same parts, always: a UUIDv5, for what may be published more than once."""
    return str(uuid5(NAMESPACE, "\x1f".join(parts)))


def publisher_of(source: str) -> str:
    """The last segment of a source: `coder-7` of `/agents/coder-7`."""
    return source.rpartition("/")[2]


def agent_in(source: str) -> str | None:
    """The agent whose word it is: the publisher, where the source is an agent's, as in `/agents/eu/coder-7`."""
    return publisher_of(source) if source.startswith(AGENTS_SOURCE) else None
