"""One version of the tables replaces another while readers are served, and there is a way back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from rookery.projections import (
    Catalogue,
    FoldFailed,
    NoWayBack,
    Projections,
    RebuildAbandoned,
    RebuildUnderWay,
    TablesOutdated,
    UnknownReadModel,
)
from rookery.projections.definitions import SQL_FOLDER, parse
from rookery.schemas import Event, RunCompleted, RunStarted

from .colony import Colony, fact


def runs(*names: str) -> list[Event]:
    return [fact(RunStarted(agent_id="a"), name, second) for second, name in enumerate(names)]


def catalogue(**changed: str) -> Catalogue:
    """Today's projections, with these files' texts in place of theirs."""
    texts = {path.stem: path.read_text("utf-8") for path in SQL_FOLDER.glob("*.sql")} | changed
    return Catalogue(parse(text, f"{name}.sql") for name, text in texts.items())


def younger(**models: str) -> Catalogue:
    """A version to come, with another table of runs, and a read model that is new."""
    text = (SQL_FOLDER / "messages.sql").read_text("utf-8")
    newcomer = "-- projection: newcomer   version: 1\n-- It is new.\ncreate table newcomer as select 1 as a;\n"
    return catalogue(messages=text.replace("length(content)", "length(content) + 1"), newcomer=newcomer, **models)


def damaged_by_hand(colony: Colony) -> None:
    colony.close_projections()
    with duckdb.connect(str(colony.path)) as con:
        con.execute("update fleet_hours set events = 17")


def opened(colony: Colony, projections: Catalogue | None = None, **options: bool) -> Projections:
    return Projections.open(colony.path, colony.log, catalogue=projections, **options)


@pytest.fixture
def outdated(colony: Colony) -> Iterator[Projections]:
    """Tables of today's projections, with those of a version to come at work on them."""
    colony.given(*runs("r1", "r2"))
    colony.close_projections()
    with opened(colony, younger(), serve_outdated=True) as projections:
        yield projections


def run_ids(projections: Projections) -> set[str]:
    return {row["run_id"] for row in projections.rows("runs").records()}


# The way back


def test_a_rollback_brings_back_what_a_rebuild_replaced_and_another_undoes_it(colony: Colony) -> None:
    good = colony.given(*runs("r1", "r2")).projections.digests()
    damaged_by_hand(colony)
    assert colony.projections.rebuild().changed == ["fleet", "fleet_daily", "fleet_hourly"]
    assert colony.projections.digests() == good
    assert colony.projections.roll_back().events == 0
    assert colony.record("fleet")["events"] == 17
    colony.projections.roll_back()
    assert colony.projections.digests() == good


def test_what_is_rolled_back_to_is_level_with_the_log(colony: Colony) -> None:
    colony.given(*runs("r1")).projections.rebuild()
    digests = colony.given(*runs("r2", "r3"), origin="elsewhere").projections.digests()
    assert colony.projections.roll_back().events == 2
    assert colony.projections.digests() == digests
    colony.given(*runs("r4"))
    assert colony.projections.verify().changed == []


def test_without_a_rebuild_there_is_no_way_back(colony: Colony) -> None:
    colony.given(*runs("r1"))
    with pytest.raises(NoWayBack, match="no rebuild has replaced"):
        colony.projections.roll_back()


def test_tables_of_another_version_are_no_way_back_and_say_whose_they_are(outdated: Projections) -> None:
    outdated.rebuild()
    with pytest.raises(NoWayBack, match="another version of messages, newcomer"):
        outdated.roll_back()
    assert outdated.previous
    assert run_ids(outdated) == {"r1", "r2"}


def test_damaged_tables_are_no_way_back_and_are_removed(colony: Colony) -> None:
    digests = colony.given(*runs("r1")).projections.digests()
    colony.projections.rebuild()
    assert colony.projections.previous
    colony.projections.previous.write_bytes(b"nonsense" * 1_024)
    with pytest.raises(NoWayBack, match="damaged"):
        colony.projections.roll_back()
    assert colony.projections.previous is None
    assert colony.projections.digests() == digests


def test_empty_tables_are_not_kept_for_the_way_back(colony: Colony) -> None:
    colony.append(runs("r1"))
    colony.projections.rebuild()
    assert colony.projections.previous is None
    assert run_ids(colony.projections) == {"r1"}


# Proof


def test_verifying_right_tables_finds_nothing_and_leaves_nothing(colony: Colony) -> None:
    colony.given(*runs("r1", "r2"))
    stamp, files = colony.projections.stamp(), sorted(colony.folder.iterdir())
    report = colony.projections.verify()
    assert (report.events, report.changed) == (2, [])
    assert report.digests_before == report.digests_after == colony.projections.digests()
    assert (colony.projections.stamp(), sorted(colony.folder.iterdir())) == (stamp, files)


def test_verifying_wrong_tables_names_them_and_changes_nothing(colony: Colony) -> None:
    colony.given(*runs("r1", "r2"))
    damaged_by_hand(colony)
    assert colony.projections.verify().changed == ["fleet", "fleet_daily", "fleet_hourly"]
    assert colony.record("fleet")["events"] == 17
    assert colony.projections.previous is None


def test_outdated_tables_can_not_be_verified(outdated: Projections) -> None:
    with pytest.raises(TablesOutdated):
        outdated.verify()


# Beside each other


def test_of_two_rebuilds_at_once_the_second_is_refused(colony: Colony) -> None:
    colony.given(*runs("r1"))
    refused = []

    def again(done: int, total: int) -> None:
        for attempt in (colony.projections.rebuild, colony.projections.verify, colony.projections.forget_previous):
            with pytest.raises(RebuildUnderWay):
                attempt()
            refused.append(attempt)

    colony.projections.rebuild(again)
    assert len(refused) == 3
    assert colony.projections.rebuild().changed == []


def test_folding_goes_on_during_a_rebuild_and_nothing_of_it_is_missing(colony: Colony) -> None:
    colony.given(*runs("r1"))
    report = colony.projections.rebuild(lambda done, total: colony.given(*runs("r2"), origin="elsewhere") and None)
    assert (report.events, report.changed) == (2, [])
    assert run_ids(colony.projections) == {"r1", "r2"}
    assert colony.projections.catch_up().events == 0


def test_an_abandoned_rebuild_changes_nothing_and_the_next_one_works(colony: Colony) -> None:
    colony.given(*runs("r1")).given(*runs("r2"), origin="elsewhere")
    stamp = colony.projections.stamp()
    assert not colony.projections.abandon_rebuild()
    with pytest.raises(RebuildAbandoned):
        colony.projections.rebuild(lambda done, total: colony.projections.abandon_rebuild() and None)
    assert colony.projections.stamp() == stamp
    assert colony.projections.rebuild().changed == []


def test_the_thread_that_builds_can_be_told_apart(colony: Colony) -> None:
    colony.given(*runs("r1"))
    told: list[str] = []
    colony.projections.rebuild(lambda done, total: told.append("built"), on_thread=lambda: told.append("begun"))
    assert told == ["begun", "built"]


# Outdated tables


def test_outdated_tables_answer_until_they_are_replaced(outdated: Projections, colony: Colony) -> None:
    assert outdated.outdated
    assert outdated.outdated.differing == ("messages", "newcomer")
    colony.append(runs("r3"))
    with pytest.raises(TablesOutdated, match="another version of messages, newcomer"):
        outdated.catch_up()
    seen = []
    outdated.renew(lambda done, total: seen.append((run_ids(outdated), outdated.vector())))
    assert seen[0] == ({"r1", "r2"}, {"here": 2})
    assert outdated.outdated is None
    assert run_ids(outdated) == {"r1", "r2", "r3"}
    colony.append(runs("r4"))
    assert outdated.catch_up().events == 1


def test_what_outdated_tables_do_not_have_is_told_apart_from_what_nobody_knows(outdated: Projections) -> None:
    for ask in (outdated.rows, lambda name: outdated.sql(f"from {name}")):
        with pytest.raises(TablesOutdated, match=r"made anew: .*newcomer"):
            ask("newcomer")
    with pytest.raises(UnknownReadModel):
        outdated.rows("nobody")
    assert "newcomer" not in {model.name for model in outdated.models()}
    outdated.renew()
    assert outdated.rows("newcomer").records() == [{"a": 1}]


def test_tables_whose_key_was_another_can_not_be_asked_before_they_are_made_anew(colony: Colony) -> None:
    colony.given(*runs("r1"))
    colony.close_projections()
    with duckdb.connect(str(colony.path)) as con:
        con.execute("create or replace view runs as select run_id as id from run_starts")
        con.execute("update rookery.made_from set version = 0 where what = 'runs'")
    with opened(colony, serve_outdated=True) as projections:
        with pytest.raises(TablesOutdated, match="there is no runs yet"):
            projections.rows("runs")
        projections.renew()
        assert run_ids(projections) == {"r1"}


def test_an_older_version_takes_up_the_tables_that_it_made(outdated: Projections, colony: Colony) -> None:
    outdated.renew()
    outdated.close()
    colony.append(runs("r3"))
    with opened(colony, serve_outdated=True) as projections:
        assert projections.outdated
        assert projections.renew().events == 1
        assert run_ids(projections) == {"r1", "r2", "r3"}
        assert projections.verify().changed == []
    with opened(colony, younger()) as projections:  # and forth again
        assert run_ids(projections) == {"r1", "r2", "r3"}
        assert projections.verify().changed == []


def test_tables_without_their_bookkeeping_are_damaged(colony: Colony) -> None:
    colony.given(*runs("r1"))
    colony.close_projections()
    with duckdb.connect(str(colony.path)) as con:
        con.execute("update rookery.made_from set version = 0; drop table rookery.checkpoints")
    with opened(colony, serve_outdated=True) as projections:
        assert run_ids(projections) == {"r1"}
    assert len(list(colony.folder.glob("*.corrupt-*"))) == 1


# A projection that fails

FAILING = """-- projection: picky   version: 1
-- Some events are too much for it.
create table picky (run_id varchar);

-- fold: run_started
insert into picky select subject from run_started;
select error('no more of ' || subject) from run_started where subject = 'r3';
"""


def test_a_projection_that_fails_half_way_is_named_and_the_live_tables_keep_serving(colony: Colony) -> None:
    colony.given(*runs("r1"))
    colony.append(runs("r2"), "elsewhere").append([*runs("r3"), fact(RunCompleted(), "r3")])
    colony.close_projections()
    with opened(colony, catalogue(picky=FAILING), serve_outdated=True) as projections:
        with pytest.raises(FoldFailed) as failed:
            projections.renew()
        error = failed.value
        assert (error.file, error.origin, error.first, error.last) == ("picky.sql", "here", 1, 3)
        assert "select error('no more of ' || subject)" in error.statement
        assert "in picky.sql" in str(error)
        assert run_ids(projections) == {"r1"}
        assert projections.outdated
    assert not (colony.folder / "read-models.duckdb.rebuilt").exists()
    assert run_ids(colony.projections) == {"r1"}
    colony.given()
    assert run_ids(colony.projections) == {"r1", "r2", "r3"}


def test_the_live_tables_of_a_failing_projection_stay_those_of_the_version_before(tmp_path: Path) -> None:
    with Colony(tmp_path / "colony") as colony:
        colony.given(*runs("r3"))
        colony.close_projections()
        with pytest.raises(FoldFailed):
            opened(colony, catalogue(picky=FAILING))
        assert run_ids(colony.projections) == {"r3"}
        assert colony.projections.previous is None
