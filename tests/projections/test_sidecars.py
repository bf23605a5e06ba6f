"""Side-cars hold what the log holds, are used only where that is certain, and are made again wherever it isn't."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log
from rookery.projections import Catalogue, FoldFailed, Resources, SideCarFailed, SideCars, loader, sidecars
from rookery.projections.definitions import parse
from rookery.projections.engine import Engine
from rookery.projections.loader import Batch, Loader
from rookery.projections.relations import relations
from rookery.projections.selection import Selection
from rookery.projections.tables import Making
from rookery.projections.tables import Tables as FileOfTables
from rookery.schemas import Event, FeedbackGivenV1, MessageRecorded, RunStarted

from .colony import ORIGIN, Colony, fact
from .test_convergence import CATALOGUE, Tables, folded_at_once, folders, histories, relaxed

__all__ = ["folders"]  # a fixture

SEGMENT_EVENTS = 4
FAILING = """-- projection: {0}   version: 1
-- What can't be folded.

create table {0} (run_id varchar);

-- fold: run_started
insert into {0} select error('no such thing') from run_started;
"""
few = settings(relaxed, max_examples=8)
NOT_AT_ALL = threading.Event()  # stops nothing


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[Colony]:
    """Three sealed segments, with an event of a superseded type and something that is no event among them."""
    with Colony(tmp_path, segment_events_max=SEGMENT_EVENTS) as colony:
        runs = [fact(RunStarted(task=f"Task {number}"), f"run-{number}", number) for number in range(10)]
        colony.append([*runs[:5], b"no event", fact(FeedbackGivenV1(run_id="run-1", stars=4), "f-1"), *runs[5:]])
        colony.log.seal_full_segments()
        yield colony


@pytest.fixture
def side_cars(sealed: Colony) -> SideCars:
    return SideCars(sealed.folder / "columns", sealed.log)


def made(side_cars: SideCars) -> int:
    return side_cars.make_missing(NOT_AT_ALL, lambda _: 0)


def again(side_cars: SideCars, log: Log) -> SideCars:
    """The same side-cars, as another process sees them."""
    return SideCars(side_cars.folder, log)


def rows(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    found = con.execute("from events order by origin, n")
    names = [name for name, *_ in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def through_lines(colony: Colony, origin: str, first: int, last: int) -> list[dict[str, Any]]:
    con = duckdb.connect()
    reader = Loader(colony.log, Selection.of_everything(), colony.folder)
    reader.prepare(con)
    reader.load(con, Batch(origin, first, last))
    return rows(con)


def test_a_side_car_holds_its_segments_events_in_their_newest_shape(sealed: Colony, side_cars: SideCars) -> None:
    assert made(side_cars) == 3
    paths = tuple(path for segment in sealed.log.segments(ORIGIN) if (path := side_cars.current(segment)))
    con = duckdb.connect()
    reader = Loader(sealed.log, Selection.of_everything(), sealed.folder, side_cars)
    reader.prepare(con)
    found = reader.load(con, Batch(ORIGIN, 1, 12, paths, columnar=True, whole=True))
    assert found == {"run_started", "feedback_given"}
    assert rows(con) == through_lines(sealed, ORIGIN, 1, 12)
    assert len(rows(con)) == 11


@few
@given(history=histories)
def test_side_cars_give_the_same_tables_as_the_log(
    folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch, history: dict[str, list[Event]]
) -> None:
    with Colony(next(folders), segment_events_max=2 * SEGMENT_EVENTS) as colony:
        for origin, happened in history.items():
            colony.append(happened, origin)
        colony.log.seal_full_segments()
        side_cars = SideCars(colony.folder / "columns", colony.log)
        made(side_cars)
        tables = Tables(colony)
        tables.engine = Engine((tables.con, tables.con.cursor()), CATALOGUE, colony.log, colony.folder, side_cars)
        tables.engine.open()
        with monkeypatch.context() as patched:
            patched.setattr(loader, "EVENTS_WORTH_A_SEGMENT", 1)
            patched.setattr(loader, "SIDE_CARS_PER_BATCH_MAX", 2)
            tables.engine.catch_up()
        assert tables.digests() == folded_at_once(colony)


@few
@given(history=histories, data=st.data())
def test_a_spread_is_what_the_log_holds_between_two_vectors(
    folders: Iterator[Path], history: dict[str, list[Event]], data: st.DataObject
) -> None:
    with Colony(next(folders), segment_events_max=2 * SEGMENT_EVENTS) as colony:
        for origin, happened in history.items():
            colony.append(happened, origin)
        colony.log.seal_full_segments()
        until = {origin: data.draw(st.integers(0, last)) for origin, last in colony.log.vector().items()}
        after = {origin: data.draw(st.integers(0, last)) for origin, last in until.items()}
        side_cars = SideCars(colony.folder / "columns", colony.log)
        con = duckdb.connect()
        reader = Loader(colony.log, Selection.of_everything(), colony.folder, side_cars)
        reader.prepare(con)
        reader.spread(con, after, until)
        spans = [(origin, after[origin] + 1, last) for origin, last in sorted(until.items())]
        assert rows(con) == [row for span in spans for row in through_lines(colony, *span)]
        con.execute("; ".join(f"from {name}" for name in relations()))


def test_a_batch_of_lines_takes_the_place_of_side_cars_and_they_of_it(sealed: Colony, side_cars: SideCars) -> None:
    con = duckdb.connect()
    reader = Loader(sealed.log, Selection.of_everything(), sealed.folder, side_cars)
    reader.prepare(con)
    for _ in range(2):
        reader.spread(con, {}, {ORIGIN: 12})
        assert len(rows(con)) == 11
        reader.load(con, Batch(ORIGIN, 1, 3))
        assert len(rows(con)) == 3
    reader.unload(con)
    assert rows(con) == []


def without_its_note(path: Path) -> None:
    path.with_suffix(".json").unlink()


def with_a_torn_note(path: Path) -> None:
    path.with_suffix(".json").write_bytes(b'{"made_from": "')


def with_another_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [without_its_note, with_a_torn_note, with_another_byte, cut_short, gone])
def test_a_side_car_that_is_not_whole_is_not_used_and_made_again(
    sealed: Colony, side_cars: SideCars, harm: Any
) -> None:
    made(side_cars)
    segment = sealed.log.segments(ORIGIN)[1]
    path = side_cars.make(segment)
    before = path.read_bytes()
    harm(path)
    found = again(side_cars, sealed.log)
    assert found.current(segment) is None
    assert found.unmade() == 1
    assert made(found) == 1
    assert found.make(segment).read_bytes() == before
    assert again(side_cars, sealed.log).unmade() == 0


def test_side_cars_of_other_schemas_are_made_again(
    sealed: Colony, side_cars: SideCars, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(side_cars)
    monkeypatch.setattr(sidecars, "reading_fingerprint", lambda: "tomorrow's")
    assert side_cars.unmade() == 3
    assert made(side_cars) == 3
    assert side_cars.unmade() == 0


def test_side_cars_of_another_log_are_not_used(sealed: Colony, side_cars: SideCars, tmp_path: Path) -> None:
    made(side_cars)
    with Colony(tmp_path / "other", segment_events_max=SEGMENT_EVENTS) as other:
        other.append([fact(RunStarted(task="Another"), f"run-{number}") for number in range(SEGMENT_EVENTS)])
        other.log.seal_full_segments()
        shutil.copytree(side_cars.folder, other.folder / "columns")
        found = SideCars(other.folder / "columns", other.log)
        assert found.unmade() == 1
        made(found)
        assert len(list(found.folder.glob("*/*.parquet"))) == 1  # and those of no segment are gone


def test_what_a_killed_process_left_half_made_is_removed(sealed: Colony, side_cars: SideCars) -> None:
    (side_cars.folder / ".making-x").mkdir(parents=True)
    (side_cars.folder / ".making-x" / "half.parquet").write_bytes(b"PAR1")
    assert made(side_cars) == 3
    assert sorted(path.name for path in side_cars.folder.iterdir()) == [ORIGIN]


def test_one_that_can_not_be_made_keeps_no_other_from_being_made(side_cars: SideCars) -> None:
    in_the_way = side_cars.folder / ORIGIN / "00000000000000000001.parquet"
    in_the_way.mkdir(parents=True)
    with pytest.raises(SideCarFailed, match=r"no side-car of events here:1 to 4: .*directory"):
        made(side_cars)
    assert side_cars.unmade() == 1
    in_the_way.rmdir()
    assert made(side_cars) == 1


def test_making_ends_when_it_is_told_to(side_cars: SideCars) -> None:
    stop = threading.Event()

    def pace(_: float) -> float:
        stop.set()
        return 60.0  # which nobody waits for

    assert side_cars.make_missing(stop, pace) == 1
    assert side_cars.unmade() == 2


def test_who_ends_waits_for_no_side_car_to_be_looked_at(
    sealed: Colony, side_cars: SideCars, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert made(side_cars) == 3
    looked_at: list[Path] = []

    def is_whole(path: Path, made_from: str) -> bool:
        looked_at.append(path)
        return True

    monkeypatch.setattr(sidecars, "_is_whole", is_whole)
    stop = threading.Event()
    stop.set()
    found = again(side_cars, sealed.log)
    assert found.make_missing(stop, lambda _: 0) == 0
    assert looked_at == []
    assert made(found) == 0
    assert len(looked_at) == 3


def test_a_rebuild_from_side_cars_gives_what_folding_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "EVENTS_WORTH_A_SEGMENT", 1)
    with Colony(tmp_path, segment_events_max=SEGMENT_EVENTS) as colony:
        said = [fact(MessageRecorded(run_id="r", step=n, role="user", content="é\x00"), f"m-{n}") for n in range(14)]
        colony.given(*said)
        colony.log.seal_full_segments()
        assert made(colony.projections.side_cars) == 3
        report = colony.projections.rebuild()
        assert report.digests_before == report.digests_after
        assert len(colony.rows("messages")) == 14


@pytest.mark.parametrize("name", ["aardvarks", "zebras"])
def test_a_fold_of_side_cars_that_fails_is_told_of_and_moves_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(loader, "EVENTS_WORTH_A_SEGMENT", 1)
    failing = parse(FAILING.format(name), f"{name}.sql")
    with Colony(tmp_path, segment_events_max=SEGMENT_EVENTS) as colony:
        colony.append(fact(RunStarted(), f"run-{number}") for number in range(8)).log.seal_full_segments()
        side_cars = SideCars(tmp_path / "columns", colony.log)
        made(side_cars)
        making = Making(colony.log, Catalogue([*CATALOGUE.projections, failing]), Resources(), tmp_path, side_cars)
        with closing(FileOfTables.open(tmp_path / "disposable.duckdb", making, disposable=True)) as opened:
            with pytest.raises(FoldFailed, match=f"projection {name} can't fold events here:1 to 8: .*no such thing"):
                opened.engine.catch_up()
            assert opened.vector() == {}
