"""Readers, appends and seals at the same time, in threads; and a writer that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rookery.eventstore import Log
from rookery.tests.eventstore.deliveries import deliver, event, many

EVENTS = 3_000
BATCH_EVENTS = 37
SEGMENT_EVENTS_MAX = 256
KILLS = 6
WRITER = Path(__file__).with_name("endless_writer.py")


def read_until_all_is_there(log: Log, appending: Future[None]) -> int:
    """Read over and over; every look shows whole lines without gaps, and never fewer than the one before."""
    last = looks = 0
    while last < EVENTS:
        if appending.done():
            appending.result()
        records = list(log.read("here"))
        assert [record.n for record in records] == list(range(1, len(records) + 1))
        assert all(record.payload.endswith(b"}}") for record in records)
        assert len(records) >= last
        last, looks = len(records), looks + 1
        if last:
            assert log.get("here", last) == records[-1]
    return looks


def seal_all_the_time(log: Log, appending: Future[None]) -> int:
    sealed = 0
    while not appending.done():
        sealed += log.seal_full_segments()
    return sealed


def append_all(log: Log) -> None:
    given = many(EVENTS)
    for begin in range(0, EVENTS, BATCH_EVENTS):
        log.append("here", given[begin : begin + BATCH_EVENTS])


def test_reading_goes_on_while_others_append_and_seal(tmp_path: Path) -> None:
    with Log.open(tmp_path, segment_events_max=SEGMENT_EVENTS_MAX) as log, ThreadPoolExecutor() as threads:
        log.append("here", [])
        appending = threads.submit(append_all, log)
        sealing = threads.submit(seal_all_the_time, log, appending)
        with Log.open(tmp_path, writable=False) as beside:
            reading = [threads.submit(read_until_all_is_there, each, appending) for each in (log, log, beside)]
            assert all(looks.result() for looks in reading)
        sealing.result()
        log.seal_full_segments()
        assert [record.payload for record in log.read("here")] == [given.payload for given in many(EVENTS)]
        assert len(log.segments("here")) == EVENTS // SEGMENT_EVENTS_MAX


def test_a_writer_that_is_killed_loses_and_doubles_nothing(tmp_path: Path) -> None:
    acknowledged = 0
    for kill in range(KILLS):
        acknowledged = max(acknowledged, last_before_the_kill(tmp_path, acknowledged + 150 * (kill + 1)))
        with Log.open(tmp_path, segment_events_max=SEGMENT_EVENTS_MAX) as log:
            records = list(log.read("here"))
            assert len(records) >= acknowledged
            expected = [deliver(at, event(f"run-{at}", at=at)) for at in range(1, len(records) + 1)]
            assert [record.payload for record in records] == [given.payload for given in expected]
            assert [record.sequence for record in records] == [given.sequence for given in expected]
            acknowledged = log.bus_sequence("here")
    assert acknowledged > 150 * KILLS


def last_before_the_kill(folder: Path, enough: int) -> int:
    """Let a process append until it has acknowledged enough, kill it at once, and say what it acknowledged last."""
    command = [sys.executable, str(WRITER), str(folder), str(SEGMENT_EVENTS_MAX)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"}) as writer:
        assert writer.stdout is not None
        acknowledged = next((int(line) for line in writer.stdout if int(line) >= enough), 0)
        writer.send_signal(signal.SIGKILL)
        return max([acknowledged, *(int(line) for line in writer.stdout if line.endswith(b"\n"))])
