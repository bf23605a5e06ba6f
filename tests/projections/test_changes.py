"""What became of a read model between two moments, and by which events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.projections import Leash, UnknownReadModel, readers
from rookery.projections.asking import ReadModels
from rookery.projections.changes import EVENTS_PER_CHANGE_MAX, Changes, changes
from rookery.projections.lineage import Address, Behind, Lineage, Touched
from rookery.schemas import Event, LlmCallCompleted, RunCompleted, RunStarted

from .colony import Colony, fact
from .test_convergence import CATALOGUE, folders, histories, relaxed, with_history

__all__ = ["folders"]

Vector = dict[str, int]


class History:
    """A log, and what the tables of a node that stopped at some moment of it say."""

    def __init__(self, colony: Colony) -> None:
        self.colony = colony
        self._folders = count()

    @contextmanager
    def at(self, vector: Vector | None, names: Sequence[str] = (), leash: Leash | None = None) -> Iterator[ReadModels]:
        if vector is None:
            yield self.colony.projections
            return
        with Colony(self.colony.folder / f"moment-{next(self._folders)}") as past:
            for origin, last in vector.items():
                past.append([record.payload for record in self.colony.log.read(origin, limit=last)], origin)
            past.projections.catch_up()
            yield past.projections

    def rows(self, name: str, vector: Vector) -> dict[tuple[Any, ...], dict[str, Any]]:
        key = CATALOGUE.by_name[name].key
        with self.at(vector) as models:
            return {tuple(row[column] for column in key): row for row in models.rows(name).records()}

    def changes(self, name: str, start: Vector, end: Vector | None, *, limit: int = 1_000) -> Changes:
        with closing(Lineage(CATALOGUE, self.colony.log, self.colony.folder)) as lineage:
            return changes(self.at, lineage, name, start, end, limit=limit, leash=Leash())


@settings(relaxed, max_examples=6)
@given(history=histories, data=st.data())
def test_the_changes_between_any_two_moments_are_all_that_differs(
    folders: Iterator[Path], history: dict[str, list[Event]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(CATALOGUE.by_name)))
    start, end = (
        {origin: data.draw(st.integers(0, len(happened))) for origin, happened in history.items()} for _ in range(2)
    )
    with with_history(next(folders), history) as colony:
        past = History(colony)
        old, new = past.rows(name, start), past.rows(name, end)
        found = past.changes(name, start, end)
    expected = {key: (old.get(key), new.get(key)) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    assert {tuple(one.key.values()): (one.before, one.after) for one in found.changes} == expected
    assert all(one.events.total > 0 for one in found.changes)
    assert not found.truncated


@pytest.fixture
def runs(colony: Colony) -> History:
    """A run that ends after the third event, and one that begins with the fourth."""
    started = [fact(RunStarted(task="mend it"), "run-1"), fact(RunStarted(), "run-2")]
    call = LlmCallCompleted(provider="p", request_model="m", run_id="run-1", cost_usd="0.5")
    return History(
        colony.append(
            [*started, fact(call, "c-1", 1), fact(RunStarted(), "run-3", 2), fact(RunCompleted(), "run-1", 3)]
        )
    )


def test_a_change_tells_its_columns_and_the_events_that_made_it(runs: History) -> None:
    changed, added = runs.changes("runs", {"here": 2}, {"here": 5}).changes
    assert (changed.kind, changed.key) == ("changed", {"run_id": "run-1"})
    assert changed.columns["status"] == ("running", "completed")
    assert changed.columns["cost_usd"] == (None, "0.5")
    assert "task" not in changed.columns
    assert changed.events == Behind(2, [Address("here", 3), Address("here", 5)])
    assert (added.kind, added.key, added.before, added.columns) == ("added", {"run_id": "run-3"}, None, {})
    assert added.events == Behind(1, [Address("here", 4)])


def test_what_came_since_is_removed_where_the_end_is_the_earlier_moment(runs: History) -> None:
    changed, removed = runs.changes("runs", {"here": 5}, {"here": 2}).changes
    assert changed.columns["status"] == ("completed", "running")
    assert (removed.kind, removed.after) == ("removed", None)


def test_nothing_changes_within_no_time(runs: History) -> None:
    assert runs.changes("runs", {"here": 3}, {"here": 3}).changes == []


def test_without_an_end_the_changes_are_up_to_what_the_live_tables_hold(runs: History) -> None:
    runs.colony.projections.catch_up()
    runs.colony.append([fact(RunStarted(), "run-4")])
    found = runs.changes("runs", {"here": 4}, None)
    assert (found.start, found.end) == ({"here": 4}, {"here": 5})
    assert [one.key["run_id"] for one in found.changes] == ["run-1"]


class Interrupted(Lineage):
    """Has something done before its first look at the events."""

    def __init__(self, colony: Colony, meanwhile: Callable[[], object]) -> None:
        super().__init__(CATALOGUE, colony.log, colony.folder)
        self.meanwhile: Callable[[], object] | None = meanwhile

    def touched(
        self, name: str, after: Vector, until: Vector, *, limit: int, events_max: int, leash: Leash
    ) -> list[Touched]:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        return super().touched(name, after, until, limit=limit, events_max=events_max, leash=leash)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("start", [{}, {"here": 3}, {"here": 7}])
def test_the_long_look_keeps_no_tables_from_being_replaced_and_what_comes_meanwhile_counts(
    runs: History, monkeypatch: pytest.MonkeyPatch, start: Vector, limit: int
) -> None:
    colony = runs.colony
    colony.projections.catch_up()

    def meanwhile() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(readers, "READERS_MAX", 1)
            patched.setattr(readers, "ADMISSION_SECONDS_MAX", 0.0)
            colony.projections.rows("agents")  # its reader is the only one
        colony.given(fact(RunStarted(), "run-0", 9), fact(RunCompleted(), "run-1", 10), fact(RunStarted(), "run-5", 11))

    with closing(Interrupted(colony, meanwhile)) as lineage:
        found = changes(runs.at, lineage, "runs", start, None, limit=limit, leash=Leash())
    assert found == runs.changes("runs", start, None, limit=limit)
    assert found.end == {"here": 8}


def test_a_read_model_of_one_row_changes_as_a_whole(runs: History) -> None:
    (change,) = runs.changes("fleet", {}, {"here": 5}).changes
    assert (change.kind, change.key, change.columns["runs"]) == ("changed", {}, (0, 3))


def test_more_rows_than_the_limit_are_not_looked_at(runs: History) -> None:
    found = runs.changes("runs", {}, {"here": 5}, limit=2)
    assert ([one.key["run_id"] for one in found.changes], found.truncated) == (["run-1", "run-2"], True)


def test_of_many_events_the_first_are_named_and_all_are_counted(colony: Colony) -> None:
    call = LlmCallCompleted(provider="p", request_model="m")
    past = History(colony.append([fact(call, f"c-{n}") for n in range(30)]))
    (change,) = past.changes("cost_by_model", {}, {"here": 30}).changes
    assert change.events.total == 30
    assert change.events.addresses == [Address("here", n + 1) for n in range(EVENTS_PER_CHANGE_MAX)]


def test_only_read_models_change(runs: History) -> None:
    with pytest.raises(UnknownReadModel, match="runs"):
        runs.changes("rums", {}, {"here": 5})
