"""The read models of past moments: as a node that stopped then, made once, kept, and made again when they are lost."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.projections import (
    Catalogue,
    Leash,
    PastNotMade,
    QueryFailed,
    QueryNotAdmitted,
    UnknownReadModel,
    kept,
    loader,
    past,
)
from rookery.projections.engine import Vector
from rookery.projections.kept import Version
from rookery.projections.past import Past
from rookery.projections.sidecars import SideCars
from rookery.schemas import Event, LlmCallCompleted, RunCompleted, RunStarted, ToolCallCompleted

from .colony import ORIGIN, Colony, fact
from .test_convergence import CATALOGUE, Tables, histories

EVENTS = 60
MIDDLE = {ORIGIN: EVENTS // 2}
END = {ORIGIN: EVENTS}
NAMES = sorted(CATALOGUE.by_name)

fractions = st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0])
some_names = st.none() | st.sets(st.sampled_from(NAMES), min_size=1, max_size=3)
questions = st.lists(st.tuples(fractions, fractions, some_names), min_size=1, max_size=4)


@pytest.fixture
def told(colony: Colony) -> Colony:
    """A log of runs, each with a call of a model and one of a tool."""
    return colony.append(event for number in range(EVENTS // 4) for event in run(number))


def run(number: int) -> list[Event]:
    about, agent = f"run-{number}", f"agent-{number % 3}"
    return [
        fact(RunStarted(agent_id=agent), about, number),
        fact(LlmCallCompleted(provider="p", request_model="m", run_id=about, cost_usd="0.5"), f"call-{number}", number),
        fact(ToolCallCompleted(tool="t", run_id=about, agent_id=agent), f"tool-{number}", number),
        fact(RunCompleted(agent_id=agent, success=True), about, number + 1),
    ]


@contextmanager
def past_of(colony: Colony, catalogue: Catalogue = CATALOGUE) -> Iterator[Counting]:
    with closing(Counting(colony.folder / "past", colony.log, catalogue)) as opened:
        yield opened


def files_of(colony: Colony) -> list[Path]:
    return sorted((colony.folder / "past").glob("*.duckdb"))


def digests_of(opened: Past, moment: Vector, *names: str) -> dict[str, str]:
    with opened.at(moment, names or None) as models:
        return models.digests()


def stopped_at(history: dict[str, list[Event]], moment: Vector) -> dict[str, str]:
    """The digests of a node that was given that much of a history and no more."""
    with TemporaryDirectory() as folder, Colony(Path(folder)) as colony:
        for origin, n in moment.items():
            colony.append(history[origin][:n], origin)
        tables = Tables(colony)
        tables.engine.catch_up()
        return tables.digests()


@settings(max_examples=8, deadline=None)
@given(history=histories, asked=questions, is_sealed=st.booleans(), has_side_cars=st.booleans())
def test_the_past_is_what_a_node_has_that_stopped_then(
    history: dict[str, list[Event]],
    asked: list[tuple[float, float, set[str] | None]],
    is_sealed: bool,
    has_side_cars: bool,
) -> None:
    with TemporaryDirectory() as folder, Colony(Path(folder), segment_events_max=8) as colony:
        for origin, events in history.items():
            colony.append(events, origin)
        if is_sealed:
            colony.log.seal_full_segments()
        side_cars = SideCars(colony.folder / "columns", colony.log)
        if has_side_cars:
            side_cars.make_missing(threading.Event(), lambda _: 0.0)
        with closing(Past(colony.folder / "past", colony.log, CATALOGUE, side_cars)) as opened:
            for east, west, names in asked:
                moment = {"east": int(east * len(history["east"])), "west": int(west * len(history["west"]))}
                expected = stopped_at(history, moment)
                with opened.at(moment, names) as models:
                    found = models.digests()
                    assert models.vector() == {origin: n for origin, n in moment.items() if n}
                assert found.keys() >= (names or set(NAMES))
                assert found == {name: expected[name] for name in found}


def test_each_read_model_alone_is_made_as_it_is_among_all(told: Colony) -> None:
    told.projections.catch_up()
    expected = told.projections.digests()
    for name in NAMES:
        with told.projections.at(END, [name]) as models:
            assert models.digests() == {name: expected[name]}


def test_only_what_a_question_names_is_made(told: Colony) -> None:
    with past_of(told) as opened, opened.at(END, ["cost_by_model"]) as models:
        tables = models.sql("select table_name from duckdb_tables() where schema_name = 'main'").rows
        assert tables == [["cost_hours"]]
        with pytest.raises(UnknownReadModel):
            models.rows("runs")


def test_a_question_about_the_log_alone_folds_nothing(told: Colony) -> None:
    with past_of(told) as opened, opened.at(MIDDLE, []) as models:
        assert models.sql("select count(*), max(n) from events").rows == [[EVENTS // 2, EVENTS // 2]]


def test_a_name_that_no_read_model_has_is_unknown(told: Colony) -> None:
    with past_of(told) as opened, pytest.raises(UnknownReadModel), opened.at(END, ["nothing"]):
        pass


def test_what_was_made_is_kept_and_found_again_after_a_restart(told: Colony) -> None:
    with past_of(told) as opened:
        first = digests_of(opened, MIDDLE, "runs")
    (file,) = files_of(told)
    made_at = file.stat().st_ino
    with past_of(told) as opened:
        assert digests_of(opened, MIDDLE, "runs") == first
        assert len(opened.bases) == 0
    assert [found.stat().st_ino for found in files_of(told)] == [made_at]


def test_a_later_moment_is_made_from_the_nearest_earlier_one(told: Colony) -> None:
    with past_of(told) as opened:
        digests_of(opened, MIDDLE, "runs", "tool_use")
        digests_of(opened, END, "runs")
        assert opened.bases == ({}, MIDDLE)


def test_who_ask_for_the_same_moment_at_once_have_it_made_once(told: Colony) -> None:
    with past_of(told) as opened, ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: digests_of(opened, MIDDLE, "runs"), range(6)))
        assert all(one == found[0] for one in found)
        assert len(opened.bases) == 1


def test_who_asks_for_another_moment_waits_its_turn(told: Colony) -> None:
    moments = [{ORIGIN: n} for n in (10, 20, 30, 40)]
    with past_of(told) as opened, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda moment: digests_of(opened, moment, "runs"), moments))
        assert found == [digests_of(opened, moment, "runs") for moment in moments]
    assert len({tuple(one.items()) for one in found}) == len(moments)


def test_what_nobody_waits_for_any_more_is_not_made_on_and_what_was_made_counts_next_time(
    told: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "EVENTS_THROUGH_PYTHON_MAX", 10)
    with past_of(told) as opened:
        with pytest.raises(QueryFailed, match="nobody waits"), opened.at(END, ["runs"], Impatient(looks=4)):
            pass
        found = digests_of(opened, END, "runs")
        assert found["runs"] == digests_of(opened, END)["runs"]
        assert [sum(base.values()) for base in opened.bases[:2]] == [0, 30]


def test_who_leaves_before_anything_is_folded_takes_nothing_from_whom_it_was_begun_with(told: Colony) -> None:
    with past_of(told) as opened:
        before = digests_of(opened, MIDDLE, "runs")
        (made,) = files_of(told)
        made_at = made.stat().st_ino
        with pytest.raises(QueryFailed, match="nobody waits"), opened.at(END, ["runs"], Impatient(looks=1)):
            pass
        assert [file.stat().st_ino for file in files_of(told)] == [made_at]
        with opened.at(MIDDLE, ["runs"], Impatient(looks=50)) as models:
            assert models.digests() == before


def test_making_takes_a_bounded_time_and_who_asks_again_goes_on(told: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "EVENTS_THROUGH_PYTHON_MAX", 50)
    monkeypatch.setattr(past, "MAKING_SECONDS_MAX", 0.0)
    with past_of(told) as opened:
        with pytest.raises(PastNotMade, match="ask again"), opened.at(END, ["runs"]):
            pass
        monkeypatch.undo()
        assert digests_of(opened, END, "runs")


def test_only_so_many_versions_are_kept_and_the_longest_unused_go(
    told: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "VERSIONS_KEPT_MAX", 3)
    with past_of(told) as opened:
        for n in (10, 20, 30, 10, 40):
            digests_of(opened, {ORIGIN: n}, "tool_use")
        assert len(opened.bases) == 4
        assert len(files_of(told)) == 3
        digests_of(opened, {ORIGIN: 10}, "tool_use")
        assert len(opened.bases) == 4
        digests_of(opened, {ORIGIN: 20}, "tool_use")
        assert len(opened.bases) == 5


def test_versions_that_are_too_big_together_go_but_what_is_asked(told: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEPT_SIZE_BYTES_MAX", 1)
    with past_of(told) as opened:
        for n in (10, 20):
            assert digests_of(opened, {ORIGIN: n}, "tool_use")
        assert len(files_of(told)) <= 1 + past.IDLE_MAX


def test_only_so_many_moments_are_open_at_once(told: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "ADMISSION_SECONDS_MAX", 0.0)
    with past_of(told) as opened, opened.at({ORIGIN: 10}, ["runs"]) as first, opened.at({ORIGIN: 20}, ["runs"]):
        with pytest.raises(QueryNotAdmitted, match="too many moments"), opened.at({ORIGIN: 30}, ["runs"]):
            pass
        with opened.at({ORIGIN: 10}, ["runs"]) as again:
            assert again is first


def test_nothing_is_asked_of_a_past_that_is_closed(told: Colony) -> None:
    with past_of(told) as opened:
        opened.close()
        with pytest.raises(QueryNotAdmitted, match="closed"), opened.at(END):
            pass


@pytest.mark.parametrize(
    "spoil", [lambda file: file.write_bytes(b""), lambda file: file.unlink()], ids=["empty", "gone"]
)
def test_a_file_that_is_lost_is_made_again(told: Colony, spoil: Callable[[Path], None]) -> None:
    with past_of(told) as opened:
        expected = digests_of(opened, MIDDLE, "runs", "tool_use")
    spoil(files_of(told)[0])
    with past_of(told) as opened:
        assert digests_of(opened, MIDDLE, "runs", "tool_use") == expected
        assert len(opened.bases) == 1


@pytest.mark.parametrize("offset", [0, 4_096, 12_288, 300_000])
def test_a_file_that_is_damaged_is_made_again(told: Colony, offset: int) -> None:
    with past_of(told) as opened:
        expected = digests_of(opened, MIDDLE, "runs", "tool_use")
    (file,) = files_of(told)
    spoilt = bytearray(file.read_bytes())
    spoilt[offset : offset + 8_192] = b"\xa5" * 8_192
    file.write_bytes(spoilt)
    with past_of(told) as opened:
        try:
            found = digests_of(opened, MIDDLE, "runs", "tool_use")
        except QueryFailed:  # the damage showed when it was read
            found = digests_of(opened, MIDDLE, "runs", "tool_use")
        assert found == expected


def test_a_base_that_is_damaged_is_done_without(told: Colony) -> None:
    with past_of(told) as opened:
        digests_of(opened, MIDDLE, "runs")
    (file,) = files_of(told)
    file.write_bytes(b"no database" * 10_000)
    with past_of(told) as opened:
        assert digests_of(opened, END, "runs")
        assert opened.bases == (MIDDLE, {})


def test_what_a_killed_process_left_is_removed(told: Colony) -> None:
    with past_of(told) as opened:
        digests_of(opened, MIDDLE, "runs")
    (file,) = files_of(told)
    for name in ("begun.duckdb", "begun.duckdb.wal", "begun", "past_0.duckdb", "past_1.json"):
        (file.parent / name).write_bytes(b"half")
    (file.parent / "past_2.json").write_text(json.dumps({"made_from": "?", "vector": {}, "names": []}))
    with past_of(told):
        assert {found.stem for found in file.parent.iterdir()} == {file.stem}


def test_versions_of_other_projections_than_todays_go(told: Colony) -> None:
    with past_of(told) as opened:
        digests_of(opened, MIDDLE, "runs")
    with past_of(told, catalogue=Catalogue(CATALOGUE.by_name[name] for name in ("tool_use",))):
        assert files_of(told) == []


def test_a_full_disk_is_told_and_leaves_nothing_half_made(told: Colony) -> None:
    with past_of(told) as opened:
        before = digests_of(opened, MIDDLE, "tool_use")
        with files_of_at_most(100_000), pytest.raises(PastNotMade), opened.at(END, ["runs"]):
            pass
        assert all("begun" not in file.name for file in files_of(told))
        assert digests_of(opened, END, "runs")
        assert digests_of(opened, MIDDLE, "tool_use") == before


def test_little_room_is_left_to_the_log(told: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    with past_of(told) as opened:
        digests_of(opened, MIDDLE, "runs")
        monkeypatch.setattr(kept, "FREE_BYTES_MIN", 2**60)
        with pytest.raises(PastNotMade, match="No space left"), opened.at(END, ["tool_use"]):
            pass
        assert digests_of(opened, MIDDLE, "runs")  # it is open, and stays
        monkeypatch.undo()
        assert digests_of(opened, END, "tool_use")


def test_what_many_read_models_share_is_no_base_for_one_that_is_made_sooner_alone(tmp_path: Path) -> None:
    all_of_then = Version(tmp_path, {ORIGIN: 9_000_000}, frozenset(NAMES), 10**9)
    one_of_then = Version(tmp_path, {ORIGIN: 8_000_000}, frozenset({"runs"}), 10**7)
    now = {ORIGIN: 10_000_000}
    assert one_of_then.seconds_to(now) < all_of_then.seconds_to(now)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Nothing can be written beyond that size, as if the disk were full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Counting(Past):
    """Remembers how far what it made things from had come."""

    bases: tuple[Vector, ...] = ()

    def _make_from(
        self, base: Version | None, vector: Vector, names: frozenset[str], must_end: Callable[[], bool]
    ) -> Vector:
        self.bases = (*self.bases, base.vector if base else {})
        return super()._make_from(base, vector, names, must_end)


class Impatient(Leash):
    """Is cut when whoever works for it has looked so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._looks = looks

    @property
    def reason(self) -> str | None:
        self._looks -= 1
        if self._looks < 0:
            self.cut()
        return super().reason
