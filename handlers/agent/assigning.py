"""Giving work to others, and waiting for what comes of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from ...bus import Bus, Delivery, Entity
from ...schemas import (
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentTimedOut,
    Event,
    EventData,
    InvalidData,
    InvalidEvent,
    decode,
    derived_id,
    entity_filter,
)
from .errors import NoResult, TaskFailed
from .telling import insisting, published

RESULT_TIMEOUT_SECONDS = 60.0
ENDED = (AssignmentCompleted, AssignmentFailed, AssignmentTimedOut, AssignmentCancelled)


def created(task: AssignmentCreated, assignment_id: str, *, source: str, **envelope: Any) -> Event:
    """The event that asks for a task. Its id derives from the assignment's: what is asked for again is recorded once.

    Raises `InvalidData` for what JSON can't hold.
    """
    event_id = _id_of_created(assignment_id)
    try:
        return Event.of(task, subject=assignment_id, source=source, id=event_id, **envelope)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidData(f"can't be written as JSON: {error}", "data.input") from None


def is_to_be_given(event: Event) -> bool:
    """Whether whoever recorded the task gives it to the bus, too, as all do who make the event with `created`.

    Who only keeps a record here of work that is done elsewhere has other ids.
    """
    return event.id == _id_of_created(event.subject)


def _id_of_created(assignment_id: str) -> str:
    return derived_id(assignment_id, "created")


async def assign(bus: Bus, event: Event) -> int:
    """Give the task to whoever has the capability: recorded first, then put on the work stream.

    Both times under one id, so that doing it again after a failure is harmless. Returns the sequence of the record:
    where waiting for the result begins. Raises `InvalidEvent`, `EventTooLarge` or `BusUnavailable`.
    """
    sequence = await published(bus, event)
    await insisting(lambda: bus.give(event, recorded=sequence))
    return sequence


async def is_begun(bus: Bus, assignment_id: str) -> bool:
    """Whether somebody has taken the task up, or it is over."""
    history = await bus.history(Entity("assignment", assignment_id))
    return any(delivery.subject.split(".")[3] != "created" for delivery in history.deliveries)


async def result_of(bus: Bus, assignment_id: str, *, after: int = 0, timeout_seconds: float) -> Any:
    """What came of the task. Raises `TaskFailed`, or `NoResult` when the time is up."""
    try:
        async with asyncio.timeout(timeout_seconds):
            end = await _end_of(bus, assignment_id, after)
    except TimeoutError:
        raise NoResult(assignment_id, timeout_seconds) from None
    match end:
        case AssignmentCompleted():
            return end.result
        case AssignmentFailed():
            raise TaskFailed(assignment_id, end.error)
        case AssignmentTimedOut():
            raise TaskFailed(assignment_id, "it was not done in its time")
        case _:
            raise TaskFailed(assignment_id, f"called off: {getattr(end, 'reason', None) or 'no reason given'}")


def end_in(delivery: Delivery) -> EventData | None:
    """How an assignment ended, if that is what the event says."""
    try:
        data = decode(delivery.payload).payload()
    except InvalidEvent:  # anybody may publish anything; the log lists it as a dead letter
        return None
    return data if isinstance(data, ENDED) else None


async def _end_of(bus: Bus, assignment_id: str, after: int) -> EventData:
    subject = entity_filter("assignment", assignment_id)
    async with contextlib.aclosing(bus.read(after=after, subject=subject)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            for delivery in batch:
                if end := end_in(delivery):
                    return end
    raise AssertionError("reading a bus never ends by itself")
