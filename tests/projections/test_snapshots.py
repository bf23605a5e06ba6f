"""Snapshots: whole and consistent whatever is folded meanwhile, plain tables, readable by DuckDBs older than ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from rookery import __version__
from rookery.ops.bench import workload
from rookery.projections import SnapshotFailed
from rookery.projections.database import STORAGE_VERSION, write_ahead_log
from rookery.projections.definitions import Catalogue
from rookery.projections.snapshots import write_snapshot
from rookery.schemas import LlmCallCompleted, RunStarted

from .colony import ORIGIN, Colony, fact

NUMBER_OF_STORAGE_1_3 = 66  # at byte 12 of a file's first head


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "snapshot" / "rookery.duckdb"


@pytest.fixture
def colony(tmp_path: Path) -> Iterator[Colony]:
    with Colony(tmp_path) as colony:
        yield colony


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.execute(query).fetchall()


def test_a_snapshot_holds_every_read_model_as_a_table_and_nothing_else(colony: Colony, target: Path) -> None:
    colony.given(*workload.events(200))
    taken = colony.projections.snapshot(target)
    models = {model.name: model for model in colony.projections.models()}
    with duckdb.connect(str(target), read_only=True) as con:
        tables = con.execute("select table_name from duckdb_tables()").fetchall()
        assert {name for (name,) in tables} == models.keys() | {"rookery_checkpoint", "rookery_snapshot"}
        assert con.execute("select view_name from duckdb_views() where not internal").fetchall() == []
        for name, model in models.items():
            columns = con.execute(f"select column_name, column_type from (describe {name})").fetchall()
            assert columns == [(column.name, column.type) for column in model.columns]
            rows = len(colony.projections.rows(name).rows)
            assert con.execute(f"select count(*) from {name}").fetchall() == [(rows,)]
    assert (taken.path, taken.size_bytes) == (target, target.stat().st_size)


def test_a_snapshot_says_of_when_and_of_what_it_is(colony: Colony, target: Path) -> None:
    colony.given(fact(RunStarted(), "run-1"), fact(RunStarted(), "run-2"), origin="north").given(
        fact(RunStarted(), "run-3")
    )
    taken = colony.projections.snapshot(target)
    assert taken.checkpoint == {"north": 2, ORIGIN: 1} == dict(asked(target, "from rookery_checkpoint"))
    assert asked(target, "from rookery_snapshot") == [(taken.written_at.replace(tzinfo=None), __version__)]


def test_tables_and_columns_are_described(colony: Colony, target: Path) -> None:
    colony.given(fact(RunStarted(), "run-1")).projections.snapshot(target)
    tables = dict(asked(target, "select table_name, comment from duckdb_tables()"))
    columns = asked(target, "select table_name, column_name, comment from duckdb_columns()")
    for model in colony.projections.models():
        assert tables[model.name] == model.description
        assert {name: comment or "" for table, name, comment in columns if table == model.name} == {
            column.name: column.description for column in model.columns
        }


def test_a_snapshot_is_in_a_storage_version_that_older_programs_read(colony: Colony, target: Path) -> None:
    colony.given(*workload.events(100))
    colony.projections.rebuild()
    colony.projections.snapshot(target)
    assert int.from_bytes(target.read_bytes()[12:20], "little") == NUMBER_OF_STORAGE_1_3
    with duckdb.connect() as con:
        con.execute(f"attach '{target}' as snapshot (read_only)")
        ((tags,),) = con.execute("select tags from duckdb_databases() where database_name = 'snapshot'").fetchall()
    assert tags["storage_version"] == f"{STORAGE_VERSION}+"


def test_snapshots_taken_while_events_are_folded_are_whole(colony: Colony, target: Path) -> None:
    """Of each origin n model calls are folded, of one dollar each: whatever is there must add up."""
    folding = threading.Event()
    done = threading.Event()

    def fold() -> None:
        for number in range(60):
            call = LlmCallCompleted(provider="p", request_model="m", cost_usd="1", run_id=f"run-{number}")
            colony.given(fact(call, f"call-{number}", number))
            folding.set()
        done.set()

    folder = threading.Thread(target=fold)
    colony.given(fact(LlmCallCompleted(provider="p", request_model="m", cost_usd="1"), "call"))
    folder.start()
    folding.wait()
    counted = []
    while not done.is_set() or not counted:
        n = colony.projections.snapshot(target).checkpoint[ORIGIN]
        sums = "select (select count(*) from llm_calls), (select sum(calls)::int from cost_by_model), "
        sums += "(select sum(cost_usd)::int from cost_by_day), (select count(*) + 1 from cost_by_run)"
        ((calls, by_model, dollars, runs),) = asked(target, sums)
        assert (calls, by_model, dollars) == (n, n, n)
        assert runs >= n
        counted.append(n)
    folder.join()
    assert counted == sorted(counted)


def test_a_snapshot_holds_a_beginning_of_the_log_wherever_its_copy_ended(colony: Colony, tmp_path: Path) -> None:
    colony.given(fact(RunStarted(), "run")).close_projections()
    for number in range(20):
        colony.given(fact(RunStarted(), f"run-{number}"))
    log = write_ahead_log(colony.path).read_bytes()
    head = colony.path.read_bytes()
    found = []
    for length in [*range(0, len(log) - 1, len(log) // 8), len(log) - 1]:
        cut = tmp_path / f"{length}" / "cut.duckdb"
        cut.parent.mkdir()
        cut.write_bytes(head)
        write_ahead_log(cut).write_bytes(log[:length])
        taken = write_snapshot(cut, cut.parent / "out" / "rookery.duckdb", Catalogue.of_folder())
        assert asked(taken.path, "select count(*) from runs") == [(taken.checkpoint[ORIGIN],)]
        found.append(taken.checkpoint[ORIGIN])
    assert (found[0], found[-1]) == (1, 20), "all of it but the last event's cut commit"


def test_a_snapshot_that_fails_leaves_the_one_before_and_no_debris(colony: Colony, target: Path) -> None:
    colony.given(fact(RunStarted(), "run-1")).projections.snapshot(target)
    before = target.read_bytes()
    stop = threading.Event()
    stop.set()
    with pytest.raises(SnapshotFailed, match="node closes"):
        colony.projections.snapshot(target, stop)
    target.with_name("debris").write_bytes(b"")
    with pytest.raises(SnapshotFailed):
        write_snapshot(target.with_name("debris"), target, Catalogue.of_folder())
    assert target.read_bytes() == before
    assert sorted(path.name for path in target.parent.iterdir()) == ["debris", "rookery.duckdb"]


def test_what_a_killed_process_left_is_cleared_away(colony: Colony, target: Path) -> None:
    (target.parent / ".new").mkdir(parents=True)
    (target.parent / ".new" / "rookery.duckdb.wal").write_bytes(b"left")
    colony.given(fact(RunStarted(), "run-1")).projections.snapshot(target)
    assert [path.name for path in target.parent.iterdir()] == ["rookery.duckdb"]
