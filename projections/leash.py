"""How long a query may run: for so many seconds, and no longer than somebody waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf

import duckdb

from .errors import QueryFailed

QUERY_SECONDS_MAX = 30.0
# An interrupt that comes just before a statement begins is lost on it, so it is repeated.
AGAIN_SECONDS = 0.1


class Leash:
    """Holds one query. `cut` it from any thread, before or while the query runs."""

    def __init__(self, seconds: float = QUERY_SECONDS_MAX) -> None:
        self.seconds = seconds
        self._ends_at = inf  # on the clock of `time.monotonic`
        self._again_at = 0.0
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it was cut, if it was."""
        return self._reason

    @property
    def due_at(self) -> float:
        """When to interrupt the query next."""
        return self._again_at if self._reason else self._ends_at

    def cut(self) -> None:
        """End the query: nobody waits for it any more."""
        self._reason = self._reason or "given up: nobody waits for the answer any more"
        _watch.look()

    def snap(self) -> None:
        """Note that the query is interrupted now, and when to do so again."""
        self._reason = self._reason or f"not done after {self.seconds:g} seconds; ask for less, or allow more time"
        self._again_at = time.monotonic() + AGAIN_SECONDS

    @contextmanager
    def holding(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt what `cursor` does in the body when it is time. Errors come out as `QueryFailed`."""
        if self._reason:
            raise QueryFailed(self._reason)
        self._ends_at = time.monotonic() + self.seconds
        _watch.add(self, cursor.interrupt)
        try:
            yield
        except (duckdb.Error, MemoryError, OverflowError) as error:
            raise QueryFailed(self._reason or _reason_of(error)) from error
        finally:
            _watch.drop(self)


class _Watch:
    """One thread that looks after all queries: to begin one for each takes longer than many a query does."""

    def __init__(self) -> None:
        self._held: dict[Leash, Callable[[], None]] = {}
        self._changed = threading.Condition()
        self._looks_at = inf
        self._thread: threading.Thread | None = None

    def add(self, leash: Leash, interrupt: Callable[[], None]) -> None:
        with self._changed:
            self._held[leash] = interrupt
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leashes", daemon=True)
                self._thread.start()
            if leash.due_at < self._looks_at:
                self._changed.notify()

    def drop(self, leash: Leash) -> None:
        with self._changed:  # so that nobody interrupts what the cursor does next
            del self._held[leash]

    def look(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                self._interrupt_due()
                self._looks_at = min((leash.due_at for leash in self._held), default=inf)
                self._changed.wait(None if self._looks_at == inf else max(0.0, self._looks_at - time.monotonic()))

    def _interrupt_due(self) -> None:
        now = time.monotonic()
        for leash, interrupt in self._held.items():
            if leash.due_at <= now:
                leash.snap()
                interrupt()


_watch = _Watch()


def _reason_of(error: duckdb.Error | MemoryError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"a value is too large to be told; ask for it as text, as in `value::varchar` ({error})"
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
        return f"needs more memory than a query may use; ask for less at once ({str(error).splitlines()[0:1]})"
    return str(error)
