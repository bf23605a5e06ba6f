"""A log and the read models on it, for tests that give events and look at rows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.projections import Projections
from rookery.schemas import Event, EventData, InvalidEvent, decode, encode, subject_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORIGIN = "here"


def at(seconds: float) -> datetime:
    """So long after noon."""
    return NOON + timedelta(seconds=seconds)


def fact(data: EventData, subject: str, seconds: float = 0, *, source: str = "/agents/coder-7") -> Event:
    """An event about `subject`, so long after noon."""
    return Event.of(data, subject=subject, source=source, time=at(seconds))


class Colony:
    """A log whose segments are small, and the read models on it."""

    def __init__(self, folder: Path, *, segment_events_max: int = 65_536) -> None:
        self.folder = folder
        self.path = folder / "read-models.duckdb"
        self.log = Log.open(folder / "log", segment_events_max=segment_events_max)
        self._projections: Projections | None = None
        self._sequences: dict[str, int] = {}

    @property
    def projections(self) -> Projections:
        """The read models, opened when they are first asked for."""
        if self._projections is None:
            self._projections = Projections.open(self.path, self.log)
        return self._projections

    def append(self, events: Iterable[Event | bytes], origin: str = ORIGIN) -> Self:
        """Append events to the log, or bytes that may be none."""
        payloads = [event if isinstance(event, bytes) else encode(event) for event in events]
        first = self._sequences.get(origin, 0) + 1
        self._sequences[origin] = first + len(payloads) - 1
        self.log.append(origin, [_delivery(first + index, payload) for index, payload in enumerate(payloads)])
        return self

    def given(self, *events: Event | bytes, origin: str = ORIGIN) -> Self:
        """Append events and fold them."""
        self.append(events, origin)
        self.projections.catch_up()
        return self

    def rows(self, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """These columns of a read model's rows."""
        return [tuple(record[column] for column in columns) for record in self.records(name)]

    def records(self, name: str) -> list[dict[str, Any]]:
        """A read model's rows."""
        return self.projections.rows(name).records()

    def record(self, name: str) -> dict[str, Any]:
        """The only row of a read model."""
        (record,) = self.records(name)
        return record

    def close_projections(self) -> None:
        """Close the read models; they are opened again when they are next asked for."""
        if self._projections is not None:
            self._projections.close()
            self._projections = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_projections()
        self.log.close()


def _delivery(sequence: int, payload: bytes) -> Delivery:
    try:
        subject = subject_of(decode(payload))
    except InvalidEvent:
        subject = "evt.gizmo.g.turned.coder-7"
    return Delivery(sequence, subject, payload, at(sequence / 1_000))
