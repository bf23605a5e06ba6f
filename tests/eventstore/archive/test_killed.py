"""A process that is killed while it archives leaves a whole log and a whole archive."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random

from rookery.eventstore.archive import archive, restore
from rookery.eventstore.stores import open_store
from rookery.tests.eventstore.archive import endless_archiver
from rookery.tests.eventstore.archive.logs import lines_of, opened

KILLS = 6
TURNS_MAX = 5


def test_whenever_it_is_killed_what_was_archived_can_be_restored(tmp_path: Path) -> None:
    random, store = Random(7), open_store(str(tmp_path / "cold"))
    for kill in range(KILLS):
        durable, archived = until_killed(tmp_path, random.randint(1, TURNS_MAX), random.random() * 0.01)
        restored = restore(store, tmp_path / f"restored-{kill}")
        assert restored.vector["here"] >= archived
        with opened(tmp_path / "log") as log, opened(tmp_path / f"restored-{kill}") as again:
            held = lines_of(log)["here"]
            assert len(held) >= durable
            assert lines_of(again)["here"] == held[: restored.vector["here"]]
            log.verify()
            assert archive(log, store).catalogue.vector == log.vector()


def until_killed(folder: Path, turns: int, after_seconds: float) -> tuple[int, int]:
    """Let it work for some turns, and kill it somewhere in the next; what it had told to be durable, and archived."""
    command = [sys.executable, endless_archiver.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        told = list(islice(process.stdout, turns))
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        told += process.stdout.readlines()
    durable, archived = map(int, told[-1].split())
    return durable, archived
