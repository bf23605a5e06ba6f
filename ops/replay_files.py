"""Files that replays are written to: one event a line, plain or as zstd frames, so that any tool reads them.

Where writing was interrupted, at whichever byte, the file ends in a torn line or frame. Who goes on cuts that off, and
the last whole line says where: nothing is missing then, and nothing is there twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import zstandard

from ..schemas import InvalidInput

ZSTD_SUFFIX = ".zst"
ZSTD_LEVEL = 3
BLOCK_BYTES = 2**20
LINE_BYTES_MAX = 16 * 2**20
BEGINNING = b'{"replayname":"'


class UnfitFile(InvalidInput):
    """A file that no replay can be written to, or go on in."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class ReplayFile:
    """A file that this process alone writes lines to. A name that ends in `.zst` makes it zstd."""

    def __init__(self, path: Path) -> None:
        """Raises `UnfitFile`, or `OSError`."""
        self.path = path
        self._file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        self._whole_bytes = 0
        self._compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL) if path.name.endswith(ZSTD_SUFFIX) else None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise UnfitFile(path, "another process is writing to it; let it end, or choose another file") from None

    def last(self) -> bytes | None:
        """The last whole line; None if there is none. Changes nothing. Raises `UnfitFile`."""
        look = _frames if self._compressor else _lines
        self._whole_bytes, last = look(self._file, self.path)
        return last

    def go_on(self) -> None:
        """Cut off what an interruption left behind the last whole line."""
        self._file.truncate(self._whole_bytes)
        self._file.seek(self._whole_bytes)

    def write(self, lines: Sequence[bytes]) -> None:
        """Add the lines. Raises `OSError`."""
        block = b"".join(line + b"\n" for line in lines)
        view = memoryview(self._compressor.compress(block) if self._compressor else block)
        while view:
            view = view[self._file.write(view) or 0 :]

    def close(self) -> None:
        """Return when what was written is on stable storage."""
        try:
            os.fdatasync(self._file.fileno())
        finally:
            self._file.close()


class _Whole(NamedTuple):
    """How far a file is whole, and its last whole line."""

    size_bytes: int
    last: bytes | None


def _lines(file: IO[bytes], path: Path) -> _Whole:
    """Look for the last two ends of lines, from the file's end."""
    begin = end = file.seek(0, os.SEEK_END)
    tail = b""
    while begin and tail.count(b"\n") < 2:
        if end - begin > 2 * LINE_BYTES_MAX:
            raise UnfitFile(path, "no lines of events are at its end; choose another file")
        step = min(BLOCK_BYTES, begin)
        begin -= step
        file.seek(begin)
        tail = file.read(step) + tail
    lines, ending, torn = tail.rpartition(b"\n")
    if not ending:
        if not torn.startswith(BEGINNING[: len(torn)]):
            raise UnfitFile(path, "holds something that is no replay; choose another file")
        return _Whole(0, None)
    return _Whole(begin + len(lines) + 1, lines.rpartition(b"\n")[2])


def _frames(file: IO[bytes], path: Path) -> _Whole:
    """Go through the frames from the file's beginning."""
    file.seek(0)
    whole, offset, last, pending = 0, 0, None, b""
    frame, text = zstandard.ZstdDecompressor().decompressobj(), b""
    while chunk := pending or file.read(BLOCK_BYTES):
        try:
            text = _last_line(text + frame.decompress(chunk))
        except zstandard.ZstdError as error:
            raise UnfitFile(path, f"holds something that is no replay ({error}); choose another file") from None
        pending = frame.unused_data
        offset += len(chunk) - len(pending)
        if frame.eof:
            whole, last = offset, text.removesuffix(b"\n")
            frame, text = zstandard.ZstdDecompressor().decompressobj(), b""
    return _Whole(whole, last)


def _last_line(text: bytes) -> bytes:
    """What of a frame's text so far may be its last line, with the line's end."""
    return text[text.rfind(b"\n", 0, max(len(text) - 1, 0)) + 1 :]
