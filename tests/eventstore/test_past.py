"""How far the log was at a time: by when the bus stored the events, whichever files hold them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.tests.eventstore.deliveries import many

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def deliveries(seconds: list[int]) -> list[Delivery]:
    """Events that the bus stored so long after noon, one after another."""
    given = zip(many(len(seconds)), sorted(seconds), strict=True)
    return [delivery._replace(stored_at=at(after)) for delivery, after in given]


@settings(max_examples=40, deadline=None)
@given(
    here=st.lists(st.integers(0, 30), max_size=40),
    there=st.lists(st.integers(0, 30), max_size=20),
    is_sealed=st.booleans(),
    asked=st.lists(st.sampled_from([half / 2 for half in range(-2, 63)]), min_size=1, max_size=8),
)
def test_the_vector_at_a_time_counts_what_was_stored_by_then(
    here: list[int], there: list[int], is_sealed: bool, asked: list[float]
) -> None:
    with (
        TemporaryDirectory() as folder,
        Log.open(Path(folder), segment_events_max=8) as log,
        Log.open(Path(folder), writable=False) as reader,
    ):
        log.append("here", deliveries(here))
        log.append("there", deliveries(there))
        if is_sealed:
            log.seal_full_segments()
        for seconds in asked:
            expected = {"here": sum(one <= seconds for one in here), "there": sum(one <= seconds for one in there)}
            for opened in (log, reader):
                assert opened.vector_at(at(seconds)) == {origin: n for origin, n in expected.items() if n}


def test_a_clock_that_was_set_back_gives_the_end_of_lines_that_all_were_recorded_by_then(tmp_path: Path) -> None:
    with Log.open(tmp_path, segment_events_max=8) as log:
        times = [0, 10, 20, 5, 15, 30]
        log.append("here", [one._replace(stored_at=at(after)) for one, after in zip(many(6), times, strict=True)])
        for seconds in range(31):
            n = log.vector_at(at(seconds)).get("here", 0)
            assert n == 0 or times[n - 1] <= seconds
            assert n == len(times) or times[n] > seconds


def test_the_time_of_a_vector_is_when_its_last_event_was_stored(tmp_path: Path) -> None:
    with Log.open(tmp_path) as log:
        log.append("here", [one._replace(stored_at=at(one.sequence)) for one in many(6)])
        assert log.time_of({"here": 3}) == at(3)
        assert log.time_of({}) is None
