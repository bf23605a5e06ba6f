"""Replaying to files and at a pace: whole, in order, and resumed wherever it was interrupted."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.bus import ReplayBus
from rookery.bus.connection import Connection
from rookery.eventstore import Log, Replay, Retold
from rookery.ops.nats_server import NatsServer
from rookery.ops.replay import (
    BusSink,
    CannotReplay,
    Clock,
    FileSink,
    Pace,
    Progress,
    Sink,
    StreamSink,
    place_to_resume,
    tell_all,
)
from rookery.ops.replay_files import ReplayFile, UnfitFile
from rookery.ops.seen import position_in
from rookery.schemas import mark_in
from rookery.tests.eventstore.deliveries import many

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NAMES = ["told.ndjson", "told.ndjson.zst"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log.open(tmp_path_factory.mktemp("log"), segment_events_max=64) as opened:
        opened.append("here", many(200))
        opened.seal_full_segments()
        yield opened


@pytest.fixture(scope="module")
def events(log: Log) -> list[Retold]:
    return list(whole(log))


def whole(log: Log, name: str = "past", after: dict[str, int] | None = None) -> Replay:
    return Replay(log, name, after=after or {}, up_to={"here": 200})


async def tell(log: Log, sink: Sink, *, resume: bool = False, name: str = "past") -> int:
    try:
        place = await place_to_resume(sink, name, resume=resume)
        after = position_in(place, log.vector()) if place else {}
        return (await tell_all(whole(log, name, after), sink)).told
    finally:
        await sink.close()


def lines(path: Path) -> list[bytes]:
    content = path.read_bytes()
    if path.name.endswith(".zst"):
        content = zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read()
    return content.splitlines()


@pytest.mark.parametrize("name", NAMES)
async def test_a_file_gets_one_event_a_line(log: Log, events: list[Retold], tmp_path: Path, name: str) -> None:
    assert await tell(log, FileSink(tmp_path / name)) == 200
    assert lines(tmp_path / name) == [one.payload for one in events]


@pytest.mark.parametrize("name", NAMES)
async def test_a_finished_replay_that_is_resumed_tells_nothing_twice(log: Log, tmp_path: Path, name: str) -> None:
    await tell(log, FileSink(tmp_path / name))
    before = (tmp_path / name).read_bytes()
    assert await tell(log, FileSink(tmp_path / name), resume=True) == 0
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), steps=st.lists(st.integers(1, 90), min_size=1, max_size=4))
def test_a_file_that_was_cut_at_any_byte_is_made_whole_again(
    log: Log, events: list[Retold], tmp_path: Path, name: str, share: float, steps: list[int]
) -> None:
    path = tmp_path / name
    path.unlink(missing_ok=True)
    file = ReplayFile(path)
    begin = 0
    for step in steps:
        file.write([one.payload for one in events[begin : begin + step]])
        begin += step
    file.close()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    asyncio.run(tell(log, FileSink(path), resume=True))
    assert lines(path) == [one.payload for one in events]


@pytest.mark.parametrize("name", NAMES)
async def test_what_an_interruption_left_behind_is_cut_off_even_where_nothing_follows(
    log: Log, tmp_path: Path, name: str
) -> None:
    await tell(log, FileSink(tmp_path / name))
    content = (tmp_path / name).read_bytes()
    torn = content[:40] if name.endswith(".zst") else b'{"replayname":"past","replayaddr'
    (tmp_path / name).write_bytes(content + torn)
    assert await tell(log, FileSink(tmp_path / name), resume=True) == 0
    assert (tmp_path / name).read_bytes() == content


async def test_a_file_with_a_replay_is_not_written_over(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "told.ndjson"
    await tell(log, FileSink(path))
    with pytest.raises(CannotReplay, match="--resume"):
        await tell(log, FileSink(path))
    with pytest.raises(CannotReplay, match="'past'"):
        await tell(log, FileSink(path), name="other", resume=True)


@pytest.mark.parametrize("content", [b"my diary\n", b'{"a": 1}\n', b"\n", b'{"replayaddress": "local:1"}\n'])
async def test_a_file_of_anything_else_is_refused_and_left_alone(log: Log, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "told.ndjson"
    path.write_bytes(content)
    with pytest.raises(CannotReplay):
        await tell(log, FileSink(path), resume=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [b"my diary, without an end", b"\x00" * 5_000, b"my"])
async def test_what_is_no_replay_is_never_cut(log: Log, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for resume in (True, False):
        with pytest.raises((CannotReplay, UnfitFile)):
            await tell(log, FileSink(path), resume=resume)
    assert path.read_bytes() == content


async def test_two_replays_never_write_one_file(log: Log, tmp_path: Path) -> None:
    first = FileSink(tmp_path / "told.ndjson")
    with pytest.raises(UnfitFile, match="another process"):
        FileSink(tmp_path / "told.ndjson")
    await first.close()


async def test_a_stream_gets_lines(log: Log, events: list[Retold]) -> None:
    stream = io.BytesIO()
    assert await tell(log, StreamSink(stream)) == 200
    assert stream.getvalue().splitlines() == [one.payload for one in events]


def dues(pace: Pace, *seconds: float) -> list[float]:
    clock = Clock(pace)
    return [clock.due_seconds(NOON + timedelta(seconds=one)) for one in seconds]


def test_events_are_due_as_far_apart_as_they_were_recorded() -> None:
    assert dues(Pace(1), 0, 1, 1, 61) == [0, 1, 1, 61]
    assert dues(Pace(10), 0, 1, 1, 61) == pytest.approx([0, 0.1, 0.1, 6.1])
    assert dues(Pace(1, pause_seconds_max=2), 0, 1, 61, 62) == [0, 1, 3, 4]
    assert dues(Pace(1), 5, 4, 6) == [0, 0, 2]  # the bus's clock was put back
    assert dues(Pace(), 0, 60) == [0, 0]


class Ear:
    """Takes events, and remembers where they come from."""

    target = "nowhere"

    def __init__(self, event_bytes_max: int | None = None) -> None:
        self.event_bytes_max = event_bytes_max
        self.addresses: list[str] = []
        self.heard = asyncio.Event()

    async def last(self) -> bytes | None:
        return None

    async def go_on(self) -> None: ...

    async def tell(self, events: Sequence[Retold]) -> None:
        self.addresses += [mark.replayaddress for one in events if (mark := mark_in(one.payload))]
        self.heard.set()

    async def close(self) -> None: ...


async def test_a_replay_at_a_pace_waits_until_an_event_is_due(log: Log) -> None:
    ear = Ear()
    telling = asyncio.create_task(tell_all(whole(log), ear, Pace(1e-3)))  # the second is due in a quarter of an hour
    await ear.heard.wait()
    done, _ = await asyncio.wait([telling], timeout=0.2)
    assert (done, ear.addresses) == (set(), ["here:1"])
    telling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await telling


async def test_what_is_too_large_for_its_target_is_left_out_and_counted(log: Log, events: list[Retold]) -> None:
    told = await tell_all(whole(log), Ear(event_bytes_max=10))
    assert (told.told, told.left_out, told.seen) == (0, 200, 200)


async def test_a_replay_on_a_bus_that_was_interrupted_is_whole_when_it_is_resumed(
    log: Log, events: list[Retold], nats_server: NatsServer
) -> None:
    for stop_after in (1, 7, 30, None):
        sink = BusSink(await ReplayBus.connect(nats_server.url, "past"))
        place = await place_to_resume(sink, "past", resume=True)
        replay = whole(log, "past", position_in(place, log.vector()) if place else {})

        def interrupt(progress: Progress, replay: Replay = replay, limit: int | None = stop_after) -> None:
            if limit is not None and progress.told >= limit:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            await tell_all(replay, sink, Pace(1e6), interrupt)
        await sink.close()
    connection = await Connection.open(nats_server.url)
    subscription = await connection.client.jetstream().subscribe("replay.past.>", ordered_consumer=True)
    heard = [(await subscription.next_msg(timeout=5)).data for _ in events]
    assert heard == [one.payload for one in events]
    assert (await subscription.consumer_info()).num_pending == 0
    await connection.close()
