"""The log's events once more: all of them, in their order, marked, from anywhere to anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.bus import Delivery
from rookery.eventstore import Log, Record, Replay, Wish
from rookery.schemas import Mark, mark_in
from rookery.tests.eventstore.deliveries import deliver, event, many, moment, raw


def told(replay: Replay) -> list[Mark]:
    return [mark for one in replay if (mark := mark_in(one.payload)) is not None]


def addresses(replay: Replay) -> list[str]:
    return [mark.replayaddress for mark in told(replay)]


def place(text: str) -> dict[str, int]:
    return {origin: int(n) for origin, _, n in (part.partition(":") for part in text.split(","))}


def test_what_is_told_is_what_was_published_with_a_mark_in_front(log: Log) -> None:
    log.append("here", many(20))
    log.seal_full_segments()
    retold = list(Replay(log, "past", after={}, up_to=log.vector()))
    assert [one.payload.partition(b'"specversion"')[2] for one in retold] == [
        record.payload.partition(b'"specversion"')[2] for record in log.read("here")
    ]
    assert mark_in(retold[6].payload) == Mark("past", "here:7", moment(7), "here:7")
    assert retold[6].event.id == "id-run-7"


def test_a_replay_goes_from_behind_one_vector_up_to_another(log: Log) -> None:
    log.append("here", many(20))
    log.append("there", many(5, first=100))
    assert addresses(Replay(log, "p", after={"here": 17}, up_to={"here": 19})) == ["here:18", "here:19"]
    assert addresses(Replay(log, "p", after={"here": 19}, up_to={"here": 3})) == []
    assert addresses(Replay(log, "p", after={"there": 4, "elsewhere": 3}, up_to={"there": 5})) == ["there:5"]
    assert addresses(Replay(log, "p", after={}, up_to={"nowhere": 9})) == []


def test_origins_are_told_beside_each_other_as_they_were_recorded(log: Log) -> None:
    log.append("east", [deliver(at, event(f"e{at}", at=at)) for at in (1, 4, 5)])
    log.append("west", [deliver(at, event(f"w{at}", at=at)) for at in (2, 3, 6)])
    marks = told(Replay(log, "p", after={}, up_to=log.vector()))
    assert [mark.replayaddress for mark in marks] == ["east:1", "west:1", "west:2", "east:2", "east:3", "west:3"]
    assert marks[3].replayposition == "east:2,west:2"


def test_filters_leave_the_rest_out(log: Log) -> None:
    log.append("here", many(20))
    log.seal_full_segments()

    def third(record: Record) -> bool:
        return record.n % 3 == 0

    wish = Wish(types=["run.started"], admits=third)
    assert addresses(Replay(log, "p", after={}, up_to={"here": 16}, wish=wish)) == ["here:3", "here:9", "here:15"]
    assert addresses(Replay(log, "p", after={}, up_to=log.vector(), wish=Wish(entity=("run", "run-12")))) == ["here:12"]
    assert addresses(Replay(log, "p", after={}, up_to=log.vector(), wish=Wish(source="/nobody"))) == []


def test_what_is_no_event_is_left_out_and_counted(log: Log) -> None:
    log.append("here", [*many(3), raw(4, b"junk"), *many(2, first=5)])
    replay = Replay(log, "p", after={}, up_to=log.vector())
    assert addresses(replay) == ["here:1", "here:2", "here:3", "here:5", "here:6"]
    assert (replay.left_out, replay.events_seen, replay.events_total) == (1, 6, 6)


def test_what_was_replayed_is_no_new_fact_to_the_log(log: Log) -> None:
    log.append("here", many(3))
    (second,) = Replay(log, "past", after={"here": 1}, up_to={"here": 2})
    log.append("here", [Delivery(4, "evt.run.run-2.completed.coder-7", second.payload, moment(4))])
    (letter,) = log.dead_letters()
    assert (letter.n, letter.field) == (4, "replayaddress")
    assert "no new fact" in letter.reason
    assert "here:2" in letter.reason
    assert addresses(Replay(log, "again", after={}, up_to=log.vector())) == ["here:1", "here:2", "here:3"]


def test_a_stopped_replay_ends(log: Log) -> None:
    log.append("here", many(20))
    replay = Replay(log, "p", after={}, up_to=log.vector())
    found = iter(replay)
    next(found)
    replay.stop()
    assert list(found) == []


@settings(deadline=None, max_examples=40)
@given(
    origins=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    window=st.integers(1, 9),
)
def test_whoever_goes_on_behind_the_last_event_misses_nothing_and_hears_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, origins: list[str], cuts: list[int], window: int
) -> None:
    with Log.open(tmp_path_factory.mktemp("log") / "log", segment_events_max=4) as log:
        for at, origin in enumerate(origins, 1):
            log.append(origin, [deliver(at, event(f"{origin}-{at}", at=at))])
        log.seal_full_segments()
        whole = addresses(Replay(log, "p", after={}, up_to=log.vector()))
        after: dict[str, int] = {}
        pieces: list[str] = []
        for cut in [*cuts, len(origins)]:
            marks = told(Replay(log, "p", after=after, up_to=log.vector(), window_events=window))[:cut]
            pieces += [mark.replayaddress for mark in marks]
            after = place(marks[-1].replayposition) if marks else after
        assert len(whole) == len(origins)
        assert pieces == whole
