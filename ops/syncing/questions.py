"""Questions over NATS: what a node asks another one's log, and answers of any size, piece by piece.

NATS bounds a message, so an answer travels in pieces that fit. Each piece says of which answer it is: where it is
another one by now, because the log grew, the question is asked again from its start.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from ...schemas import InvalidInput, RookeryError, escape
from .peers import Number

# Small enough to let others' messages through between two pieces, whatever the line.
PIECE_BYTES_MAX = 512 * 1024
HEAD_BYTES_MAX = 128

Ask = Literal["offer", "chains", "manifest", "segment", "lines", "pull"]


class Question(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What is asked, and of its answer the piece from `offset` on, of `piece_bytes` at most.

    `answer` is the digest of the answer that the pieces before were of.
    """

    ask: Ask
    origin: str = ""
    after: Number = 0
    up_to: Number = 0
    at: list[Number] = []
    peer: str = ""
    offset: Number = 0
    piece_bytes: Number = PIECE_BYTES_MAX
    answer: str = ""

    @property
    def whole(self) -> Question:
        """The question, whichever piece of its answer is asked for."""
        return msgspec.structs.replace(self, offset=0, piece_bytes=PIECE_BYTES_MAX, answer="")


class Piece(NamedTuple):
    """A part of an answer: the digest of all of it, and how long that is."""

    answer: str
    size_bytes: int
    data: bytes


class AnswerChanged(RookeryError):
    """The log has grown since the pieces before: the question is to be asked again."""

    def __init__(self) -> None:
        super().__init__("the answer is another one by now; ask again from its start")


class InvalidPiece(InvalidInput):
    """Bytes that are no piece of an answer."""


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    answer: str
    size_bytes: Number


def subject_of(node: str) -> str:
    """Where a node is asked."""
    return f"cmd.sync.{escape(node)}"


def digest_of(answer: bytes) -> str:
    """What tells an answer from any other."""
    return hashlib.sha256(answer).hexdigest()


def encode_piece(question: Question, answer: bytes, digest: str, bytes_max: int) -> bytes:
    """The piece that is asked for. Raises `AnswerChanged`."""
    if question.answer not in ("", digest):
        raise AnswerChanged
    end = question.offset + max(min(question.piece_bytes, bytes_max - HEAD_BYTES_MAX), 1)
    head = msgspec.json.encode(_Head(digest, len(answer)))
    return head + b"\n" + answer[question.offset : end]


def decode_piece(data: bytes) -> Piece:
    """What was encoded. Raises `InvalidPiece`."""
    head, _, rest = data.partition(b"\n")
    try:
        found = msgspec.json.decode(head, type=_Head)
    except msgspec.MsgspecError as error:
        raise InvalidPiece(str(error)) from None
    return Piece(found.answer, found.size_bytes, rest)
