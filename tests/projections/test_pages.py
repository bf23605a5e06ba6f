"""Pages by the key: found among the keys before anything is joined, and the same rows as without that."""

from __future__ import annotations

import pytest
from rookery.projections.answers import Column
from rookery.projections.asking import _within_bounds
from rookery.projections.filters import KEYS_PER_ROW_MAX, Condition, Question, prepare
from rookery.schemas import MessageRecorded, RunCompleted, RunFailureAttributed, RunStarted

from .colony import Colony, fact

RUNS = [f"run-{number:02}" for number in range(12)]
COLUMNS = [Column("run_id", "VARCHAR"), Column("status", "VARCHAR")]


@pytest.fixture
def known(colony: Colony) -> Colony:
    """Runs that are known by their start, their end or what was said; one by more mistakes than are looked at."""
    colony.append(fact(RunStarted(), run, 1) for run in RUNS[::3])
    colony.append(fact(RunCompleted(), run, 2) for run in RUNS[1::3])
    colony.append(fact(MessageRecorded(run_id=run, step=0, role="user"), f"m-{run}", 3) for run in RUNS[2::3])
    mistakes = range(KEYS_PER_ROW_MAX * 5)
    return colony.given(
        *(fact(RunFailureAttributed(agent_id="a", step=1, reason="r"), RUNS[3], number) for number in mistakes)
    )


@pytest.mark.parametrize("sort", [(), ("run_id",), ("-run_id",)])
@pytest.mark.parametrize("limit", [1, 4, 11, 12, 13])
def test_pages_by_the_key_are_all_rows_in_order(known: Colony, sort: tuple[str, ...], limit: int) -> None:
    whole = sorted(RUNS, reverse=sort == ("-run_id",))
    assert [row for page in _pages(known, Question(sort=sort), limit) for row in page] == whole


def test_a_condition_on_the_key_holds_for_pages(known: Colony) -> None:
    behind = Question((Condition("run_id", "gt", RUNS[2]), Condition("run_id", "ne", RUNS[5])))
    assert [row for page in _pages(known, behind, 2) for row in page] == [*RUNS[3:5], *RUNS[6:]]


def test_a_page_is_kept_to_its_keys_where_they_are_found(known: Colony) -> None:
    prepared = prepare("runs", COLUMNS, ("run_id",), Question(), "runs_keys")
    with known.projections._readers.cursor() as cursor:
        assert _within_bounds(cursor, prepared, 3).parameters == [RUNS[0], RUNS[2]]
        beyond = _within_bounds(cursor, prepared, len(RUNS) + 1)  # all there are, and fewer than asked for
        assert beyond.parameters == []
        crowded = prepare("runs", COLUMNS, ("run_id",), Question((Condition("run_id", "ge", RUNS[3]),)), "runs_keys")
        assert _within_bounds(cursor, crowded, 2) == crowded  # one run has more keys than two rows are reckoned with


@pytest.mark.parametrize(
    "question",
    [
        Question(sort=("status",)),
        Question((Condition("status", "eq", "running"),)),
        Question((Condition("run_id", "eq", "r"),)),  # one row is found without that
    ],
)
def test_keys_alone_don_t_tell_the_first_rows_of_other_questions(question: Question) -> None:
    assert prepare("runs", COLUMNS, ("run_id",), question, "runs_keys").bounds(10) is None


def test_pages_are_the_same_in_every_format(known: Colony) -> None:
    answer = known.projections.rows("runs", limit=5)
    assert answer.next
    assert known.projections.rows_in("parquet", "runs", limit=5).next == answer.next
    assert known.projections.rows_in("arrow", "runs", limit=5).next == answer.next


def _pages(colony: Colony, question: Question, limit: int) -> list[list[str]]:
    pages = []
    while True:
        answer = colony.projections.rows("runs", question, limit=limit)
        pages.append([record["run_id"] for record in answer.records()])
        if answer.next is None:
            return pages
        assert len(answer.rows) == limit
        question = question._replace(cursor=answer.next)
