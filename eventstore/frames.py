"""Sealed segments' bytes: zstd frames that decode one by one, and a table that says where each begins.

The table is a skippable frame in zstd's contrib "seekable format", so that zstdcat and DuckDB read the whole file as
the plain lines, and we decode the one frame that holds the line we want.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard

from .disk import Disk
from .errors import REMEDY, LogDamaged
from .line import number_in

ZSTD_LEVEL = 3
FRAME_EVENTS_MAX = 4_096
FRAMES_MAX = 4_096  # of one file: as many hold 16 GiB of lines
FETCHES_MAX = 3  # of one file: what was fetched may be gone again before it is read
FRAME_SIZE_BYTES_MIN = 4 * 2**20  # a frame of large events is closed once it has this much

_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
_HEAD = struct.Struct("<II")  # skippable magic, size of what follows
_ENTRY = struct.Struct("<II")  # compressed size, size of the lines
_FOOT = struct.Struct("<IBI")  # number of frames, descriptor, seekable magic
_PEEK_BYTES = 192


class Frame(NamedTuple):
    """Where one frame lies in its file, and how much its lines take when decoded."""

    offset: int
    compressed_bytes: int
    size_bytes: int


def compress(lines: Iterable[bytes]) -> Iterator[bytes]:
    """A sealed file's bytes, frame by frame and the seek table last, of lines without their newlines."""
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    table = []
    for block in _blocks(lines):
        frame = compressor.compress(block)
        table.append(_ENTRY.pack(len(frame), len(block)))
        yield frame
    entries = b"".join(table)
    yield _HEAD.pack(_SKIPPABLE_MAGIC, len(entries) + _FOOT.size)
    yield entries + _FOOT.pack(len(table), 0, _SEEKABLE_MAGIC)


class FramedFile:
    """A sealed file, read by frames. Raises `LogDamaged` where its bytes are not what was written.

    Where the file is not there, `fetch` is to bring it.
    """

    def __init__(self, path: Path, disk: Disk, fetch: Callable[[], object] | None = None) -> None:
        self.path = path
        self._disk = disk
        self._fetch = fetch
        self.frames = self._read_table()
        self._first_numbers = dict[Frame, int]()  # of the frames that somebody has asked about

    def lines(self, *, first: int) -> Iterator[list[bytes]]:
        """The lines, frame by frame, beginning with the frame that holds the event `first`."""
        for frame in self.frames[self.frame_of(first) :]:
            yield self.decode(frame)

    def frame_of(self, n: int) -> int:
        """The index of the frame that holds the event `n`, if this file has it."""
        return max(bisect_right(self.frames, n, key=self._first_number) - 1, 0)

    def decode(self, frame: Frame) -> list[bytes]:
        """The lines of one frame, without their newlines."""
        data = self._read(frame)
        try:
            if zstandard.frame_content_size(data) != frame.size_bytes:  # before there is room made for all of it
                raise LogDamaged(self.path, f"the frame at byte {frame.offset} has another size than its table", REMEDY)
            block = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise LogDamaged(self.path, f"its frame at byte {frame.offset} does not decode ({error})", REMEDY) from None
        lines = block.split(b"\n", FRAME_EVENTS_MAX)
        if lines.pop() or not lines:  # behind the last newline: to cut that off first would copy all of the block
            raise LogDamaged(self.path, f"the frame at byte {frame.offset} holds no whole lines, or too many", REMEDY)
        return lines

    def _first_number(self, frame: Frame) -> int:
        if frame not in self._first_numbers:
            self._first_numbers[frame] = self._peeked(frame)
        return self._first_numbers[frame]

    def _peeked(self, frame: Frame) -> int:
        try:
            with zstandard.ZstdDecompressor().stream_reader(self._read(frame)) as reader:
                return number_in(reader.read(_PEEK_BYTES))
        except (zstandard.ZstdError, ValueError) as error:
            raise LogDamaged(self.path, f"its frame at byte {frame.offset} does not decode ({error})", REMEDY) from None

    def _read(self, frame: Frame) -> bytes:
        return self._at(frame.offset, frame.compressed_bytes)

    def _at(self, offset: int, size_bytes: int) -> bytes:
        for _ in range(FETCHES_MAX if self._fetch else 0):
            try:
                return self._disk.read(self.path, offset, size_bytes)
            except FileNotFoundError:
                assert self._fetch
                self._fetch()
        return self._disk.read(self.path, offset, size_bytes)

    def _read_table(self) -> tuple[Frame, ...]:
        self._at(0, 0)  # now it is here
        file_bytes = self._disk.size_bytes(self.path)
        foot = self._at(max(file_bytes - _FOOT.size, 0), _FOOT.size)
        if len(foot) < _FOOT.size or not foot.endswith(struct.pack("<I", _SEEKABLE_MAGIC)):
            raise LogDamaged(self.path, "its seek table is missing", REMEDY)
        count = _FOOT.unpack(foot)[0]
        table_bytes = _HEAD.size + count * _ENTRY.size
        begin = file_bytes - _FOOT.size - table_bytes
        if begin < 0 or count > FRAMES_MAX or len(table := self._at(begin, table_bytes)) < table_bytes:
            raise LogDamaged(self.path, "its seek table is cut short, or of too many frames", REMEDY)
        if not table.startswith(_HEAD.pack(_SKIPPABLE_MAGIC, table_bytes - _HEAD.size + _FOOT.size)):
            raise LogDamaged(self.path, "its seek table is none that other readers skip", REMEDY)
        frames, offset = [], 0
        for compressed_bytes, size_bytes in _ENTRY.iter_unpack(table[_HEAD.size :]):
            frames.append(Frame(offset, compressed_bytes, size_bytes))
            offset += compressed_bytes
        if offset != begin:
            raise LogDamaged(self.path, "its seek table does not fit its size", REMEDY)
        return tuple(frames)


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    block: list[bytes] = []
    size_bytes = 0
    for line in lines:
        block.append(line)
        size_bytes += len(line) + 1
        if len(block) == FRAME_EVENTS_MAX or size_bytes >= FRAME_SIZE_BYTES_MIN:
            yield b"\n".join(block) + b"\n"
            block, size_bytes = [], 0
    if block:
        yield b"\n".join(block) + b"\n"
