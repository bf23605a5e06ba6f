"""The database file is disposable: whatever becomes of it, the read models come back from the log."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from rookery.projections import Catalogue, InvalidProjection, Projections, QueryFailed, RebuildAbandoned, relations
from rookery.projections.database import CORRUPT_FILES_KEPT_MAX
from rookery.projections.definitions import SQL_FOLDER, parse
from rookery.schemas import Event, InsightRecorded, RunCompleted, RunStarted, registry

from .colony import Colony, fact


def history(runs: int, *, first: int = 0) -> list[Event]:
    started = [fact(RunStarted(agent_id="a"), f"run-{index}", index) for index in range(first, first + runs)]
    ended = [fact(RunCompleted(reward=0.5), f"run-{index}", index + 60) for index in range(first, first + runs)]
    return started + ended


def test_the_tables_outlast_a_restart(colony: Colony) -> None:
    colony.given(*history(3))
    before, vector = colony.projections.digests(), colony.projections.vector()
    colony.close_projections()
    assert colony.projections.vector() == vector == {"here": 6}
    assert colony.projections.digests() == before
    assert colony.projections.catch_up().events == 0


def test_only_one_process_may_have_the_file(colony: Colony) -> None:
    colony.given()
    script = (
        "import sys; from pathlib import Path; from rookery.eventstore import Log; "
        "from rookery.projections import DatabaseLocked, Projections\n"
        "try: Projections.open(Path(sys.argv[1]), Log.open(Path(sys.argv[2]), writable=False))\n"
        "except DatabaseLocked as locked: print(locked)"
    )
    command = [sys.executable, "-c", script, str(colony.path), str(colony.folder / "log")]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "in use by another process" in told.stdout
    assert not list(colony.folder.glob("*.corrupt-*"))


@pytest.mark.parametrize("damage", ["nonsense", "beginning", "middle", "truncated", "empty"])
def test_a_damaged_file_is_kept_aside_and_made_anew(
    colony: Colony, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    digests = colony.given(*history(500)).projections.digests()
    colony.close_projections()
    bytes_now = bytearray(colony.path.read_bytes())
    match damage:
        case "nonsense":
            bytes_now[:] = b"nonsense" * 4_096
        case "beginning":
            bytes_now[:512] = bytes(512)
        case "middle":
            for at in range(12_288, len(bytes_now), 512):
                bytes_now[at] ^= 0xFF
        case "truncated":
            del bytes_now[len(bytes_now) // 2 :]
        case "empty":
            bytes_now.clear()
    colony.path.write_bytes(bytes_now)
    with caplog.at_level(logging.WARNING):
        colony.append(history(1, first=500))
        colony.projections.catch_up()
    assert "made anew from the log" in caplog.text
    assert len(list(colony.folder.glob("*.corrupt-*"))) == 1
    assert colony.projections.vector() == {"here": 1_002}
    assert colony.projections.digests() != digests
    assert colony.projections.rebuild().changed == []


@pytest.mark.parametrize("block", [0, 3, -1])
def test_one_flipped_bit_in_a_block_is_noticed_by_who_reads_it_and_made_good(colony: Colony, block: int) -> None:
    digests = colony.given(*history(20)).projections.digests()
    colony.close_projections()
    bytes_now = bytearray(colony.path.read_bytes())
    heads_bytes, block_bytes = 3 * 4_096, 256 * 1_024
    bytes_now[range(heads_bytes, len(bytes_now), block_bytes)[block] + 1_000] ^= 1
    colony.path.write_bytes(bytes_now)
    with suppress(QueryFailed):
        assert colony.projections.digests() == digests
    colony.projections.catch_up()
    assert colony.projections.digests() == digests
    assert len(list(colony.folder.glob("*.corrupt-*"))) == 1


def test_only_the_newest_damaged_files_are_kept(colony: Colony) -> None:
    for _ in range(CORRUPT_FILES_KEPT_MAX + 2):
        colony.given()
        colony.close_projections()
        colony.path.write_bytes(b"nonsense" * 1_024)
    colony.given()
    assert len(list(colony.folder.glob("*.corrupt-*"))) == CORRUPT_FILES_KEPT_MAX


def test_a_changed_projection_is_folded_anew_on_opening(colony: Colony) -> None:
    colony.given(*history(2))
    colony.close_projections()
    text = (SQL_FOLDER / "messages.sql").read_text()
    changed = parse(text.replace("length(content)", "length(content) + 1"), "messages.sql")
    others = [projection for projection in Catalogue.of_folder().projections if projection.name != "messages"]
    with Projections.open(colony.path, colony.log, catalogue=Catalogue([*others, changed])) as projections:
        assert projections.vector() == {"here": 4}
        assert len(projections.rows("runs").rows) == 2
    assert not list(colony.folder.glob("*.corrupt-*"))


def test_a_comment_changes_nothing() -> None:
    text = (SQL_FOLDER / "messages.sql").read_text()
    again = parse(text.replace("-- Whose turn it was", "-- Who spoke"), "messages.sql")
    assert again.fingerprint == parse(text, "messages.sql").fingerprint


def test_dead_letters_are_left_out_until_their_type_is_known(colony: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    known = registry._types
    relations.relations.cache_clear()
    with monkeypatch.context() as younger:
        younger.setattr(registry, "_types", {name: known[name] for name in known if name != "insight.recorded"})
        relations.relations.cache_clear()
        sql = [file for file in SQL_FOLDER.glob("*.sql") if file.stem != "insights"]
        catalogue = Catalogue(parse(file.read_text(), file.name) for file in sql)
        colony.append([fact(InsightRecorded(kind="tip", text="read first"), "i-1"), b"nonsense", *history(1)])
        with Projections.open(colony.path, colony.log, catalogue=catalogue) as projections:
            projections.catch_up()
            assert projections.vector() == {"here": 4}
            assert projections.rows("fleet").records()[0]["events"] == 2
    relations.relations.cache_clear()
    assert colony.rows("insights", "text") == [("read first",)]
    assert colony.record("fleet")["events"] == 3


def test_a_redelivered_event_changes_nothing(colony: Colony) -> None:
    events = history(3)
    digests = colony.given(*events).projections.digests()
    assert colony.given(*events).projections.digests() == digests


def test_a_rebuild_gives_the_same_tables_and_reports_its_progress(tmp_path: Path) -> None:
    with Colony(tmp_path / "colony", segment_events_max=50) as colony:
        colony.append(history(100))
        colony.log.seal_full_segments()
        colony.append(history(20, first=100), "elsewhere")
        colony.projections.catch_up()
        heard: list[tuple[int, int]] = []
        report = colony.projections.rebuild(lambda done, total: heard.append((done, total)))
        assert (report.events, report.changed) == (240, [])
        assert report.digests_before == report.digests_after == colony.projections.digests()
        assert heard[-1] == (240, 240)
        assert sorted(path.name for path in colony.folder.iterdir()) == [
            "log",
            "read-models.duckdb",
            "read-models.duckdb.previous",
            "read-models.duckdb.scratch",
        ]
        colony.given(*history(1, first=120))
        assert colony.record("fleet")["events"] == 242


def test_a_rebuild_puts_wrong_tables_right_and_says_which(colony: Colony) -> None:
    colony.given(*history(2))
    colony.close_projections()
    with duckdb.connect(str(colony.path)) as con:
        con.execute("update fleet_hours set events = 17")
    report = colony.projections.rebuild()
    assert report.changed == ["fleet", "fleet_daily", "fleet_hourly"]
    assert colony.record("fleet")["events"] == 4


def test_readers_are_served_on_the_old_tables_during_a_rebuild(colony: Colony) -> None:
    colony.given(*history(2))
    seen = []

    def ask(done: int, total: int) -> None:
        colony.append(history(1, first=9))
        seen.append(colony.record("fleet")["events"])

    colony.projections.rebuild(ask)
    assert seen[0] == 4
    assert colony.record("fleet")["events"] == 6


def test_an_interrupted_rebuild_leaves_the_old_tables_and_no_leftovers(colony: Colony) -> None:
    digests = colony.given(*history(2)).projections.digests()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        colony.projections.rebuild(interrupt)
    assert colony.projections.digests() == digests
    colony.close_projections()
    (colony.folder / "read-models.duckdb.rebuilt").write_bytes(b"left by a process that was killed")
    (colony.folder / "read-models.duckdb.scratch" / "left.ndjson").write_bytes(b"left, too")
    assert colony.projections.digests() == digests
    assert {path.name for path in colony.folder.rglob("*left*")} == set()
    assert not (colony.folder / "read-models.duckdb.rebuilt").exists()


KILLED = """
import os, sys
from pathlib import Path
from rookery.eventstore import Log
from rookery.projections import Projections, loader
loader.EVENTS_THROUGH_PYTHON_MAX = 7
projections = Projections.open(Path(sys.argv[1]), Log.open(Path(sys.argv[2]), writable=False))
def killed(done, total):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), 9)
projections.catch_up(killed)
"""


def test_a_process_that_is_killed_while_folding_has_folded_nothing_twice(colony: Colony) -> None:
    colony.append(history(40))
    for done in (7, 28):
        arguments = [str(colony.path), str(colony.folder / "log"), str(done)]
        ended = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, env=os.environ)
        assert ended.returncode == -signal.SIGKILL
    assert colony.projections.vector() == {"here": 35}
    colony.given()
    assert colony.projections.rebuild().changed == []
    assert colony.record("fleet")["events"] == 80


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("create table x (a int);", "the first line"),
        ("-- projection: other   version: 1\ncreate table other (a int);", "belongs into other.sql"),
        ("-- projection: x   version: 1\n-- fold: no_such_event\nselect 1;", "not an event's relation"),
        ("-- projection: x   version: 1   uses: nothing\nselect 1;", "no file defines"),
        ("-- projection: x   version: 1\n-- relation: y\nselect 1;", "expected"),
        ("-- projection: x   version: 1   uses: x\nselect 1;", "uses itself"),
        ("-- projection: x   version: 1\ncreat table x;", "syntax error"),
    ],
)
def test_a_projection_that_breaks_the_rules_is_refused_by_name(text: str, reason: str) -> None:
    with pytest.raises(InvalidProjection, match=reason):
        Catalogue([parse(text, "x.sql")])


def test_a_rebuild_that_is_stopped_is_abandoned(colony: Colony) -> None:
    digests = colony.given(*history(2)).given(*history(2), origin="elsewhere").projections.digests()
    with pytest.raises(RebuildAbandoned):
        colony.projections.rebuild(lambda done, total: colony.projections.stop())
    assert colony.projections.digests() == digests
