"""What is open is known from the log alone: who holds it, and when its time is up."""

from __future__ import annotations

from datetime import timedelta

from rookery.handlers.dispatch import AGAIN_SECONDS, GRACE_SECONDS, Board, Due
from rookery.handlers.reactions import Happened
from rookery.handlers.reactions.scenario import NOON
from rookery.schemas import (
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentReleased,
    AssignmentStarted,
    EventData,
)

LIMITED = AssignmentCreated(kind="lint", timeout_seconds=10)
STARTED = AssignmentStarted(agent_id="a", run_id="r1", attempt=1)
AGAIN = AssignmentStarted(agent_id="b", run_id="r2", attempt=2)
RELEASED = AssignmentReleased(agent_id="a", attempt=1)


def board(*facts: EventData) -> Board:
    """What was said of one assignment, a second apart, the first at noon in line 1."""
    found = Board()
    for at, data in enumerate(facts):
        found.hear("as-1", at + 1, Happened(data, NOON + timedelta(seconds=at)))
    return found


def due(found: Board, seconds: float) -> list[tuple[str, int | None]]:
    return [(one.assignment_id, one.attempt) for one in found.due(NOON + timedelta(seconds=seconds))]


def test_an_attempt_is_due_when_its_time_is_up_and_not_before() -> None:
    found = board(LIMITED, STARTED)
    assert found.next_due == NOON + timedelta(seconds=11 + GRACE_SECONDS)
    assert due(found, 10.9 + GRACE_SECONDS) == []
    assert due(found, 11 + GRACE_SECONDS) == [("as-1", 1)]


def test_the_whole_is_due_also_while_it_waits() -> None:
    found = board(AssignmentCreated(kind="lint", deadline_seconds=5))
    assert due(found, 5) == [("as-1", None)]


def test_what_is_due_comes_again_until_it_is_over() -> None:
    found = board(LIMITED, STARTED)
    assert due(found, 20) == [("as-1", 1)]
    assert due(found, 20) == []
    assert due(found, 20 + AGAIN_SECONDS) == [("as-1", 1)]
    found.hear("as-1", 3, Happened(AssignmentCompleted(agent_id="a"), NOON))
    assert due(found, 99) == []
    assert (found.next_due, found.open) == (None, {})


def test_the_time_of_an_attempt_that_was_released_does_not_count_for_the_next() -> None:
    assert due(board(LIMITED, STARTED, RELEASED), 99) == []
    assert due(board(LIMITED, STARTED, RELEASED, AGAIN), 12 + GRACE_SECONDS) == []
    assert due(board(LIMITED, STARTED, RELEASED, AGAIN), 13 + GRACE_SECONDS) == [("as-1", 2)]


def test_a_time_beyond_all_calendars_is_never_due() -> None:
    assert due(board(AssignmentCreated(kind="lint", deadline_seconds=1e11)), 1e9) == []


def test_what_an_agent_had_before_a_moment_is_known() -> None:
    found = board(LIMITED, STARTED)
    assert list(found.held_by("a", before=3)) == ["as-1"]
    assert list(found.held_by("a", before=2)) == []
    found.hear("as-1", 3, Happened(AGAIN, NOON))
    assert list(found.held_by("a", before=9)) == []
    assert list(found.held_by("b", before=9)) == ["as-1"]


def test_input_is_not_kept() -> None:
    found = board(AssignmentCreated(kind="lint", input="x" * 1_000, metadata={"a": "b"}))
    created = found.open["as-1"].assignment.created
    assert created is not None
    assert (created.input, created.metadata) == (None, None)


def test_what_is_over_elsewhere_can_be_struck_off() -> None:
    found = board(LIMITED, STARTED)
    found.forget("as-1")
    assert (found.open, list(found.held_by("a", before=9)), due(found, 99)) == ({}, [], [])
    assert isinstance(Due(NOON, "as-1", None), tuple)


def test_two_times_that_are_up_in_the_same_moment_are_both_due() -> None:
    both = AssignmentCreated(kind="lint", timeout_seconds=10, deadline_seconds=12)
    found = board(both, STARTED)  # both at 12 s, where the grace is one second
    assert due(found, 12) == [("as-1", None), ("as-1", 1)]
    assert due(found, 12 + AGAIN_SECONDS) == [("as-1", None), ("as-1", 1)]


def test_times_of_what_is_over_are_not_kept_until_they_come() -> None:
    found = Board()
    for at in range(1_000):
        found.hear(f"as-{at}", 2 * at, Happened(AssignmentCreated(kind="lint", deadline_seconds=86_400), NOON))
        found.hear(f"as-{at}", 2 * at + 1, Happened(AssignmentCompleted(agent_id="a"), NOON))
    assert found.times < 200


def test_what_comes_late_about_what_is_over_opens_nothing() -> None:
    found = board(LIMITED, STARTED, AssignmentCompleted(agent_id="a"), STARTED, RELEASED)
    assert (found.open, list(found.held_by("a", before=9))) == ({}, [])
