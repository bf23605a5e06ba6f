"""What a log costs, in memory and in time, does not grow with the segments that it has."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rookery.eventstore import Disk, Log, origin, parts
from rookery.eventstore.parts import Part
from rookery.eventstore.writer import OriginWriter
from rookery.tests.eventstore.deliveries import gizmos_known, many, unknown


def test_memory_does_not_grow_with_the_segments_that_are_asked_for_a_line(tmp_path: Path) -> None:
    segment_events, segments = 50, 100
    with Log.open(tmp_path / "log", segment_events_max=segment_events) as log:
        given = many(segment_events * segments)
        log.append("here", given)
        log.seal_full_segments()
        segment_bytes = sum(len(delivery.payload) for delivery in given) // segments
        tracemalloc.start()
        try:
            for n in range(1, len(given), segment_events):
                log.get("here", n)
            held_bytes, _ = tracemalloc.get_traced_memory()
            assert parts._opened.cache_info().currsize <= parts.FILES_KEPT_MAX
        finally:
            tracemalloc.stop()
    assert held_bytes < segments / 4 * segment_bytes


def test_dead_letters_of_sealed_segments_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "SUMMARIES_KEPT_MAX", 2)
    looked_into = list[Path]()

    class Watched(Disk):
        def read(self, path: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
            looked_into.append(path)
            return super().read(path, offset, size_bytes)

    with Log.open(tmp_path / "log", segment_events_max=4, disk=Watched()) as log:
        log.append("here", [unknown(n) for n in range(1, 41)])
        log.seal_full_segments()
        assert log.dead_faults() == {"unknown_type": 40}
        log.append("here", [unknown(n) for n in range(41, 47)])
        log.seal_full_segments()
        looked_into.clear()
        assert log.dead_faults() == {"unknown_type": 46}
        assert len([path for path in looked_into if path.name.endswith(".index.json")]) <= 1
        with gizmos_known():
            assert log.dead_faults() == {}
        assert log.dead_faults() == {"unknown_type": 46}


def test_what_a_damaged_summary_said_is_forgotten_with_its_repair(tmp_path: Path) -> None:
    with Log.open(tmp_path / "log", segment_events_max=4) as log:
        log.append("here", [unknown(n) for n in range(1, 5)])
        log.seal_full_segments()
        [path] = (tmp_path / "log" / "here").glob("*.index.json")
        sound = path.read_bytes()
        path.write_bytes(msgspec.json.encode(msgspec.json.decode(sound) | {"dead": [1], "faults": {"malformed": 1}}))
        here = log._origins["here"]
        assert isinstance(here, OriginWriter)
        here._kept.cache_clear()
        assert log.dead_faults() == {"malformed": 1}
        here.repair(lambda: path.write_bytes(sound))
        assert log.dead_faults() == {"unknown_type": 4}


def test_an_append_looks_at_no_more_files_the_longer_the_log_is(tmp_path: Path) -> None:
    class Watched(tuple[Part, ...]):
        looked_at = 0

        def __iter__(self) -> Iterator[Part]:
            for part in super().__iter__():
                Watched.looked_at += 1
                yield part

        def __reversed__(self) -> Iterator[Part]:
            return iter(Watched(self[::-1]))

        def __getitem__(self, key: Any) -> Any:
            found = super().__getitem__(key)
            Watched.looked_at += 0 if isinstance(key, slice) else 1
            return found

    with Log.open(tmp_path / "log", segment_events_max=1) as log:
        log.append("here", many(500))
        log.seal_full_segments()
        here = log._origins["here"]
        here._parts = Watched(here._parts)
        assert isinstance(here, OriginWriter)
        assert not here.has_full_segments
        assert list(log.search(after={"here": 500})) == []
        assert log.dead_after("here", 499, 500) == []
        assert [segment.first for segment in log.segments("here", after=400, limit=2)] == [401, 402]
        assert log.unsealed("here", after=500) == []
    assert Watched.looked_at < 100
