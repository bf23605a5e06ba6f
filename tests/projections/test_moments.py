"""Moments of the past as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest
from rookery.eventstore import Log
from rookery.projections import InvalidMoment, moment_of, moment_text, time_of
from rookery.schemas import RunStarted

from .colony import NOON, ORIGIN, Colony, at, fact

NOW = NOON + timedelta(days=3)
EVENTS = 20
ALL = {ORIGIN: EVENTS, "west": 5}


@pytest.fixture
def log(colony: Colony) -> Log:
    """The n-th event of each of two origins was stored n milliseconds after noon."""
    colony.append(fact(RunStarted(), f"run-{n}") for n in range(EVENTS))
    colony.append((fact(RunStarted(), f"west-{n}") for n in range(5)), "west")
    return colony.log


def test_a_time_is_how_far_the_log_was_then(log: Log) -> None:
    expected = {ORIGIN: 7, "west": 5}
    stored = at(0.007)
    assert moment_of(stored.isoformat(), log, now=NOW) == expected
    assert moment_of("2026-11-20T12:00:00.0075Z", log, now=NOW) == expected
    assert moment_of("2026-11-20 12:00:00.007", log, now=NOW) == expected
    assert moment_of(" 2026-11-20T14:00:00.007+02:00 ", log, now=NOW) == expected


def test_a_plus_that_a_url_lost_is_found_again(log: Log) -> None:
    assert moment_of("2026-11-20T14:00:00.007 02:00", log, now=NOW) == {ORIGIN: 7, "west": 5}


def test_a_date_is_its_first_moment_in_utc(log: Log) -> None:
    assert moment_of("2026-11-20", log, now=NOW) == {}
    assert moment_of("2026-11-21", log, now=NOW) == ALL


@pytest.mark.parametrize(
    ("ago", "is_after"),
    [("3 days ago", True), ("71h ago", True), ("4 days ago", False), ("1 week ago", False), ("4330 min ago", False)],
)
def test_so_long_ago_counts_from_now(log: Log, ago: str, is_after: bool) -> None:
    assert moment_of(ago, log, now=NOW + timedelta(seconds=1)) == (ALL if is_after else {})


def test_a_vector_names_the_origins_that_it_has_events_of(log: Log) -> None:
    assert moment_of(f"{ORIGIN}:7", log) == {ORIGIN: 7}
    assert moment_of(f"west:5, {ORIGIN}:0", log) == {"west": 5}


def test_now_and_the_start_have_words_of_their_own(log: Log) -> None:
    assert moment_of("now", log) == ALL
    assert moment_of("start", log) == {}


def test_a_moments_text_is_that_moment(log: Log) -> None:
    for here, west in product((0, 1, EVENTS), (0, 5)):
        moment = {origin: n for origin, n in ((ORIGIN, here), ("west", west)) if n}
        assert moment_of(moment_text(moment), log) == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no moment"),
        ("last tuesday", "is no moment"),
        ("2026-13-01", "is no moment"),
        ("here:-1", "is no moment"),
        ("here:1,", "is no moment"),
        ("here:" + "9" * 19, "is no moment"),
        ("2026-11-24", "is in the future: it is 2026-11-23T12:00:00+00:00 now"),
        ("2026-11-23T13:00+00:30", "is in the future"),
        ("here:21", "the log of 'here' ends at 20"),
        ("east:1", "the log has no origin 'east'; it has here, west"),
        ("here:1,here:1", "names here twice"),
        ("3 fortnights ago", "'fortnights' is no unit of time"),
        ("999999999 weeks ago", "beyond the years"),
        ("0001-01-01T00:00+01:00", "beyond the years"),
        ("here:1," * 2_000, "is longer than"),
    ],
)
def test_what_is_no_moment_of_the_log_is_refused(log: Log, text: str, reason: str) -> None:
    with pytest.raises(InvalidMoment, match=re.escape(reason)) as refused:
        moment_of(text, log, now=NOW)
    assert len(str(refused.value)) < 300


def test_a_moment_of_a_log_without_events_is_its_start(colony: Colony) -> None:
    assert moment_of("now", colony.log) == moment_of("2020-01-01", colony.log) == {}


def test_the_time_of_a_moment_is_the_one_that_was_named_or_that_of_the_last_event(log: Log) -> None:
    assert time_of("2026-11-20", log, now=NOW) == datetime(2026, 11, 20, tzinfo=UTC)
    assert time_of("1h ago", log, now=NOW) == NOW - timedelta(hours=1)
    assert time_of(f"{ORIGIN}:7,west:3", log, now=NOW) == at(0.007)
    assert time_of("now", log, now=NOW) == time_of("start", log, now=NOW) == NOW
