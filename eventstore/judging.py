"""Judging what came by the bus: an event, or a dead letter, and then why."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, NamedTuple

from ..bus import Entity
from ..schemas import (
    Event,
    InvalidEvent,
    MalformedEvent,
    ReplayedEvent,
    UnknownEventType,
    check,
    decode,
    publisher_in,
    refuse_chained,
    refuse_plain,
    refuse_replayed,
    subject_of,
    unescape,
)
from .line import Record

# What is wrong, in one of these words: for counting.
Fault = Literal["malformed", "unknown_type", "invalid_data", "misplaced", "in_plain", "id_used", "replayed", "late"]

UNDECODABLE = "undecodable"
_SUBJECT_TOKENS = 5


class Verdict(NamedTuple):
    """What is wrong with a payload: nothing, if `reason` is empty.

    With an `event`, the line can stand in the log as an event, and a later schema may acquit it; without one, the
    bytes are kept whole.
    """

    event: Event | None
    reason: str = ""
    field: str = ""
    fault: Fault | None = None


class DeadLetter(NamedTuple):
    """A line of the log that no projection folds: why, in which field, and what is known of it.

    `entity` is what it is about: by its envelope, else by the NATS subject that it came by, else itself alone.
    """

    origin: str
    n: int
    fault: Fault
    reason: str
    field: str
    entity: Entity
    type: str | None
    id: str | None
    recorded_time: datetime
    payload: bytes


def judge(payload: bytes, subject: str) -> Verdict:
    """Hold a payload that came as a new fact against its schema, and against the subject that it came by."""
    try:
        refuse_replayed(payload)
        refuse_chained(payload)
    except MalformedEvent as error:
        fault: Fault = "replayed" if isinstance(error, ReplayedEvent) else "malformed"
        return Verdict(None, error.reason, error.field, fault)
    verdict = judge_payload(payload)
    if verdict.event is None:
        return verdict
    if subject != subject_of(verdict.event):
        return Verdict(None, *_mismatch(verdict.event, subject), "misplaced")
    try:
        refuse_plain(verdict.event)
    except InvalidEvent as error:
        return Verdict(None, error.reason, error.field, "in_plain")
    return verdict


def judge_payload(payload: bytes) -> Verdict:
    """Hold a payload against its schema alone, as it is today."""
    try:
        return Verdict(check(payload)[0])
    except MalformedEvent as error:
        return Verdict(None, error.reason, error.field, "malformed")
    except InvalidEvent as error:
        fault: Fault = "unknown_type" if isinstance(error, UnknownEventType) else "invalid_data"
        return Verdict(decode(payload), error.reason, error.field, fault)


def judge_record(record: Record) -> Verdict:
    """Hold a line of the log against today's schemas."""
    letter = record.letter
    if letter is None:
        return judge_payload(record.payload)
    if letter.idusedby is not None:
        return Verdict(None, f"id already used by {record.origin}:{letter.idusedby}", "id", "id_used")
    verdict = judge(letter.undecodable, letter.natssubject)
    if not verdict.reason:
        verdict = verdict._replace(reason="was not an event when it came", fault="late")
    return verdict._replace(event=None)


def dead_letter(record: Record) -> DeadLetter | None:
    """The record as a dead letter, or None if nothing is wrong with it today."""
    verdict = judge_record(record)
    if verdict.fault is None:
        return None
    event = verdict.event or _envelope(record.payload)
    return DeadLetter(
        record.origin,
        record.n,
        verdict.fault,
        verdict.reason,
        verdict.field,
        _entity(record, event),
        event.type if event else None,
        event.id if event else None,
        record.recorded_time,
        record.payload,
    )


def _entity(record: Record, event: Event | None) -> Entity:
    if event is not None:
        return Entity(event.entity, event.subject)
    tokens = record.letter.natssubject.split(".") if record.letter else []
    if len(tokens) == _SUBJECT_TOKENS and tokens[0] == "evt":
        return Entity(unescape(tokens[1]), unescape(tokens[2]))
    return Entity(UNDECODABLE, f"{record.origin}:{record.n}")


def _mismatch(event: Event, subject: str) -> tuple[str, str]:
    if (publisher := publisher_in(subject)) != event.publisher:
        return f"published by {publisher!r}, but its source is {event.source!r}", "source"
    return f"published on {subject!r}, but it belongs on {subject_of(event)!r}", "subject"


def _envelope(payload: bytes) -> Event | None:
    try:
        return decode(payload)
    except MalformedEvent:
        return None
