"""Deliveries as a bus would make them, for tests that have no bus."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from rookery.bus import Delivery
from rookery.schemas import (
    Event,
    EventData,
    FeedbackGiven,
    FeedbackGivenV1,
    RunCompleted,
    RunStarted,
    encode,
    subject_of,
)
from rookery.schemas import registry as schemas_registry
from rookery.schemas.registry import event_type

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def moment(sequence: int) -> datetime:
    return NOON + timedelta(seconds=sequence, microseconds=sequence)


def event(name: str, *, source: str = "/agents/coder-7", id: str | None = None, at: int = 0) -> Event:
    """A valid event; `name` names its run, and its id unless one is given."""
    data = RunStarted(task=f"task of {name}") if at % 2 else RunCompleted(success=True, reward=0.5)
    return Event.of(data, subject=name, source=source, id=id or f"id-{name}", time=moment(at))


def superseded(name: str) -> Event:
    """Feedback as the first version had it."""
    return Event.of(
        FeedbackGivenV1(run_id=name, stars=4), subject=name, source="/people/ann", id=f"v1-{name}", time=NOON
    )


def feedback(name: str) -> Event:
    return Event.of(
        FeedbackGiven(kind="thumb", score=1.0), subject=name, source="/people/ann", id=f"fb-{name}", time=NOON
    )


def deliver(sequence: int, event: Event, *, subject: str | None = None) -> Delivery:
    return raw(sequence, encode(event), subject or subject_of(event))


def raw(sequence: int, payload: bytes, subject: str = "evt.run.r.completed.coder-7") -> Delivery:
    return Delivery(sequence, subject, payload, moment(sequence))


def many(count: int, *, first: int = 1) -> list[Delivery]:
    """Valid events with the bus sequences from `first` on."""
    return [deliver(at, event(f"run-{at}", at=at)) for at in range(first, first + count)]


UNKNOWN = (
    b'{"specversion":"1.0","id":"u-%d","source":"/agents/coder-7","type":"gizmo.turned",'
    b'"subject":"g","time":"2026-11-20T12:00:00Z","data":{"angle":7}}'
)
UNKNOWN_SUBJECT = "evt.gizmo.g.turned.coder-7"


def unknown(sequence: int) -> Delivery:
    """A sound envelope of a type that no schema knows."""
    return raw(sequence, UNKNOWN % sequence, UNKNOWN_SUBJECT)


def mixed(count: int) -> list[Delivery]:
    """A bit of everything that may come by the bus, the same every time."""
    kinds: list[Callable[[int], Delivery]] = [
        lambda at: deliver(at, event(f"run-{at}", at=at)),
        lambda at: deliver(at, superseded(f"run-{at}")),
        unknown,
        lambda at: deliver(at, event(f"run-{at}", at=at), subject="evt.run.forged.completed.mallory"),
        lambda at: raw(at, b"\xff\x00 not JSON \n %d" % at),
        lambda at: deliver(at, event("run-1", at=1)),  # delivered before, if there are enough of them
        lambda at: deliver(at, event(f"other-{at}", id="id-run-1", at=at)),  # a used id
    ]
    return [kinds[(at - 1) % len(kinds) if at > 1 else 0](at) for at in range(1, count + 1)]


@contextmanager
def gizmos_known() -> Iterator[None]:
    """As if a later version's schemas knew the type of `UNKNOWN`."""

    @event_type("gizmo.turned")
    class GizmoTurned(EventData, frozen=True):
        angle: int

    try:
        yield
    finally:
        del schemas_registry._types["gizmo.turned"]
        del schemas_registry._names[GizmoTurned]
