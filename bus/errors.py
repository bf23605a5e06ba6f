"""What can go wrong between a program and the bus.

RookeryError
└── BusError
    ├── BusUnavailable            the bus can't be reached, or didn't answer in time (url)
    ├── BusRefused                the bus answered with an error that trying again won't mend (code, description)
    ├── WorkQueueFull             as much work waits as may (limit)
    ├── TooLarge                  more bytes than the bus takes at once (size_bytes, limit_bytes)
    │   ├── EventTooLarge         one event (id)
    │   └── RequestTooLarge       one command (subject)
    ├── AppendTooLarge            more than one atomic batch can hold (events, size_bytes)
    ├── ConcurrencyConflict       the entity has moved on since it was read (entity, expected, actual)
    ├── AlreadyPublished          an append mixes events that the stream has with new ones (ids)
    ├── UncheckableAppend         more entities are expected than there are events to check them with
    ├── StreamRewound             the stream ends before the point to read from, or is another (after, last_sequence)
    ├── HistoryDamaged            the bus doesn't give all that happened to an entity (entity, missing)
    ├── StreamDrifted             the stream's configuration is not ours (stream, drift)
    ├── CommandRefused            the one who serves the command said no (reason, type)
    ├── CommandFailed             the one who serves the command crashed over it (subject)
    ├── NoResponder               nobody serves the command (subject)
    ├── RequestTimedOut           nobody answered in time; whether it was done is unknown (subject, timeout_seconds)
    ├── KeyNotFound               the bucket has no such key (bucket, key)
    ├── RevisionConflict          the key has another revision than expected (bucket, key, expected)
    ├── InvalidKey                not a key that the bus can store (key)
    ├── ObjectNotFound            the bucket has no such object (bucket, name)
    └── ObjectDamaged             the object's bytes don't match its digest (bucket, name)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..schemas import RookeryError


class Entity(NamedTuple):
    """A thing that events are about: its kind, which is the type's first word, and its id."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id!r}"


class BusError(RookeryError):
    """Something went wrong between a program and the bus."""


class BusUnavailable(BusError):
    """The bus can't be reached, or didn't answer in time."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(f"the bus at {url} is unavailable: {reason}")


class BusRefused(BusError):
    """The bus answered with an error of its own; `code` is JetStream's."""

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"the bus refused: {description} (JetStream error {code})")


class WorkQueueFull(BusError):
    """As much work waits as may. Nothing was dropped, and this was not taken."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit:,} tasks wait already, which is as many as may: start more agents that can do them, or give it "
            "again later"
        )


class TooLarge(BusError):
    """More than the bus takes at once."""

    def __init__(self, what: str, size_bytes: int, limit_bytes: int, advice: str) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} takes {size_bytes} bytes and the bus takes {limit_bytes}: {advice}")


class EventTooLarge(TooLarge):
    """One event is larger than the bus takes; headers count."""

    def __init__(self, id: str, size_bytes: int, limit_bytes: int) -> None:
        self.id = id
        advice = "put the bulk into the object store and its name into the event, or raise the limit (event_bytes_max)"
        super().__init__(f"event {id}", size_bytes, limit_bytes, advice)


class RequestTooLarge(TooLarge):
    """A command is larger than the bus takes."""

    def __init__(self, subject: str, size_bytes: int, limit_bytes: int) -> None:
        self.subject = subject
        super().__init__(subject, size_bytes, limit_bytes, "put the bulk into the object store and send its name")


class AppendTooLarge(BusError):
    """One conditional append is more than one atomic batch can hold."""

    def __init__(self, events: int, events_max: int, size_bytes: int, limit_bytes: int) -> None:
        self.events = events
        self.size_bytes = size_bytes
        super().__init__(
            f"an append is all or nothing, and takes up to {events_max} events and {limit_bytes} bytes; this one has "
            f"{events} and {size_bytes}: decide in smaller steps"
        )


class ConcurrencyConflict(BusError):
    """Somebody else changed the entity since it was read: load it again, decide again, append again."""

    def __init__(self, entity: Entity, expected: int, actual: int) -> None:
        self.entity = entity
        self.expected = expected
        self.actual = actual
        super().__init__(f"{entity} is at sequence {actual}, not {expected}: load it again and decide again")


class AlreadyPublished(BusError):
    """Some events of an append are in the stream already and others are not, so it can't be all or nothing."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = list(ids)
        super().__init__(
            f"{len(self.ids)} of the events to append are in the stream already ({', '.join(self.ids[:3])}, …): "
            "leave those out, or give them ids of their own"
        )


class UncheckableAppend(BusError):
    """An append expects more entities than it has events; each expectation travels on an event."""

    def __init__(self, expected: Mapping[Entity, int], events: int) -> None:
        self.expected = dict(expected)
        self.events = events
        super().__init__(f"{len(expected)} entities are expected and only {events} events can carry the check")


class HistoryDamaged(BusError):
    """The bus counts more events of an entity than it gives: a part of its store is damaged."""

    def __init__(self, entity: Entity, missing: int) -> None:
        self.entity = entity
        self.missing = missing
        super().__init__(
            f"the bus has lost {missing} of the events of {entity.kind}/{entity.id}, and nothing can be decided on the "
            "rest. A node whose log has them decides; or restore the bus's store"
        )


class StreamRewound(BusError):
    """The stream ends before the point to read on from, or has another event there: it was truncated or replaced.

    Nothing is read from it.
    """

    def __init__(self, after: int, last_sequence: int) -> None:
        self.after = after
        self.last_sequence = last_sequence
        super().__init__(
            f"asked to read after sequence {after}, but the stream {self.found}: it lost its end or is "
            "another stream; restore the bus's store, or start this reader on the new stream on purpose"
        )

    @property
    def found(self) -> str:
        """What of the stream can't be."""
        ends = self.last_sequence < self.after
        return f"ends at {self.last_sequence}" if ends else f"now has another event at {self.after}"


class StreamDrifted(BusError):
    """The stream's configuration differs from ours where it must not; each entry of `drift` names one setting."""

    def __init__(self, stream: str, drift: Sequence[str]) -> None:
        self.stream = stream
        self.drift = list(drift)
        super().__init__(f"stream {stream} is configured otherwise than expected: {'; '.join(self.drift)}")


class CommandRefused(BusError):
    """The one who serves the command said no: `type` is its error's name there, `reason` its message."""

    def __init__(self, reason: str, type: str) -> None:
        self.reason = reason
        self.type = type
        super().__init__(reason)


class CommandFailed(BusError):
    """The one who serves the command crashed over it. What happened is in that process's log."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"{subject} failed where it is served; the log of that process says why")


class NoResponder(BusError):
    """Nobody serves the command."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"nobody serves {subject}: is the process running that handles it?")


class RequestTimedOut(BusError):
    """No answer came in time. Whether the command was carried out is unknown."""

    def __init__(self, subject: str, timeout_seconds: float) -> None:
        self.subject = subject
        self.timeout_seconds = timeout_seconds
        super().__init__(f"{subject} was not answered within {timeout_seconds:g} s; it may or may not have been done")


class KeyNotFound(BusError):
    """The bucket has no such key, or has it no more."""

    def __init__(self, bucket: str, key: str) -> None:
        self.bucket = bucket
        self.key = key
        super().__init__(f"bucket {bucket} has no key {key!r}")


class RevisionConflict(BusError):
    """The key is not at the expected revision; 0 expects that there is none."""

    def __init__(self, bucket: str, key: str, expected: int) -> None:
        self.bucket = bucket
        self.key = key
        self.expected = expected
        state = f"is not at revision {expected}" if expected else "exists"
        super().__init__(f"key {key!r} in bucket {bucket} {state}: read it again")


class InvalidKey(BusError):
    """Not a key that the bus can store."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key!r} is no key: use letters, digits and -/_=. (no dot first or last)")


class ObjectNotFound(BusError):
    """The bucket has no such object."""

    def __init__(self, bucket: str, name: str) -> None:
        self.bucket = bucket
        self.name = name
        super().__init__(f"bucket {bucket} has no object {name!r}")


class ObjectDamaged(BusError):
    """The object's bytes don't match its digest."""

    def __init__(self, bucket: str, name: str) -> None:
        self.bucket = bucket
        self.name = name
        super().__init__(f"object {name!r} in bucket {bucket} doesn't match its digest; put it again")
