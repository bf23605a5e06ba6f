"""What a node answers to those who sync with it over NATS."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import msgspec

from ...bus import NatsBus, Service
from ...schemas import InvalidInput
from .offering import Offering
from .pulling import Pulled
from .questions import Question, digest_of, encode_piece, subject_of
from .runs import encode_run

QUESTIONS_AT_ONCE_MAX = 4
# Answers that are asked for piece by piece are kept, and not made anew for each: so many, and so many bytes.
ANSWERS_KEPT_MAX = 8
ANSWERS_KEPT_BYTES_MAX = 64 * 2**20
QUEUE = "sync"


class SyncService:
    """Answers questions about a log. `pull` has this node copy from the peer of that name."""

    def __init__(self, offering: Offering, pull: Callable[[str], Awaitable[Pulled]], *, piece_bytes_max: int) -> None:
        self._offering = offering
        self._pull = pull
        self._piece_bytes_max = piece_bytes_max
        self._room = asyncio.Semaphore(QUESTIONS_AT_ONCE_MAX)
        self._kept: OrderedDict[bytes, tuple[str, bytes]] = OrderedDict()

    async def answer(self, payload: bytes) -> bytes:
        """The piece of the answer that is asked for. Raises `InvalidInput`, `AnswerChanged`, `EventStoreError`."""
        try:
            question = msgspec.json.decode(payload, type=Question)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"no question of sync: {error}") from None
        key = msgspec.json.encode(question.whole)
        digest, answer = (self._kept.get(key) if question.offset else None) or await self._made(question, key)
        return encode_piece(question, answer, digest, self._piece_bytes_max)

    async def _made(self, question: Question, key: bytes) -> tuple[str, bytes]:
        if question.ask == "pull":
            answer = msgspec.json.encode(await self._pull(question.peer))
        else:
            async with self._room:
                answer = await asyncio.to_thread(self._found, question)
        made = await asyncio.to_thread(digest_of, answer), answer
        if len(answer) > question.piece_bytes:
            self._keep(key, made)
        return made

    def _keep(self, key: bytes, made: tuple[str, bytes]) -> None:
        self._kept[key] = made
        self._kept.move_to_end(key)
        while len(self._kept) > ANSWERS_KEPT_MAX or sum(len(one) for _, one in self._kept.values()) > (
            ANSWERS_KEPT_BYTES_MAX
        ):
            self._kept.popitem(last=False)

    def _found(self, question: Question) -> bytes:
        match question.ask:
            case "chains":
                return msgspec.json.encode(self._offering.chains(question.origin, question.at))
            case "manifest":
                return b"".join(line + b"\n" for line in self._offering.manifest(question.origin, question.after))
            case "segment":
                return self._offering.segment(question.origin, question.after + 1).read_bytes()
            case "lines":
                return encode_run(self._offering.lines(question.origin, question.after, question.up_to))
        return msgspec.json.encode(self._offering.offer())


async def serve_sync(bus: NatsBus, node: str, offering: Offering, pull: Callable[[str], Awaitable[Pulled]]) -> Service:
    """Answer those who sync with this node over its bus, until the service is closed."""
    service = SyncService(offering, pull, piece_bytes_max=bus.max_payload_bytes)
    return await bus.serve(subject_of(node), service.answer, queue=QUEUE)
