"""Finding events in the log: by id, and by what they are about."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.eventstore import Log, LogDamaged
from rookery.schemas import Event, decode, encode
from rookery.tests.eventstore.deliveries import (
    deliver,
    event,
    feedback,
    many,
    moment,
    raw,
    unknown,
)


def test_events_are_found_by_their_ids(log: Log) -> None:
    log.append("here", many(20))
    log.append("there", [deliver(1, event("far"))])
    log.seal_full_segments()
    assert log.find(["id-run-3", "id-run-19", "id-far", "id-nobody"]) == {
        "id-run-3": ("here", 3),
        "id-run-19": ("here", 19),
        "id-far": ("there", 1),
    }


def searched(log: Log, **wanted: Any) -> list[tuple[str, int]]:
    return [(record.origin, record.n) for record in log.search(**wanted)]


def test_a_search_gives_what_fits_all_that_is_asked(log: Log) -> None:
    log.append("here", [*many(10), deliver(11, feedback("run-3")), raw(12, b"junk"), unknown(13)])
    log.append("there", [deliver(1, event("run-3", source="/agents/other", at=3))])
    log.seal_full_segments()
    assert len(searched(log)) == 14
    assert searched(log, types=["run.started"], limit=2) == [("here", 1), ("here", 3)]
    assert searched(log, entity=("run", "run-3")) == [("here", 3), ("there", 1)]
    assert searched(log, entity=("feedback", "run-3")) == [("here", 11)]
    assert searched(log, source="/agents/other") == [("there", 1)]
    assert searched(log, types=["gizmo.turned"]) == [("here", 13)]
    assert searched(log, since=moment(4), until=moment(6)) == [("here", 4), ("here", 5)]
    assert searched(log, since=moment(8), until=moment(9)) == [("here", 8)]
    assert searched(log, after={"here": 9}, types=["run.started", "run.completed"]) == [("here", 10), ("there", 1)]
    assert searched(log, since=moment(500)) == []


def test_a_search_by_type_finds_also_who_writes_it_with_escapes(log: Log) -> None:
    first, second = event("run-1"), event("run-2")
    name = second.type.encode()
    escaped = encode(second).replace(name, name.replace(b".", rb"\u002e"))
    assert name not in escaped
    log.append("here", [deliver(1, first), deliver(2, second)._replace(payload=escaped), deliver(3, feedback("run-1"))])
    assert searched(log, types=[second.type]) == [("here", 1), ("here", 2)]


def test_a_search_ends_where_a_vector_says_and_leaves_out_origins_that_it_does_not_name(log: Log) -> None:
    log.append("here", many(20))
    log.append("there", many(3, first=50))
    log.seal_full_segments()
    assert searched(log, after={"here": 5}, up_to={"here": 7}) == [("here", 6), ("here", 7)]
    assert searched(log, after={"here": 15}, up_to={"here": 99}) == [("here", n) for n in range(16, 21)]
    assert searched(log, up_to={"here": 2, "there": 1}, types=["run.completed"]) == [("here", 2), ("there", 1)]
    assert searched(log, up_to={}) == []


def test_a_search_for_an_entity_passes_by_the_segments_that_are_not_about_it(log: Log) -> None:
    log.append("here", many(16))
    log.seal_full_segments()
    log.files()[0].unlink()
    assert searched(log, entity=("run", "run-12")) == [("here", 12)]
    with pytest.raises(LogDamaged):
        searched(log, entity=("run", "run-3"))


@settings(deadline=None, max_examples=25)
@given(
    wanted=st.fixed_dictionaries(
        {},
        optional={
            "types": st.sets(st.sampled_from(["run.started", "run.completed", "feedback.given", "gizmo.turned"])),
            "entity": st.sampled_from([("run", "run-8"), ("gizmo", "g"), ("feedback", "run-9")]),
            "source": st.sampled_from(["/agents/coder-7", "/people/ann", "/nobody"]),
            "since": st.integers(0, 60).map(moment),
            "until": st.integers(0, 60).map(moment),
        },
    )
)
def test_a_search_that_passes_segments_by_finds_what_a_full_scan_finds(filled: Log, wanted: dict[str, Any]) -> None:
    found = searched(filled, **wanted)
    scanned = [
        ("here", record.n)
        for record in filled.read("here")
        if not wanted or (record.letter is None and fits(decode(record.payload), **wanted))
    ]
    assert found == scanned


def fits(
    event: Event,
    *,
    types: Collection[str] | None = None,
    entity: tuple[str, str] | None = None,
    source: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> bool:
    return (
        (types is None or event.type in types)
        and (entity is None or entity == (event.entity, event.subject))
        and (source is None or source == event.source)
        and (since is None or event.time >= since)
        and (until is None or event.time < until)
    )
