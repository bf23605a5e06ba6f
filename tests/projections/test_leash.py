"""A leash ends its query in time, whatever other queries there are and were."""

from __future__ import annotations

import threading
from contextlib import suppress

import duckdb
import pytest
from rookery.projections import Leash, QueryFailed

ENDLESS = "select count(*) from range(1_000_000_000) as a, range(1_000_000_000) as b"


@pytest.mark.timeout(20)
def test_a_short_leash_is_not_kept_waiting_by_a_long_one() -> None:
    with duckdb.connect() as con:
        with Leash(3_600).holding(con):
            con.execute("select 1")
        with pytest.raises(QueryFailed, match=r"not done after 0\.2 seconds"), Leash(0.2).holding(con):
            con.execute(ENDLESS)


@pytest.mark.timeout(20)
def test_an_interrupt_that_nobody_heard_is_repeated() -> None:
    heard = threading.Semaphore(0)

    class Deaf:
        def interrupt(self) -> None:
            heard.release()

    leash = Leash()
    with suppress(QueryFailed), leash.holding(Deaf()):
        leash.cut()
        for _ in range(3):
            heard.acquire()


def test_a_leash_that_was_cut_begins_nothing() -> None:
    leash = Leash()
    leash.cut()
    with duckdb.connect() as con, pytest.raises(QueryFailed, match="nobody waits"), leash.holding(con):
        raise AssertionError("it began")
