"""Whoever replaces the database sends its readers away, and lets them in again whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import duckdb
import pytest
from rookery.projections import QueryNotAdmitted, readers
from rookery.projections.database import Database, Resources
from rookery.projections.readers import Readers


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Readers]:
    database = Database.open(tmp_path / "db", scratch=tmp_path / "scratch", readable=[], resources=Resources())
    yield Readers(database)
    database.close()


class Leaving:
    """A reader that closes its cursor just before it is interrupted, and says so just after."""

    def __init__(self, readers: Readers) -> None:
        self.readers = readers
        self.cursor = readers.database.cursor()
        self.cursor.close()
        self.enter()

    def enter(self) -> None:
        self.readers._active.add(cast("duckdb.DuckDBPyConnection", self))

    def interrupt(self) -> None:
        self.readers._active.discard(cast("duckdb.DuckDBPyConnection", self))
        self.cursor.interrupt()


def test_a_reader_that_leaves_just_then_keeps_nobody_out(opened: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PATIENCE_SECONDS", 0.0)
    Leaving(opened)
    replaced: list[bool] = []
    opened.exchange(lambda: replaced.append(True))
    assert replaced
    with opened.cursor() as cursor:
        assert cursor.execute("select 1").fetchall() == [(1,)]


class Idle(Leaving):
    """A reader that is between two statements when it is interrupted first."""

    interrupts = 0

    def interrupt(self) -> None:
        self.interrupts += 1
        if self.interrupts == 2:
            super().interrupt()


def test_who_did_not_notice_is_interrupted_again(opened: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "PATIENCE_SECONDS", 0.0)
    idle = Idle(opened)
    opened.exchange(lambda: None)
    assert idle.interrupts == 2


def test_who_waits_in_vain_is_told_what_for(opened: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "ADMISSION_SECONDS_MAX", 0.0)

    def replace() -> None:
        with pytest.raises(QueryNotAdmitted, match="are being replaced"), opened.cursor():
            pass

    opened.exchange(replace)
    monkeypatch.setattr(readers, "READERS_MAX", 0)
    with pytest.raises(QueryNotAdmitted, match="too many"), opened.cursor():
        pass
