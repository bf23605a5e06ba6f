"""Judging what came by the bus: an event, or a dead letter, and then why."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ..schemas import (
    Event,
    InvalidEvent,
    MalformedEvent,
    check,
    decode,
    publisher_in,
    refuse_chained,
    refuse_replayed,
    subject_of,
)
from .line import Record


class Verdict(NamedTuple):
    """What is wrong with a payload: nothing, if `reason` is empty.

    With an `event`, the line can stand in the log as an event, and a later schema may acquit it; without one, the
    bytes are kept whole.
    """

    event: Event | None
    reason: str = ""
    field: str = ""


class DeadLetter(NamedTuple):
    """A line of the log that no projection folds: why, in which field, and what is known of it."""

    origin: str
    n: int
    reason: str
    field: str
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
        return Verdict(None, error.reason, error.field)
    verdict = judge_payload(payload)
    if verdict.event is None or subject == subject_of(verdict.event):
        return verdict
    return Verdict(None, *_mismatch(verdict.event, subject))


def judge_payload(payload: bytes) -> Verdict:
    """Hold a payload against its schema alone, as it is today."""
    try:
        return Verdict(check(payload)[0])
    except MalformedEvent as error:
        return Verdict(None, error.reason, error.field)
    except InvalidEvent as error:
        return Verdict(decode(payload), error.reason, error.field)


def judge_record(record: Record) -> Verdict:
    """Hold a line of the log against today's schemas."""
    letter = record.letter
    if letter is None:
        return judge_payload(record.payload)
    if letter.idusedby is not None:
        return Verdict(None, f"id already used by {record.origin}:{letter.idusedby}", "id")
    verdict = judge(letter.undecodable, letter.natssubject)
    return verdict._replace(event=None, reason=verdict.reason or "was not an event when it came")


def dead_letter(record: Record) -> DeadLetter | None:
    """The record as a dead letter, or None if nothing is wrong with it today."""
    verdict = judge_record(record)
    if not verdict.reason:
        return None
    event = verdict.event or _envelope(record.payload)
    return DeadLetter(
        record.origin,
        record.n,
        verdict.reason,
        verdict.field,
        event.type if event else None,
        event.id if event else None,
        record.recorded_time,
        record.payload,
    )


def _mismatch(event: Event, subject: str) -> tuple[str, str]:
    if (publisher := publisher_in(subject)) != event.publisher:
        return f"published by {publisher!r}, but its source is {event.source!r}", "source"
    return f"published on {subject!r}, but it belongs on {subject_of(event)!r}", "subject"


def _envelope(payload: bytes) -> Event | None:
    try:
        return decode(payload)
    except MalformedEvent:
        return None
