"""A run from a file without a clock, told as events that are the same on every import."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ...schemas import Event, EventData, derived_id, type_of
from .found import Finding, Rejected, found


class ClocklessRun:
    """One recorded run. What it tells follows one another by a microsecond, from `begin` on.

    So the order is the file's, and a timeline shows the run at one moment: how long it took isn't known. An event's
    id follows from its type and its subject, which name the run and the step.
    """

    def __init__(self, run_id: str, *, source: str, begin: datetime, where: str = "") -> None:
        self.run_id = run_id
        self._source = source
        self._time = begin
        self._where = where

    def tell(self, data: EventData, *, subject: str | None = None, at: str = "") -> Finding:
        """The next event: about the run unless another `subject` is named; `at` is its place in the run."""
        subject = subject or self.run_id
        where = ", ".join(part for part in (self._where, at) if part)
        self._time += timedelta(microseconds=1)
        try:
            event = Event.of(
                data,
                subject=subject,
                source=self._source,
                id=derived_id(self._source, type_of(data), subject),
                time=self._time,
                correlationid=self.run_id,
            )
        except (ValueError, RecursionError) as error:
            return Rejected(where, str(error))
        return found(event, where)


def begin_at(text: str) -> datetime:
    """The moment that `--time` names, in UTC unless it says otherwise."""
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"expected a time as in `2024-06-17T09:30:00Z`, found {text!r}") from None
