"""Answers over NATS come whole, in pieces of any size, through cuts, from a log that grows, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rookery.bus import NatsBus
from rookery.eventstore import Log
from rookery.ops.nats_server import ANY_FREE_PORT, NatsServer
from rookery.ops.syncing import LogPeer, NatsPeer, Offering, PeerLied, PeerRefused, PeerUnreachable, Pull, Pulled
from rookery.ops.syncing.nats_peer import PIECES_AT_ONCE_MAX
from rookery.ops.syncing.nats_service import SyncService, serve_sync
from rookery.ops.syncing.questions import HEAD_BYTES_MAX, Question, decode_piece, encode_piece, subject_of
from rookery.tests.bus.conftest import Wire
from rookery.tests.eventstore.deliveries import many

PAYLOAD_BYTES = HEAD_BYTES_MAX + 900


async def nothing(_: str) -> Pulled:
    return Pulled(peer="")


class Tight(AsyncExitStack):
    """A node's log behind a bus whose messages are small, and a wire to it that can be cut."""

    async def open(self, folder: Path) -> None:
        server = await self.enter_async_context(
            await NatsServer.start(folder / "nats", port=ANY_FREE_PORT, max_payload_bytes=PAYLOAD_BYTES)
        )
        self.bus = await self.enter_async_context(await NatsBus.connect(server.url))
        self.log = self.enter_context(Log.open(folder / "there", own=("east",), segment_events_max=40))
        self.here = self.enter_context(Log.open(folder / "here", own=("west",)))
        self.log.append("east", many(150))
        self.log.seal_full_segments()
        self.wire = Wire(server.port)
        await self.wire.open()
        self.push_async_callback(self.wire.close)
        self.peer = NatsPeer(f"{self.wire.url}/east")
        self.push_async_callback(self.peer.aclose)

    async def served(self) -> None:
        await serve_sync(self.bus, "east", Offering(self.log, "east"), nothing)


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Tight]:
    async with Tight() as found:
        await found.open(tmp_path)
        yield found


def lines(log: Log) -> list[bytes]:
    return [record.line for record in log.read("east")]


async def test_answers_larger_than_a_message_come_in_pieces(tight: Tight) -> None:
    await tight.served()
    whole = await LogPeer(tight.log).segment("east", 1, 10**6)
    assert len(whole) > PAYLOAD_BYTES
    assert await tight.peer.segment("east", 1, len(whole)) == whole
    assert (await Pull(tight.here, tight.peer, ("west",)).run()).wrong == []
    assert lines(tight.here) == lines(tight.log)


async def test_a_pull_goes_on_though_the_wire_is_cut(tight: Tight) -> None:
    await tight.served()

    async def cut() -> None:
        pauses = (0.05 * 1.2**n for n in range(99))  # at last so long that a slow machine comes to something in one
        while tight.here.vector().get("east", 0) < 150:
            await tight.wire.cut()
            await asyncio.sleep(next(pauses))

    cutting = asyncio.create_task(cut())
    async with asyncio.timeout(60):
        while tight.here.vector().get("east", 0) < 150:
            try:
                await Pull(tight.here, tight.peer, ("west",)).run()
            except PeerUnreachable:
                await asyncio.sleep(0.01)
    cutting.cancel()
    assert lines(tight.here) == lines(tight.log)


async def test_an_answer_that_changes_between_its_pieces_is_asked_for_again(
    tight: Tight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rookery.ops.syncing.nats_peer.PIECE_BYTES_MAX", 100)
    service = SyncService(Offering(tight.log, "east"), nothing, piece_bytes_max=PAYLOAD_BYTES)
    asked = 0

    async def grows(payload: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 2:  # what the first piece was of is forgotten, and made anew from more
            service._kept.clear()
            tight.log.append("east", many(30, first=500))
        return await service.answer(payload)

    await tight.bus.serve(subject_of("east"), grows, queue="test")
    run = await tight.peer.lines("east", 120, 180)
    assert asked > 3
    assert run == await LogPeer(tight.log).lines("east", 120, 180)


LIES: dict[str, Callable[[bytes], bytes]] = {
    "no head": lambda piece: b"{}\n" + piece,
    "nothing": lambda piece: b"",
    "an edited byte": lambda piece: piece[:-1] + bytes([piece[-1] ^ 1]),
    "an empty piece": lambda piece: piece.partition(b"\n")[0] + b"\n",
    "a longer answer": lambda piece: piece.replace(b'"size_bytes":', b'"size_bytes":9'),
    "a shorter one": lambda piece: b'{"answer":"x","size_bytes":3}\n' + piece.partition(b"\n")[2],
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_peer_that_lies_is_refused(tight: Tight, lie: Callable[[bytes], bytes]) -> None:
    service = SyncService(Offering(tight.log, "east"), nothing, piece_bytes_max=PAYLOAD_BYTES)

    async def lies(payload: bytes) -> bytes:
        return lie(await service.answer(payload))

    await tight.bus.serve(subject_of("east"), lies, queue="test")
    size_bytes = len(await LogPeer(tight.log).segment("east", 1, 10**6))
    async with asyncio.timeout(20):
        with pytest.raises(PeerLied, match="segment"):
            await tight.peer.segment("east", 1, size_bytes)


async def test_an_answer_in_too_many_pieces_is_not_begun(tight: Tight) -> None:
    asked = 0

    async def trickles(_: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b'{"answer":"x","size_bytes":1000000}\n1'

    await tight.bus.serve(subject_of("east"), trickles, queue="test")
    async with asyncio.timeout(20):
        with pytest.raises(PeerLied, match="pieces of 1 bytes"):
            await tight.peer.lines("east", 0, 10)
    assert asked == 1


async def test_pieces_that_grow_are_refused_as_they_come(tight: Tight) -> None:
    asked = 0

    async def grows(_: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b'{"answer":"x","size_bytes":1000}\n' + b"1" * (10 if asked == 1 else 500)

    await tight.bus.serve(subject_of("east"), grows, queue="test")
    with pytest.raises(PeerLied, match="more bytes than the first"):
        await tight.peer.lines("east", 0, 10)
    assert asked <= 1 + PIECES_AT_ONCE_MAX


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"ask":"delete"}', b'{"ask":"offer","more":1}', b"\xff"])
async def test_what_is_no_question_is_refused(tight: Tight, payload: bytes) -> None:
    await tight.served()
    with pytest.raises(Exception, match="no question of sync"):
        await tight.bus.request(subject_of("east"), payload)


async def test_a_node_that_crashes_over_it_is_unreachable(tight: Tight) -> None:
    async def crashes(_: bytes) -> bytes:
        raise ZeroDivisionError

    await tight.bus.serve(subject_of("east"), crashes, queue="test")
    with pytest.raises(PeerUnreachable):
        await tight.peer.offer()


async def test_no_more_answers_are_kept_than_may(tight: Tight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rookery.ops.syncing.nats_service.ANSWERS_KEPT_MAX", 2)
    service = SyncService(Offering(tight.log, "east"), nothing, piece_bytes_max=PAYLOAD_BYTES)
    for after in (0, 40, 80):
        await service.answer(msgspec.json.encode(Question(ask="segment", origin="east", after=after, piece_bytes=10)))
    assert len(service._kept) == 2


@pytest.mark.parametrize("offset", [0, 5, 10, 99])
def test_a_piece_comes_out_as_it_went_in(offset: int) -> None:
    question = Question(ask="offer", offset=offset, piece_bytes=7)
    piece = decode_piece(encode_piece(question, b"0123456789\n", "digest", 10**6))
    assert piece == ("digest", 11, b"0123456789\n"[offset : offset + 7])


async def test_an_unknown_origin_is_refused_and_not_asked_again(tight: Tight) -> None:
    answers: list[Any] = []
    service = SyncService(Offering(tight.log, "east"), nothing, piece_bytes_max=PAYLOAD_BYTES)

    async def counted(payload: bytes) -> bytes:
        answers.append(payload)
        return await service.answer(payload)

    await tight.bus.serve(subject_of("east"), counted, queue="test")
    with pytest.raises(PeerRefused):
        await tight.peer.lines("elsewhere", 0, 10)
    assert len(answers) == 1
