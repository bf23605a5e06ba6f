"""A peer that is reached over NATS: on the same bus, or on any that a leaf node or a gateway connects with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from ...bus import (
    BusUnavailable,
    CommandFailed,
    CommandRefused,
    NoResponder,
    Requester,
    RequestTimedOut,
    shown_url,
)
from ...schemas import InvalidInput
from .peers import CHAINS_AT_ONCE_MAX, Chain, Offer, PeerLied, PeerRefused, PeerUnreachable, Run
from .pulling import Pulled
from .questions import (
    HEAD_BYTES_MAX,
    PIECE_BYTES_MAX,
    AnswerChanged,
    InvalidPiece,
    Piece,
    Question,
    decode_piece,
    digest_of,
    subject_of,
)
from .runs import ENCODED_BYTES_MAX, InvalidRun, decode_run

SCHEMES = ("nats", "tls", "ws", "wss")
PIECES_AT_ONCE_MAX = 4
PIECES_MAX = 16_384  # of one answer: a bus with small messages has small ones
PIECE_SECONDS_MAX = 20.0
ATTEMPTS_MAX = 3
PULL_SECONDS_MAX = 3_600.0
ANSWER_BYTES_MAX = 4 * 2**20  # of an answer that is no events

Answer = TypeVar("Answer")

_offer = msgspec.json.Decoder(Offer).decode
_chains = msgspec.json.Decoder(list[Chain]).decode
_pulled = msgspec.json.Decoder(Pulled).decode


class NatsPeer:
    """Another node, as `nats://host:4222/NODE`. Close it in the end.

    `nats:///NODE` is a node that this one's own bus reaches, by itself or over what is connected with it: that is
    `bus_url`, and there as anywhere this node shows its `credentials`.
    """

    def __init__(self, url: str, *, bus_url: str | None = None, credentials: Path | None = None) -> None:
        server, _, node = url.rpartition("/")
        scheme, mark, host = server.partition("://")
        if not mark or scheme not in SCHEMES or not node or not (host or bus_url):
            raise InvalidInput(
                f"{url!r} is no peer on NATS: say nats://HOST:PORT/NODE, or nats:///NODE on one's own bus"
            )
        self._name = shown_url(url)
        self._subject = subject_of(node)
        self._bus = Requester(server if host else str(bus_url), name=f"sync with {node}", credentials=credentials)

    @property
    def name(self) -> str:
        """Its URL."""
        return self._name

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._bus.close()

    async def offer(self) -> Offer:
        """What it has."""
        return self._read("its offer", _offer, await self._ask(Question(ask="offer"), ANSWER_BYTES_MAX))

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines."""
        question = Question(ask="chains", origin=origin, at=list(numbers[:CHAINS_AT_ONCE_MAX]))
        return self._read(f"{origin}'s chains", _chains, await self._ask(question, ANSWER_BYTES_MAX))

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines for what is sealed after `after`."""
        answer = await self._ask(Question(ask="manifest", origin=origin, after=after), ANSWER_BYTES_MAX)
        return answer.split(b"\n")[:-1]

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """The sealed file that begins with a line."""
        return await self._ask(Question(ask="segment", origin=origin, after=first - 1), size_bytes)

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some of the lines after `after`."""
        question = Question(ask="lines", origin=origin, after=after, up_to=up_to)
        answer = await self._ask(question, ENCODED_BYTES_MAX)
        try:
            return await asyncio.to_thread(decode_run, answer)
        except InvalidRun as error:
            raise PeerLied(self._name, f"{origin}:{after + 1}", str(error)) from None

    async def have_it_pull(self, peer: str) -> Pulled:
        """Have it copy from `peer` what it lacks."""
        question = Question(ask="pull", peer=peer)
        answer = await self._ask(question, ANSWER_BYTES_MAX, piece_seconds_max=PULL_SECONDS_MAX, attempts=1)
        return self._read("what it copied", _pulled, answer)

    async def _ask(
        self,
        question: Question,
        bytes_max: int,
        *,
        piece_seconds_max: float = PIECE_SECONDS_MAX,
        attempts: int = ATTEMPTS_MAX,
    ) -> bytes:
        """The answer's bytes, of which there may be so many."""
        for _ in range(attempts):
            try:
                answer = await _Answer(self, question, bytes_max, piece_seconds_max, attempts).all()
            except AnswerChanged:
                continue
            return answer
        raise PeerUnreachable(self._name, "it answers differently each time")

    async def piece(self, question: Question, seconds_max: float, attempts: int) -> Piece:
        """One piece of an answer; asked for again where nothing comes. Raises `AnswerChanged`, `PeerError`."""
        for attempt in range(1, attempts + 1):
            try:
                payload = msgspec.json.encode(question)
                return decode_piece(await self._bus.request(self._subject, payload, timeout_seconds=seconds_max))
            except CommandRefused as refused:
                if refused.type == AnswerChanged.__name__:
                    raise AnswerChanged from None
                raise PeerRefused(self._name, refused.reason) from None
            except InvalidPiece as error:
                raise PeerLied(self._name, question.ask, str(error)) from None
            except NoResponder as error:
                raise PeerUnreachable(self._name, str(error)) from None
            except (BusUnavailable, RequestTimedOut, CommandFailed) as error:
                if attempt == attempts:
                    raise PeerUnreachable(self._name, str(error)) from None
        raise AssertionError("the last attempt returns or raises")

    async def piece_bytes(self) -> int:
        """How large a piece may be to fit into a message here."""
        try:
            limit = await self._bus.max_payload_bytes()
        except BusUnavailable as error:
            raise PeerUnreachable(self._name, str(error)) from None
        return min(PIECE_BYTES_MAX, limit - HEAD_BYTES_MAX)

    def _read(self, what: str, decode: Callable[[bytes], Answer], answer: bytes) -> Answer:
        try:
            return decode(answer)
        except msgspec.MsgspecError as error:
            raise PeerLied(self._name, what, str(error)) from None


class _Answer:
    """An answer that comes in pieces, of which some are asked for at a time."""

    def __init__(self, peer: NatsPeer, question: Question, bytes_max: int, seconds_max: float, attempts: int) -> None:
        self._peer = peer
        self._question = question
        self._bytes_max = bytes_max
        self._seconds_max = seconds_max
        self._attempts = attempts

    async def all(self) -> bytes:
        size = await self._peer.piece_bytes()
        self._question = msgspec.structs.replace(self._question, piece_bytes=size)
        first = await self._piece(0)
        if first.size_bytes > self._bytes_max:
            raise self._lie(f"it is longer than the {self._bytes_max:,} bytes that it may have")
        step = len(first.data)
        if step * PIECES_MAX < first.size_bytes:
            raise self._lie(f"with pieces of {step} bytes it would come in more than {PIECES_MAX:,}")
        self._question = msgspec.structs.replace(self._question, answer=first.answer)
        found = [first.data]
        offsets = range(step, first.size_bytes, step) if step else range(0)
        for start in range(0, len(offsets), PIECES_AT_ONCE_MAX):
            asked = offsets[start : start + PIECES_AT_ONCE_MAX]
            pieces = await self._pieces(asked)
            if any(len(piece.data) > step for piece in pieces):
                raise self._lie("its pieces are of more bytes than the first")
            found += [piece.data for piece in pieces]
        answer = b"".join(found)
        if len(answer) != first.size_bytes or await asyncio.to_thread(digest_of, answer) != first.answer:
            raise self._lie("the pieces don't make what they are said to")
        return answer

    async def _pieces(self, offsets: Sequence[int]) -> list[Piece]:
        outcomes = await asyncio.gather(*map(self._piece, offsets), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Piece)]

    async def _piece(self, offset: int) -> Piece:
        question = msgspec.structs.replace(self._question, offset=offset)
        piece = await self._peer.piece(question, self._seconds_max, self._attempts)
        if len(piece.data) > self._question.piece_bytes:
            raise self._lie("a piece of it is longer than was asked for")
        return piece

    def _lie(self, reason: str) -> PeerLied:
        return PeerLied(self._peer.name, self._question.ask, reason)
