"""Letting readers at the database: a bounded number at once, and none while it is replaced by another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import duckdb

from .database import Database
from .errors import QueryNotAdmitted

READERS_MAX = 16
ADMISSION_SECONDS_MAX = 10.0
# How long the exchange of the database waits for queries that are under way before it interrupts them, and then again:
# between two of its statements a reader does not notice.
PATIENCE_SECONDS = 5.0


class Readers:
    """Cursors on the present `database`, for any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._active: set[duckdb.DuckDBPyConnection] = set()
        self._exchanging = False
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one query. Raises `QueryNotAdmitted` if none comes free in time."""
        with self._changed:
            if not self._changed.wait_for(self._may_enter, ADMISSION_SECONDS_MAX):
                what = "the read models are being replaced" if self._exchanging else "too many queries at once"
                raise QueryNotAdmitted(f"{what}; try again later")
            if self._closed:
                raise QueryNotAdmitted("the read models are closed")
            cursor = self.database.cursor()
            self._active.add(cursor)
        try:
            yield cursor
        finally:
            cursor.close()
            with self._changed:
                self._active.discard(cursor)
                self._changed.notify_all()

    def exchange(self, replace: Callable[[], None]) -> None:
        """Let `replace` put another database in the present one's place, with nobody reading; new readers wait."""
        try:
            self._send_away()
            replace()
        finally:
            with self._changed:
                self._exchanging = False
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more."""
        self._send_away()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _send_away(self) -> None:
        with self._changed:
            self._exchanging = True
            while not self._changed.wait_for(lambda: not self._active, PATIENCE_SECONDS):
                for cursor in tuple(self._active):
                    with suppress(duckdb.Error):  # closed already, and about to be gone
                        cursor.interrupt()

    def _may_enter(self) -> bool:
        return self._closed or (not self._exchanging and len(self._active) < READERS_MAX)
