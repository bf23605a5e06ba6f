"""Healing: every damage is made good, byte by byte, by whoever has the bytes; who lies is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest
from rookery.bus import MemoryBus
from rookery.eventstore import Disk, Log, LogWriteFailed
from rookery.eventstore.archive import archive
from rookery.eventstore.errors import HealingFailed, SourceFailed
from rookery.eventstore.healing import (
    DAMAGED_KEPT_MAX,
    ArchiveSource,
    BusSource,
    Healing,
    Source,
    heal,
    heal_open,
    raise_unhealed,
)
from rookery.eventstore.healing.manifests import PROVEN, REBUILT
from rookery.eventstore.healing.segments import ITSELF
from rookery.eventstore.line import chain_of, event_line, parse
from rookery.eventstore.manifest import Entry
from rookery.eventstore.stores import FolderStore
from rookery.tests.eventstore.deliveries import event
from rookery.tests.eventstore.faults import CountingDisk, Crash, DyingDisk, FullDisk
from rookery.tests.eventstore.test_recovery import cut_lines, flip

FIRST = "00000000000000000001.ndjson.zst"
SECOND = "00000000000000000009.ndjson.zst"
OPEN = "00000000000000000017.ndjson"
MANIFEST = "manifest.ndjson"
LAST = 22


class FolderSource:
    """Another node's log, in a folder, as a peer."""

    name = "the peer"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def manifest(self, origin: str) -> bytes | None:
        return self._read(origin, MANIFEST)

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        return self._read(origin, entry.segment)

    def lines(self, origin: str, first: int, last: int) -> Iterable[bytes]:
        with Log.open(self._folder, writable=False) as log:
            return [record.line for record in log.read(origin, after=first - 1, limit=last - first + 1)]

    def _read(self, origin: str, name: str) -> bytes | None:
        path = self._folder / origin / name
        return path.read_bytes() if path.exists() else None


class LyingSource(FolderSource):
    """Gives everything a little changed, and each time as plausibly as it can."""

    name = "the liar"

    def manifest(self, origin: str) -> bytes | None:
        held = super().manifest(origin)
        return held.replace(b'"merkle_root":"', b'"merkle_root":"0', 1) if held else None

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        held = super().segment(origin, entry)
        return held[:50] + bytes([held[50] ^ 1]) + held[51:] if held else None

    def lines(self, origin: str, first: int, last: int) -> Iterable[bytes]:
        return [line.replace(b"run-", b"fun-") for line in super().lines(origin, first, last)]


class CleverSource(LyingSource):
    """A liar that chains its lines, so that each follows from the one before."""

    name = "the clever liar"

    def lines(self, origin: str, first: int, last: int) -> Iterable[bytes]:
        [before] = FolderSource(self._folder).lines(origin, first - 1, first - 1)
        chain = chain_of(before)
        for record in (parse(origin, line) for line in super().lines(origin, first, last)):
            line = event_line(record.n, record.sequence, record.recorded_time, record.payload, chain)
            chain = chain_of(line)
            yield line


class AwaySource:
    """What can't be reached."""

    name = "what is away"

    def manifest(self, origin: str) -> bytes | None:
        raise SourceFailed(self.name, "unplugged")

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        raise SourceFailed(self.name, "unplugged")

    def lines(self, origin: str, first: int, last: int) -> Iterable[bytes]:
        raise SourceFailed(self.name, "unplugged")


class Scene:
    """A log of two sealed segments and an open one with six lines, an archive of it, a peer, and its bus."""

    def __init__(self, folder: Path, bus: MemoryBus) -> None:
        self.folder = folder / "log"
        self.here = self.folder / "here"
        self.bus = bus
        self.archive = ArchiveSource(FolderStore(folder / "archive", Disk()))
        self.peer = FolderSource(folder / "peer")
        self.liar = LyingSource(folder / "peer")
        self.clever = CleverSource(folder / "peer")
        with Log.open(self.folder, segment_events_max=8) as log:
            log.append("here", bus._events)
            log.seal_full_segments()
            archive(log, FolderStore(folder / "archive", Disk()))
        shutil.copytree(self.folder, folder / "peer")
        self.whole = self.files()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.here.glob("*ndjson*") if path.suffix != ".damaged"}

    def bus_source(self) -> BusSource:
        return BusSource(self.bus, asyncio.get_running_loop(), self.folder, "here", Disk())

    def opened(self) -> Log:
        return Log.open(self.folder, segment_events_max=8)


@pytest.fixture
async def scene(tmp_path: Path) -> Scene:
    bus = MemoryBus()
    for at in range(1, LAST + 1):
        await bus.publish(event(f"run-{at}", at=at))
        if at % 5 == 0:  # a duplicate, which the bus stored because it came late
            bus._sequences.clear()
            await bus.publish(event(f"run-{at - 3}", at=at - 3))
    return Scene(tmp_path, bus)


def at_line(path: Path, index: int, offset: int) -> int:
    lines = path.read_bytes().splitlines(keepends=True)
    begin = sum(map(len, lines[:index]))
    return begin + (offset if offset >= 0 else len(lines[index]) + offset)


def flip_line(path: Path, index: int, offset: int) -> None:
    flip(path, at_line(path, index, offset))


def write_in_line(path: Path, index: int, offset: int, written: bytes) -> None:
    held, at = path.read_bytes(), at_line(path, index, offset)
    path.write_bytes(held[:at] + written + held[at + len(written) :])


SEALED: dict[str, Callable[[Path], object]] = {
    "a bit of a segment": lambda here: flip(here / FIRST, 60),
    "a bit of the other": lambda here: flip(here / SECOND, 200),
    "a segment is cut short": lambda here: os.truncate(here / FIRST, 100),
    "a segment is empty": lambda here: os.truncate(here / SECOND, 0),
    "a segment is gone": lambda here: (here / FIRST).unlink(),
    "both are gone": lambda here: [(here / name).unlink() for name in (FIRST, SECOND)],
}
LINES: dict[str, Callable[[Path], object]] = {
    "a bit of the first line": lambda here: flip_line(here / OPEN, 0, 140),
    "a bit of a line": lambda here: flip_line(here / OPEN, 2, 140),
    "a bit of the last line": lambda here: flip_line(here / OPEN, 5, 140),
    "a bit of a chain": lambda here: flip_line(here / OPEN, 2, 30),
    "a bit of the last chain": lambda here: flip_line(here / OPEN, 5, 30),
    "a character of the last chain": lambda here: write_in_line(here / OPEN, 5, 30, b"g"),
    "a bit of the last head": lambda here: flip_line(here / OPEN, 5, 2),
    "a bit of the last number": lambda here: flip_line(here / OPEN, 5, 6),
    "a bit of the last chain's name": lambda here: write_in_line(here / OPEN, 5, 18, b"o"),
    "a bit of a number": lambda here: flip_line(here / OPEN, 2, 5),
    "a bit of a head": lambda here: flip_line(here / OPEN, 3, 2),
    "a line's end": lambda here: flip_line(here / OPEN, 2, -1),
    "a line is gone": lambda here: cut_lines(here / OPEN, 1, 2),
    "lines are gone": lambda here: cut_lines(here / OPEN, 1, 4),
    "two lines": lambda here: [flip_line(here / OPEN, index, 140) for index in (1, 4)],
    "the last lines are gone": lambda here: cut_lines(here / OPEN, 4, 6),
    "the file is gone": lambda here: (here / OPEN).unlink(),
    "the file is empty": lambda here: os.truncate(here / OPEN, 0),
}
# Nothing that is left says what the lines at the end were.
TAILS = [LINES[name] for name in ("the last lines are gone", "the file is gone", "the file is empty")]
MANIFESTS: dict[str, Callable[[Path], object]] = {
    "the manifest is gone": lambda here: (here / MANIFEST).unlink(),
    "a bit of its first line": lambda here: flip_line(here / MANIFEST, 0, 200),
    "a bit of its last line": lambda here: flip_line(here / MANIFEST, 1, 0),
    "its first line is gone": lambda here: cut_lines(here / MANIFEST, 0, 1),
    "its last line is gone": lambda here: cut_lines(here / MANIFEST, 1, 2),
    "it is empty": lambda here: os.truncate(here / MANIFEST, 0),
}


async def healed(scene: Scene, *sources: Source, disk: Disk | None = None) -> Healing:
    return await asyncio.to_thread(heal, scene.folder, sources, disk=disk)


async def assert_healed(scene: Scene, *sources: Source) -> Healing:
    found = await healed(scene, *sources)
    assert found.unhealed == ()
    assert found.healed
    assert scene.files() == scene.whole
    assert await healed(scene, *sources) == Healing((), ())  # again changes nothing
    with scene.opened() as log:
        log.verify()
        assert log.vector() == {"here": LAST}
    return found


@pytest.mark.parametrize("damage", [*SEALED.values(), *LINES.values()], ids=[*SEALED, *LINES])
@pytest.mark.parametrize("who", ["archive", "peer", "bus"])
async def test_each_source_heals_each_damage(scene: Scene, damage: Callable[[Path], object], who: str) -> None:
    damage(scene.here)
    source = scene.bus_source() if who == "bus" else getattr(scene, who)
    found = await assert_healed(scene, AwaySource(), source)
    assert {one.source for one in found.healed} == {source.name}


@pytest.mark.parametrize("damage", MANIFESTS.values(), ids=MANIFESTS)
@pytest.mark.parametrize("who", ["archive", "peer", "itself"])
async def test_a_manifest_is_healed_from_a_copy_or_from_its_segments(
    scene: Scene, damage: Callable[[Path], object], who: str
) -> None:
    damage(scene.here)
    sources = [] if who == "itself" else [getattr(scene, who)]
    (found,) = (await assert_healed(scene, AwaySource(), *sources)).healed
    assert found.source in ({PROVEN, REBUILT} if who == "itself" else {PROVEN, sources[0].name})


async def test_a_manifest_and_a_segment_together_take_a_copy(scene: Scene) -> None:
    (scene.here / MANIFEST).unlink()
    flip(scene.here / FIRST, 60)
    found = await healed(scene, AwaySource())
    assert [one.file for one in found.unhealed] == [MANIFEST]
    await assert_healed(scene, scene.peer)


@pytest.mark.parametrize("damage", [*SEALED.values(), *LINES.values()], ids=[*SEALED, *LINES])
async def test_a_source_that_lies_is_refused_and_the_next_one_is_asked(
    scene: Scene, damage: Callable[[Path], object]
) -> None:
    damage(scene.here)
    is_tail = damage in TAILS
    found = await healed(scene, scene.liar, *([] if is_tail else [scene.clever]))
    assert found.healed == ()
    assert bool(found.unhealed) != is_tail  # what is gone at the end is ingest's to take again
    await assert_healed(scene, scene.liar, *([] if is_tail else [scene.clever]), scene.archive)


async def test_a_manifest_that_is_a_lie_is_refused(scene: Scene) -> None:
    (scene.here / MANIFEST).unlink()
    flip(scene.here / FIRST, 60)
    (unhealed,) = (await healed(scene, scene.liar)).unhealed
    assert "doesn't fit" in str(unhealed)


async def test_a_seek_table_is_made_again_from_the_segment_itself(scene: Scene) -> None:
    flip(scene.here / FIRST, (scene.here / FIRST).stat().st_size - 9)
    (found,) = (await assert_healed(scene)).healed
    assert (found.source, found.first, found.last) == (ITSELF, 1, 8)


async def test_what_nobody_has_is_told_with_its_numbers_and_left_as_it_is(scene: Scene) -> None:
    flip(scene.here / FIRST, 60)
    flip_line(scene.here / OPEN, 2, 140)
    before = scene.files()
    found = await healed(scene, AwaySource())
    assert scene.files() == before
    with pytest.raises(HealingFailed) as raised:
        raise_unhealed(found)
    assert "here:1 to here:8" in str(raised.value)
    assert "unplugged" in str(raised.value)
    assert "--archive" in str(raised.value)


async def test_what_was_damaged_is_kept_beside_and_not_too_much_of_it(scene: Scene) -> None:
    flip(scene.here / FIRST, 60)
    damaged = (scene.here / FIRST).read_bytes()
    for n in range(2 * DAMAGED_KEPT_MAX):
        (scene.here / f"{n:020}.ndjson.damaged").write_bytes(b"x")
    await assert_healed(scene, scene.peer)
    assert (scene.here / f"{FIRST}.damaged").read_bytes() == damaged
    assert len(list(scene.here.glob("*.damaged"))) == DAMAGED_KEPT_MAX


def damage_everything(here: Path) -> None:
    flip_line(here / MANIFEST, 0, 200)
    flip(here / FIRST, 60)
    flip_line(here / OPEN, 2, 140)


async def test_whatever_fails_while_it_heals_each_file_is_as_it_was_or_healed(scene: Scene, tmp_path: Path) -> None:
    damage_everything(scene.here)
    damaged = scene.files()
    disk = CountingDisk()
    pristine = tmp_path / "pristine"
    shutil.copytree(scene.folder, pristine)
    await healed(scene, scene.peer, disk=disk)
    assert scene.files() == scene.whole
    for touch in range(1, disk.touches + 1):
        for faulty in (FullDisk(touch, touch), DyingDisk(touch, loses_unsynced=touch % 2 == 0)):
            shutil.rmtree(scene.folder)
            shutil.copytree(pristine, scene.folder)
            with suppress(LogWriteFailed, Crash):
                heal(scene.folder, [scene.peer], disk=faulty)
            left = {name: data for name, data in scene.files().items() if not name.endswith(".tmp")}
            assert left.keys() == damaged.keys()
            assert all(data in (damaged[name], scene.whole[name]) for name, data in left.items()), touch
            heal(scene.folder, [scene.peer])
            assert {name: data for name, data in scene.files().items() if not name.endswith(".tmp")} == scene.whole


@pytest.mark.parametrize("name", ["a bit of a segment", "both are gone", "a bit of the last line", "the file is gone"])
async def test_a_log_that_is_open_is_healed_and_goes_on(scene: Scene, name: str) -> None:
    with scene.opened() as log:
        list(log.read("here"))
        (SEALED | LINES)[name](scene.here)
        found = heal_open(log, [scene.peer], [f"here/{name}" for name in (FIRST, SECOND, OPEN)])
        assert found.healed
        assert found.unhealed == ()
        assert scene.files() == scene.whole
        assert [record.n for record in log.read("here")] == list(range(1, LAST + 1))
        await scene.bus.publish(event("run-new", at=99))
        log.append("here", scene.bus._events)
        log.seal_full_segments()
    with scene.opened() as log:
        assert log.vector() == {"here": LAST + 1}
        log.verify()
