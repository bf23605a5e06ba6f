"""Every touch of the disk may fail, and every one may be the last."""

from __future__ import annotations

from pathlib import Path

import pytest
from rookery.eventstore import Log, LogWriteFailed
from rookery.tests.eventstore.deliveries import mixed
from rookery.tests.eventstore.faults import CountingDisk, Crash, DyingDisk, FullDisk

DELIVERIES = mixed(30)
BATCHES = [DELIVERIES[0:1], DELIVERIES[1:9], DELIVERIES[9:16], DELIVERIES[16:26], DELIVERIES[26:30]]
SEGMENT_EVENTS_MAX = 8


def work(log: Log, acknowledged: list[int]) -> None:
    """What a node does: append, and seal what is full."""
    for batch in BATCHES:
        log.append("here", batch)
        acknowledged.append(batch[-1].sequence)
        log.seal_full_segments()


def open_log(folder: Path, disk: CountingDisk | None = None) -> Log:
    return Log.open(folder, segment_events_max=SEGMENT_EVENTS_MAX, disk=disk or CountingDisk())


def finished(folder: Path) -> dict[str, bytes]:
    """Every byte that counts, once everything is appended and sealed."""
    log = open_log(folder)
    log.append("here", DELIVERIES)
    log.seal_full_segments()
    log.close()
    return {path.name: path.read_bytes() for path in sorted((folder / "here").glob("*ndjson*"))}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    files = finished(tmp_path_factory.mktemp("expected"))
    assert len(files) == 5  # three sealed segments, an open one, and the manifest
    return files


def test_where_nothing_fails_any_batching_gives_the_same_bytes(tmp_path: Path, expected: dict[str, bytes]) -> None:
    with open_log(tmp_path) as log:
        work(log, [])
    assert finished(tmp_path) == expected


def touches_of_the_work(folder: Path) -> int:
    disk = CountingDisk()
    with open_log(folder, disk) as log:
        work(log, [])
    return disk.touches


@pytest.mark.parametrize("refusals", [1, 3])
def test_a_refused_touch_loses_nothing_and_the_next_append_works(
    tmp_path: Path, expected: dict[str, bytes], refusals: int
) -> None:
    failures = 0
    for first in range(1, touches_of_the_work(tmp_path / "counted") + 1):
        folder = tmp_path / str(first)
        failures += work_on_full_disk(folder, FullDisk(first, first + refusals - 1))
        assert finished(folder) == expected, f"after a refusal of touch {first}"
    assert failures > 50  # or the disk refused nothing that matters


def work_on_full_disk(folder: Path, disk: FullDisk) -> int:
    """Go on until everything is appended; say how often that failed."""
    failures = 0
    while True:
        try:
            with open_log(folder, disk) as log:
                while True:
                    try:
                        work(log, [])
                    except LogWriteFailed:
                        failures += 1
                        assert_consistent(log)
                    else:
                        return failures
        except LogWriteFailed:
            failures += 1


@pytest.mark.parametrize("loses_unsynced", [False, True], ids=["process", "machine"])
def test_a_crash_at_any_touch_loses_nothing_that_was_acknowledged(
    tmp_path: Path, expected: dict[str, bytes], loses_unsynced: bool
) -> None:
    for first in range(1, touches_of_the_work(tmp_path / "counted") + 1):
        folder, acknowledged = tmp_path / str(first), [0]
        with pytest.raises(Crash):
            work_until(open_log(folder, DyingDisk(first, loses_unsynced=loses_unsynced)), acknowledged)
        with open_log(folder) as log:
            assert_consistent(log)
            held = {record.payload for record in log.read("here")}
            assert held >= {given.payload for given in DELIVERIES if given.sequence <= acknowledged[-1]}
        assert finished(folder) == expected, f"after a crash at touch {first}"


def work_until(log: Log, acknowledged: list[int]) -> None:
    work(log, acknowledged)
    log.close()


def assert_consistent(log: Log) -> None:
    """What is shown is whole: n without gaps, as far as the vector says."""
    last = log.vector().get("here", 0)
    assert [record.n for record in log.read("here")] == list(range(1, last + 1))
    payloads = [record.payload for record in log.read("here")]
    assert len(payloads) == len(set(payloads))
