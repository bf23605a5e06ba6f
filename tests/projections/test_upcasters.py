"""An old version of an event is the newest one to every reader: live, rebuilt, in the past, from columns, restored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from rookery.eventstore import Log
from rookery.eventstore.archive import archive, restore, trim
from rookery.eventstore.stores import open_store
from rookery.projections import Projections
from rookery.projections.graph import Graph
from rookery.schemas import Event, FeedbackGiven, FeedbackGivenV1, RunStarted, decode_data, type_of

from .colony import Colony, at

ORIGINS = ["here", "elsewhere"]
LATER = datetime.max.replace(tzinfo=at(0).tzinfo)


def histories(version: int) -> list[Event]:
    """The same feedback in the first version of its shape or the second, among other events, with the same ids."""
    found: list[Event] = []
    for number in range(1, 6):
        old = FeedbackGivenV1(run_id=f"r{number}", stars=number, comment="so so" if number % 2 else None)
        given = old if version == 1 else decode_data(type_of(old), Event.of(old, subject="f", source="/a").data)
        assert isinstance(given, FeedbackGivenV1 if version == 1 else FeedbackGiven)
        envelope = {"source": "/people/ann", "id": f"given-{number}", "time": at(number)}
        found.append(
            Event.of(RunStarted(), subject=f"r{number}", source="/agents/a", id=f"r-{number}", time=at(number))
        )
        found.append(Event.of(given, subject=f"f{number}", **envelope))  # type: ignore[arg-type]
    return found


def colony(folder: Path, version: int) -> Colony:
    made = Colony(folder, segment_events_max=4)
    for origin in ORIGINS:
        for event in histories(version):
            made.append([event], origin)
            made.projections.catch_up()
    return made


@pytest.fixture
def newest(tmp_path: Path) -> Iterator[Colony]:
    with colony(tmp_path / "newest", 2) as made:
        yield made


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Colony]:
    with colony(tmp_path / "old", 1) as made:
        yield made


def judged(models: Projections) -> list[tuple[object, ...]]:
    return [
        (row["feedback_id"], row["score"], row["kind"], row["comment"]) for row in models.rows("feedback").records()
    ]


def test_every_reader_reads_an_old_version_as_the_newest(old: Colony, newest: Colony, tmp_path: Path) -> None:
    expected = newest.projections.digests()
    assert len(judged(old.projections)) == 10
    assert old.projections.digests() == expected, "live"
    assert old.projections.rebuild().digests_after == expected, "rebuilt from lines"
    old.log.seal_full_segments()
    assert old.projections.rebuild().digests_after == expected, "rebuilt from sealed segments"
    old.projections.side_cars.make_missing(threading.Event(), lambda seconds: 0.0)
    assert old.projections.side_cars.unmade() == 0
    assert old.projections.rebuild().digests_after == expected, "rebuilt from side-cars"
    end, half = old.log.vector(), {"here": 7, "elsewhere": 3}
    for moment in (end, half):
        with old.projections.at(moment) as was, newest.projections.at(moment) as should:
            assert was.rows("feedback").records() == should.rows("feedback").records(), "as of a moment"
    store = open_store(str(tmp_path / "cold"))
    trim(old.log, store, archive(old.log, store).catalogue, before=LATER)
    assert old.projections.rebuild().digests_after == expected, "rebuilt from the archive"
    restore(store, tmp_path / "restored")
    with Log.open(tmp_path / "restored") as log, Projections.open(tmp_path / "restored.duckdb", log) as restored:
        restored.catch_up()
        assert restored.digests() == expected, "restored"


def test_the_graph_says_of_an_old_version_what_it_says_of_the_newest(old: Colony, newest: Colony) -> None:
    said = []
    for made in (old, newest):
        graph = Graph.open(made.folder / "graph", made.log)
        graph.catch_up()
        said.append({str(quad) for quad in graph.store})
        graph.go_to({"here": 7})
        graph.go_to(made.log.vector())
        assert {str(quad) for quad in graph.store} == said[-1], "undone and folded again"
        graph.close()
    assert said[0] == said[1]
