"""The index of ids: derived from the log, made to fit it again whatever happens, and never in the way of an append."""

from __future__ import annotations

import shutil
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log, LogWriteFailed
from rookery.eventstore.ids import IdIndex, event_key
from rookery.eventstore.origin import IDS
from rookery.eventstore.writer import OriginWriter
from rookery.tests.eventstore.deliveries import deliver, event, many

HASH_MIN, HASH_MAX = -(2**63), 2**63 - 1


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IdIndex]:
    opened = IdIndex.open(tmp_path / IDS)
    yield opened
    opened.close()


@settings(deadline=None, max_examples=40)
@given(
    keys=st.lists(st.sampled_from([HASH_MIN, -1, 0, 1, HASH_MAX]), max_size=30),
    together=st.integers(0, 30),
    flushed=st.sets(st.integers(1, 30)),
    cut=st.integers(0, 40),
)
def test_every_line_with_a_key_is_a_candidate(
    tmp_path_factory: pytest.TempPathFactory, keys: list[int], together: int, flushed: set[int], cut: int
) -> None:
    path, held = tmp_path_factory.mktemp("ids") / IDS, defaultdict[int, list[int]](list)
    index = IdIndex.open(path)
    index.add_all(keys[:together], 1)
    for n, key in enumerate(keys, 1):
        held[key].append(n)
        if n > together:
            index.add(key, n)
        if n >= together and n in flushed:
            index.flush()
    assert {key: sorted(index.candidates(key)) for key in keys} == held
    index.flush()
    index.cut_off(min(cut, len(keys)))
    index.close()
    again = IdIndex.open(path)
    assert again.covered == min(cut, len(keys))
    assert {key: again.candidates(key) for key in keys} == {
        key: [n for n in numbers if n <= cut] for key, numbers in held.items()
    }
    again.close()


def test_what_could_not_be_written_is_found_and_written_later(index: IdIndex, tmp_path: Path) -> None:
    room = fill(index)
    for n in range(1, 2_001):
        index.add(event_key(f"id-{n}"), n)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        index.flush()
    assert [index.candidates(event_key(f"id-{n}")) for n in range(1, 2_001)] == [[n] for n in range(1, 2_001)]
    index._database.execute(f"pragma max_page_count = {room}")
    index.flush()
    beside = IdIndex.beside_its_writer(tmp_path / IDS)
    assert beside.covered == 2_000
    assert beside.candidates(event_key("id-7")) == [7]
    beside.close()


def fill(index: IdIndex) -> int:
    """Leave the index no room on its disk; what it had before is returned."""
    (room,) = index._database.execute("pragma max_page_count").fetchone()
    index._database.execute("pragma max_page_count = 1")  # or what it has already, if that is more
    return int(room)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is written with every append, and in which little may wait."""
    monkeypatch.setattr("rookery.eventstore.ids.FLUSH_EVENTS_MIN", 1)
    monkeypatch.setattr("rookery.eventstore.ids.WAITING_EVENTS_MAX", 1_000)


def index_of(log: Log) -> IdIndex:
    (writer,) = log._origins.values()
    assert isinstance(writer, OriginWriter)
    return writer._ids


@pytest.mark.usefixtures("impatient")
def test_a_log_whose_index_has_no_room_goes_on_until_too_much_waits(log: Log) -> None:
    log.append("here", [])
    room = fill(index_of(log))
    for first in (1, 501):
        assert log.append("here", many(500, first=first)).events == 500
    again = [given._replace(sequence=given.sequence + 1_000) for given in many(1_000)]
    with pytest.raises(LogWriteFailed, match=r"ids\.sqlite.* full"):
        log.append("here", again)
    assert log.vector() == {"here": 1_000}
    assert log.bus_sequence("here") == 1_000
    index_of(log)._database.execute(f"pragma max_page_count = {room}")
    assert log.append("here", again).duplicates == 1_000
    log.close()
    with Log.open(log.folder, segment_events_max=8) as opened:
        assert index_of(opened).covered == 1_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of twenty events, and of ten more that its index does not have any more."""
    with Log.open(tmp_path / "log") as log:
        log.append("here", many(20))
    shutil.copy(tmp_path / "log" / "here" / IDS, tmp_path / "older")
    with Log.open(tmp_path / "log") as log:
        log.append("here", many(10, first=21))
    return tmp_path / "log"


def in_two_places(path: Path) -> bytes:
    """A file in which SQLite finds that pages are not what they should be, once it reads them."""
    held = bytearray(path.read_bytes())
    for page in range(1_024, len(held), 1_024):
        held[page : page + 8] = b"damaged!"
    return bytes(held)


LEFT: dict[str, Callable[[Path], bytes | None]] = {
    "nothing": lambda path: None,
    "an empty file": lambda path: b"",
    "no database": lambda path: b"not a database " * 100,
    "half a file": lambda path: path.read_bytes()[: path.stat().st_size // 2],
    "damaged pages": in_two_places,
    "an older one": lambda path: (path.parents[2] / "older").read_bytes(),
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_the_index_is_made_to_fit_the_log(folder: Path, left: Callable[[Path], bytes | None]) -> None:
    path = folder / "here" / IDS
    bytes_left = left(path)
    path.unlink() if bytes_left is None else path.write_bytes(bytes_left)
    with Log.open(folder, writable=False) as reader:
        assert reader.find(["id-run-1", "id-run-21", "nobody"]) == {"id-run-1": ("here", 1), "id-run-21": ("here", 21)}
    with Log.open(folder) as log:
        assert index_of(log).covered == 30
        again = [given._replace(sequence=given.sequence + 30) for given in many(30)]
        assert log.append("here", again).duplicates == 30


def test_another_logs_index_is_not_believed(folder: Path, tmp_path: Path) -> None:
    with Log.open(tmp_path / "other") as other:
        other.append("here", [deliver(at, event(f"other-{at}")) for at in range(1, 31)])
    shutil.copy(tmp_path / "other" / "here" / IDS, folder / "here" / IDS)
    with Log.open(folder, writable=False) as reader:
        assert reader.find(["id-run-7", "id-other-7"]) == {"id-run-7": ("here", 7)}
    with Log.open(folder) as log:
        assert log.find(["id-run-7", "id-other-7"]) == {"id-run-7": ("here", 7)}
        assert index_of(log).candidates(event_key("id-other-7")) == []


def test_an_index_that_is_ahead_of_its_log_is_cut_off(folder: Path) -> None:
    (path,) = (folder / "here").glob("*.ndjson")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:25]))
    with Log.open(folder) as log:
        assert index_of(log).covered == 25
        assert index_of(log).candidates(event_key("id-run-26")) == []
        assert log.append("here", many(5, first=26)).events == 5
        assert log.find(["id-run-30"]) == {"id-run-30": ("here", 30)}


@pytest.mark.usefixtures("impatient")
def test_an_index_that_is_damaged_under_the_log_is_made_anew(folder: Path) -> None:
    with Log.open(folder) as log:
        index_of(log)._database.execute("drop table ids")
        assert log.find(["id-run-7"]) == {"id-run-7": ("here", 7)}
        index_of(log)._database.execute("drop table ids")
        again = [given._replace(sequence=given.sequence + 30) for given in many(40)]
        assert log.append("here", again) == (31, 40, 10, 30)


def test_an_entry_of_which_one_bit_has_turned_lets_no_event_in_twice(tmp_path: Path) -> None:
    events = many(40)
    with Log.open(tmp_path / "log") as log:
        log.append("here", events)
    path = tmp_path / "log" / "here" / IDS
    whole = path.read_bytes()
    for at in range(0, len(whole), 61):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with Log.open(tmp_path / "log") as log:
            log.rewind("here")
            assert log.append("here", events).events == 0


def test_an_index_of_an_older_version_is_taken_as_it_is_and_added_up(tmp_path: Path) -> None:
    index = IdIndex.open(tmp_path / IDS)
    index.add(7, 1)
    index.flush()
    index._database.execute("drop table sums")
    index.close()
    again = IdIndex.open(tmp_path / IDS)
    assert again.candidates(7) == [1]
    again.close()
    with sqlite3.connect(tmp_path / IDS) as database:
        assert database.execute("select * from sums").fetchall() == [(1, 12)]
        database.execute("update ids set key = 6")
    database.close()
    with pytest.raises(sqlite3.DatabaseError, match="do not add up"):
        IdIndex.open(tmp_path / IDS)


def test_a_closed_log_leaves_its_index_in_one_file(folder: Path) -> None:
    assert [path.name for path in (folder / "here").glob("ids*")] == [IDS]


def test_an_index_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "here" / IDS / "in the way").mkdir(parents=True)
    with pytest.raises(LogWriteFailed, match=r"ids\.sqlite|here"):
        Log.open(tmp_path)


def test_keys_that_come_together_stand_beside_those_that_wait(index: IdIndex) -> None:
    index.add(7, 1)
    index.add_all([7, 8], 2)
    assert (sorted(index.candidates(7)), index.candidates(8), index.covered) == ([1, 2], [3], 3)
