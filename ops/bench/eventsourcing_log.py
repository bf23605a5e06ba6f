"""The rival of everything that reads the log: `eventsourcing` with its recorder for SQLite."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from ...bus import Delivery

NAME = "eventsourcing 9.5, reading its SQLite notification log"
READ_EVENTS = 1_000


class EventsourcingLog:
    """The same events in SQLite."""

    def __init__(self, path: Path) -> None:
        self._recorder = SQLiteApplicationRecorder(SQLiteDatastore(str(path)))
        self._recorder.create_table()

    def append(self, batch: Sequence[Delivery]) -> None:
        """Store the events of a batch, each as the first of its subject's aggregate."""
        self._recorder.insert_events(
            [StoredEvent(uuid5(NAMESPACE_URL, one.subject), one.sequence, one.subject, one.payload) for one in batch]
        )

    def events_per_second(self) -> float:
        """How fast all of them are read back, in their order."""
        started = time.perf_counter()
        read = 0
        while found := self._recorder.select_notifications(start=read + 1, limit=READ_EVENTS):
            read = found[-1].id
        return read / (time.perf_counter() - started)

    def close(self) -> None:
        """Close the file."""
        self._recorder.datastore.close()
