"""A process that looks into the segments that a long pull brings, one ahead of those that are being taken.

What it finds counts only for the very bytes that it was shown, so it need not be trusted with where they lie.
"""

from __future__ import annotations

import logging
import struct
import subprocess
import sys
from array import array
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from ...eventstore import Disk, MirrorRefused
from ...eventstore.arrivals import Arrivals, keys_of_segment
from ...eventstore.line import Chain
from ...eventstore.manifest import Entry

BEGUN_MAX = 2
_COMMAND = (sys.executable, "-c", f"from {__name__} import answer; answer()")
_LENGTHS = struct.Struct(">QQ")

logger = logging.getLogger(__name__)


class _Question(msgspec.Struct):
    """About bytes that follow; `chain` is that of the lines before."""

    origin: str
    entry: Entry
    chain: str | None
    begun: bool


class _Answer(msgspec.Struct):
    """The keys follow, where nothing was refused."""

    n: int = 0
    refused: str | None = None


class Checker:
    """Does the work of `keys_of_segment` ahead of time, for one caller. It begins the process when there is some."""

    def __init__(self, command: Sequence[str] = _COMMAND) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checker")
        self._begun: dict[tuple[str, bytes], Future[list[int]]] = {}

    def begin(self, origin: str, entry: Entry, data: bytes, before: Chain) -> None:
        """Begin to look into a segment which lies behind lines with this chain."""
        while len(self._begun) >= BEGUN_MAX:  # nobody asked for it, or not behind these lines
            self._begun.pop(next(iter(self._begun)))
        question = _Question(origin, entry, before.at, before.begun)
        self._begun[_asked(question)] = self._thread.submit(self._ask, question, data)

    def keys(self, path: Path, entry: Entry, arrivals: Arrivals, disk: Disk) -> list[int]:
        """The keys of a sealed file's lines, found already or now. Blocks. Raises `MirrorRefused`."""
        state = arrivals.state
        begun = self._begun.pop(_asked(_Question(arrivals.origin, entry, state.at, state.begun)), None)
        if begun and sha256(disk.read(path)).hexdigest() == entry.sha256:
            try:
                return begun.result()
            except OSError as error:
                logger.warning("segments are looked into without a process of their own: %s", error)
        return keys_of_segment(path, entry, arrivals, disk)

    def close(self) -> None:
        """End the process, if there is one. It has nothing to tidy up."""
        if self._process:
            self._process.kill()
        self._thread.shutdown(cancel_futures=True)
        if self._process:
            self._process.kill()  # it may have begun only now
            with suppress(BrokenPipeError):  # what it did not read any more
                self._process.communicate()

    def _ask(self, question: _Question, data: bytes) -> list[int]:
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _send(cast(BinaryIO, self._process.stdin), question, data)
        head, keys = _receive(cast(BinaryIO, self._process.stdout))
        found = msgspec.json.decode(head, type=_Answer)
        if found.refused is not None:
            raise MirrorRefused(question.origin, found.n, found.refused)
        return array("q", keys).tolist()


class _Held(Disk):
    """The one file that these bytes are."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, path: Path, offset: int = 0, size_bytes: int = -1) -> bytes:
        return self._data[offset:] if size_bytes < 0 else self._data[offset : offset + size_bytes]

    def size_bytes(self, path: Path) -> int:
        return len(self._data)


def answer() -> None:
    """Answer questions from standard input until it ends."""
    while True:
        try:
            head, data = _receive(sys.stdin.buffer)
        except BrokenPipeError:
            return
        asked = msgspec.json.decode(head, type=_Question)
        arrivals = Arrivals(asked.origin, asked.entry.first - 1, Chain(asked.chain, begun=asked.begun))
        try:
            keys = keys_of_segment(Path(asked.entry.segment), asked.entry, arrivals, _Held(data))
        except MirrorRefused as refused:
            _send(sys.stdout.buffer, _Answer(refused.n, refused.reason), b"")
        else:
            _send(sys.stdout.buffer, _Answer(), array("q", keys).tobytes())


def _asked(question: _Question) -> tuple[str, bytes]:
    return question.origin, msgspec.json.encode(question)


def _send(pipe: BinaryIO, head: msgspec.Struct, data: bytes) -> None:
    encoded = msgspec.json.encode(head)
    pipe.write(_LENGTHS.pack(len(encoded), len(data)) + encoded)
    pipe.write(data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> tuple[bytes, bytes]:
    lengths = _LENGTHS.unpack(_read(pipe, _LENGTHS.size))
    return _read(pipe, lengths[0]), _read(pipe, lengths[1])


def _read(pipe: BinaryIO, size_bytes: int) -> bytes:
    data = pipe.read(size_bytes)
    if len(data) < size_bytes:
        raise BrokenPipeError("the other side has gone")
    return data
