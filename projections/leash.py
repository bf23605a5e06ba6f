"""How long a query may run: for so many seconds, and no longer than somebody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from .errors import QueryFailed

QUERY_SECONDS_MAX = 30.0
# An interrupt that comes just before a statement begins is lost on it, so it is repeated.
AGAIN_SECONDS = 0.1


class Leash:
    """Holds one query. `cut` it from any thread, before or while the query runs."""

    def __init__(self, seconds: float = QUERY_SECONDS_MAX) -> None:
        self.seconds = seconds
        self._reason: str | None = None
        self._cut = threading.Event()

    def cut(self) -> None:
        """End the query: nobody waits for it any more."""
        self._reason = self._reason or "given up: nobody waits for the answer any more"
        self._cut.set()

    @contextmanager
    def holding(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Interrupt what `cursor` does in the body when it is time. Errors come out as `QueryFailed`."""
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(cursor.interrupt, ended), daemon=True)
        try:
            if self._cut.is_set():
                raise QueryFailed(str(self._reason))
            watch.start()
            yield
        except (duckdb.Error, MemoryError) as error:
            raise QueryFailed(self._reason or _reason_of(error)) from error
        finally:
            ended.set()
            self._cut.set()
            if watch.ident:
                watch.join()

    def _watch(self, interrupt: Callable[[], None], ended: threading.Event) -> None:
        if not self._cut.wait(self.seconds):
            self._reason = f"not done after {self.seconds:g} seconds; ask for less, or allow more time"
        while not ended.wait(AGAIN_SECONDS if self._cut.is_set() else 0):
            interrupt()
            self._cut.set()


def _reason_of(error: duckdb.Error | MemoryError) -> str:
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
        return f"needs more memory than a query may use; ask for less at once ({str(error).splitlines()[0:1]})"
    if "pytz" in str(error):
        return "a TIMESTAMP WITH TIME ZONE can't be answered; cast it, as in `now()::timestamp`"
    return str(error)
