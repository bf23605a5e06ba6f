"""The hub of live events: each reader gets what it asked for, in order and once, or is told that it was cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops.api.events import Wanted, _followed
from rookery.ops.lanes import Lane
from rookery.ops.live import GROUP_BYTES_MAX, Live, Reader, ReaderTooSlow, TooManyReaders
from rookery.ops.seen import Filters, Seen, position_in
from rookery.schemas import Event, EventData, RunCompleted, RunStarted, encode, subject_of

ORIGINS = ("east", "local", "west")


class World:
    """A log, its hub, and what was appended, by origin."""

    def __init__(self, log: Log, live: Live, reads: Lane) -> None:
        self.log = log
        self.live = live
        self.reads = reads
        self.appended: dict[str, int] = {}

    def append(self, *facts: EventData, origin: str = "local") -> None:
        first = self.appended.get(origin, 0) + 1
        self.appended[origin] = first + len(facts) - 1
        events = [Event.of(fact, subject=f"run-{n}", source="/agents/coder-7") for n, fact in enumerate(facts, first)]
        self.log.append(
            origin, [Delivery(n, subject_of(one), encode(one), one.time) for n, one in enumerate(events, first)]
        )
        self.live.wake()

    def join(self, position: dict[str, int] | None = None, filters: Filters | None = None) -> Reader:
        return self.live.join(position or {}, filters or Filters(), self.reads)


@asynccontextmanager
async def world(folder: Path, **options: Any) -> AsyncIterator[World]:
    with Log.open(folder, segment_events_max=50) as log:
        live = Live(log, flush_seconds=0.0, **options)
        running = asyncio.create_task(live.run())
        try:
            yield World(log, live, Lane("reads", 2, 100))
        finally:
            running.cancel()
            await asyncio.wait([running])


def started(count: int) -> list[RunStarted]:
    return [RunStarted(agent_id="coder-7") for _ in range(count)]


async def take(reader: Reader, count: int) -> list[Seen]:
    found: list[Seen] = []
    while len(found) < count:
        seen = await reader.take(30.0)
        assert seen, "nothing came for 30 s"
        found += seen
    return found


def places(seen: list[Seen]) -> list[tuple[str, int]]:
    lines = [msgspec.json.decode(one.line) for one in seen]
    return [(line["origin"], line["n"]) for line in lines]


def of_one(origin: str, numbers: range) -> list[tuple[str, int]]:
    return [(origin, n) for n in numbers]


async def test_history_goes_over_into_what_is_new_without_a_gap(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.append(*started(120))
        with it.join() as reader:
            found = await take(reader, 30)
            it.append(*started(30))
            found += await take(reader, 150 - len(found))
            it.append(*started(5))
            found += await take(reader, 5)
            assert places(found) == of_one("local", range(1, 156))
            assert reader.is_live


async def test_any_position_that_was_given_out_goes_on_behind_it(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        for origin in ORIGINS:
            it.append(*started(7), origin=origin)
        with it.join() as reader:
            found = await take(reader, 10)
            for origin in ORIGINS:
                it.append(*started(3), origin=origin)
            found += await take(reader, 30 - len(found))
        everything = set(places(found))
        assert len(everything) == len(found) == 30
        for index, seen in enumerate(found):
            with it.join(position_in(seen.position, it.log.vector())) as resumed:
                rest = await take(resumed, len(found) - index - 1)
            assert set(places(rest)) == everything - set(places(found[: index + 1]))


async def test_an_origin_that_a_position_does_not_name_is_read_from_its_beginning(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.append(*started(4))
        with it.join({"local": 4}) as reader:
            it.append(*started(2), origin="west")
            assert places(await take(reader, 2)) == [("west", 1), ("west", 2)]


async def test_a_reader_that_does_not_read_holds_up_nobody_and_is_cut(tmp_path: Path) -> None:
    limits = {"ring_events_max": 64, "ring_bytes_max": 32 * 1024, "behind_events_max": 200}
    async with world(tmp_path, **limits) as it:
        it.append(*started(1))
        with it.join() as sleeper, it.join() as reader:
            await take(sleeper, 1)
            await take(reader, 1)
            for turn in range(50):
                it.append(*started(10))
                assert places(await take(reader, 10))[-1] == ("local", 11 + 10 * turn)
                assert it.live.held_events <= 64
                assert it.live.held_bytes <= 32 * 1024
            assert it.live.readers == 1
            with pytest.raises(ReaderTooSlow) as cut:
                await sleeper.take(30.0)
            assert cut.value.position == "local:1"


async def test_who_follows_in_lines_and_falls_behind_has_the_rest_from_the_log(tmp_path: Path) -> None:
    limits = {"ring_events_max": 64, "behind_events_max": 20, "readers_max": 2}
    async with world(tmp_path, **limits) as it, asyncio.timeout(60):
        it.append(*started(1))
        node: Any = SimpleNamespace(log=it.log, live=it.live)
        reader, wanted = it.join({"local": 1}), Wanted(Filters(), None, None, {"local": 1})
        chunks = _followed(node, it.reads, reader, {}, wanted, limit=152)
        lines = (await anext(chunks)).splitlines()
        it.append(*started(1))
        lines += (await anext(chunks)).splitlines()
        for _ in range(15):
            it.append(*started(10))
            with it.join({"local": it.appended["local"] - 1}) as other:
                await take(other, 1)
        assert reader.is_cut
        async for chunk in chunks:
            lines += chunk.splitlines()
        assert [msgspec.json.decode(line)["n"] for line in lines] == [*range(1, 153)]
        assert it.live.readers == 0


async def test_what_a_reader_takes_at_once_is_bounded_however_big_events_are(tmp_path: Path) -> None:
    big = RunStarted(task="x" * (GROUP_BYTES_MAX // 3))
    async with world(tmp_path, ring_bytes_max=2 * GROUP_BYTES_MAX) as it:
        it.append(*[big] * 20)
        with it.join() as reader:
            await take(reader, 1)  # history
            it.append(*[big] * 20)
            found = 1
            while found < 38:
                seen = await reader.take(30.0) or []
                found += len(seen)
                assert sum(len(one.line) for one in seen) <= 2 * GROUP_BYTES_MAX
            assert it.live.held_bytes <= 2 * GROUP_BYTES_MAX


async def test_a_reader_that_fell_behind_a_little_is_served_from_the_log(tmp_path: Path) -> None:
    async with world(tmp_path, ring_events_max=16, behind_events_max=10_000) as it:
        it.append(*started(1))
        with it.join() as slow, it.join() as reader:
            await take(slow, 1)
            await take(reader, 1)
            for _ in range(20):
                it.append(*started(8))
                await take(reader, 8)
            assert places(await take(slow, 160)) == of_one("local", range(2, 162))


async def test_one_too_many_is_refused_until_one_has_stalled(tmp_path: Path) -> None:
    async with world(tmp_path, readers_max=2, stalled_seconds_max=0.0) as it:
        it.append(*started(1))
        with it.join() as stalling, it.join(filters=Filters.of(agent="nobody")) as patient:
            waiting = asyncio.create_task(patient.take(30.0))
            coming = asyncio.create_task(take(stalling, 1))
            await asyncio.sleep(0)  # both wait for more
            with pytest.raises(TooManyReaders):
                it.join()
            await coming
            with it.join():
                assert it.live.readers == 2
                with pytest.raises(ReaderTooSlow):
                    await stalling.take(30.0)
            waiting.cancel()


async def test_readers_end_when_the_hub_closes(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.append(*started(1))
        with it.join() as reader:
            await take(reader, 1)
            waiting = asyncio.create_task(reader.take(30.0))
            await asyncio.sleep(0)
            it.live.close()
            assert await waiting is None


async def test_without_events_a_reader_hears_that_nothing_came(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        with it.join() as reader:
            assert await reader.take(0.0) == []


async def test_a_hub_that_nobody_listened_to_goes_on_where_the_log_is(tmp_path: Path) -> None:
    async with world(tmp_path, ring_events_max=16) as it:
        for count in (5, 200):
            it.append(*started(count))
            with it.join({"local": it.appended["local"] - 3}) as reader:
                assert [n for _, n in places(await take(reader, 3))] == [
                    it.appended["local"] - back for back in (2, 1, 0)
                ]


FILTERS: list[tuple[Filters, Callable[[int], bool]]] = [
    (Filters(), lambda n: True),
    (Filters.of(["run.completed"]), lambda n: n % 3 == 0),
    (Filters.of(agent="coder-7"), lambda n: True),
    (Filters.of(["run.*"], entity="run/run-4"), lambda n: n == 4),
    (Filters.of(agent="nobody"), lambda n: False),
]


def fact(n: int) -> EventData:
    return RunCompleted(success=True, agent_id="coder-7") if n % 3 == 0 else RunStarted(agent_id="coder-7")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(ORIGINS), st.integers(1, 12)),
        st.tuples(st.just("join"), st.integers(0, len(FILTERS) - 1), st.floats(0, 1)),
        st.tuples(st.just("take"), st.integers(0, 9), st.integers(1, 5)),
        st.tuples(st.just("pause"), st.integers(1, 20), st.just(0)),
    ),
    max_size=30,
)


@given(steps=STEPS, ring=st.integers(1, 30), behind=st.integers(5, 80))
@settings(max_examples=60, deadline=None)
def test_each_reader_gets_exactly_what_follows_its_position_or_is_cut(
    steps: list[tuple[str, Any, Any]], ring: int, behind: int
) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(_live_through(Path(folder), steps, ring, behind))


async def _live_through(folder: Path, steps: list[tuple[str, Any, Any]], ring: int, behind: int) -> None:
    listeners: list[Listener] = []
    async with world(folder, ring_events_max=ring, behind_events_max=behind) as it:
        for what, first, second in steps:
            if what == "append":
                begin = it.appended.get(first, 0) + 1
                it.append(*(fact(n) for n in range(begin, begin + second)), origin=first)
            elif what == "join":
                start = {origin: int(n * second) for origin, n in it.appended.items()}
                listeners.append(Listener(it, start, *FILTERS[first]))
            elif what == "take" and listeners:
                await listeners[first % len(listeners)].take(second)
            elif what == "pause":
                for _ in range(first):
                    await asyncio.sleep(0)
        for listener in listeners:
            await listener.take_all()
            listener.check()


class Listener:
    """A reader and what it has taken, held against what it should have."""

    def __init__(self, it: World, start: dict[str, int], filters: Filters, fits: Callable[[int], bool]) -> None:
        self._it = it
        self._start = start
        self._fits = fits
        self._reader = it.join(start, filters)
        self._found: list[Seen] = []
        self._cut = False

    async def take(self, times: int) -> None:
        for _ in range(times):
            try:
                self._found += await self._reader.take(0.0) or []
            except ReaderTooSlow:
                self._cut = True

    async def take_all(self) -> None:
        while not self._cut and dict(self._reader.position) != self._it.log.vector():
            await self.take(1)

    def check(self) -> None:
        for origin in ORIGINS:
            numbers = range(self._start.get(origin, 0) + 1, self._it.appended.get(origin, 0) + 1)
            expected = [n for n in numbers if self._fits(n)]
            found = [n for one, n in places(self._found) if one == origin]
            assert found == (expected[: len(found)] if self._cut else expected)
