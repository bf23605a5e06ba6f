"""Sealed files: readable by anybody, by frames for us, and never silently wrong."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import zstandard
from rookery.eventstore import Disk, LogDamaged
from rookery.eventstore.frames import FRAME_EVENTS_MAX, FRAME_SIZE_BYTES_MIN, FRAMES_MAX, FramedFile, compress

Write = Callable[[list[bytes]], FramedFile]


def lines(count: int, *, size_bytes: int = 0) -> list[bytes]:
    head = b'{"n":%d,"seq":%d,"recordedtime":"2026-11-20T13:53:04.530453Z","x":"%s"}'
    return [head % (n, n, b"a" * size_bytes) for n in range(1, count + 1)]


@pytest.fixture
def written(tmp_path: Path) -> Write:
    def write(held: list[bytes]) -> FramedFile:
        path = tmp_path / "00000000000000000001.ndjson.zst"
        path.write_bytes(b"".join(compress(held)))
        return FramedFile(path, Disk())

    return write


@pytest.mark.parametrize("count", [1, FRAME_EVENTS_MAX, FRAME_EVENTS_MAX + 1, 3 * FRAME_EVENTS_MAX - 1])
def test_lines_come_back_frame_by_frame(written: Write, count: int) -> None:
    held = lines(count)
    file = written(held)
    assert [line for frame in file.lines(first=1) for line in frame] == held
    assert [len(frame) for frame in file.lines(first=1)][:-1] == [FRAME_EVENTS_MAX] * (len(file.frames) - 1)


def test_one_line_is_found_in_its_frame(written: Write) -> None:
    file = written(lines(2 * FRAME_EVENTS_MAX + 1))
    borders = [1, FRAME_EVENTS_MAX, FRAME_EVENTS_MAX + 1, 2 * FRAME_EVENTS_MAX, 2 * FRAME_EVENTS_MAX + 1]
    assert [file.frame_of(n) for n in borders] == [0, 0, 1, 1, 2]


def test_large_events_make_frames_of_fewer(written: Write) -> None:
    file = written(lines(20, size_bytes=FRAME_SIZE_BYTES_MIN // 4))
    assert [len(frame) for frame in file.lines(first=1)] == [4] * 5
    assert [file.frame_of(n) for n in (1, 4, 5, 20)] == [0, 0, 1, 4]


def test_any_zstd_reader_reads_the_file(written: Write) -> None:
    held = lines(FRAME_EVENTS_MAX + 5)
    path = written(held).path
    expected = b"".join(line + b"\n" for line in held)
    with zstandard.ZstdDecompressor().stream_reader(path.read_bytes(), read_across_frames=True) as reader:
        assert reader.read() == expected
    counted = duckdb.sql(f"select count(*), sum(n) from read_ndjson('{path}')").fetchall()
    assert counted == [(len(held), len(held) * (len(held) + 1) // 2)]


@pytest.mark.skipif(shutil.which("zstdcat") is None, reason="zstdcat is not installed")
def test_zstdcat_reads_the_file(written: Write) -> None:
    held = lines(FRAME_EVENTS_MAX + 5)
    shown = subprocess.run(["zstdcat", written(held).path], check=True, capture_output=True).stdout
    assert shown == b"".join(line + b"\n" for line in held)


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_a_file_without_its_table_is_damaged(written: Write, cut: int) -> None:
    path = written(lines(10)).path
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(LogDamaged, match="seek table"):
        FramedFile(path, Disk())


def test_a_flipped_bit_is_noticed(written: Write) -> None:
    file = written(lines(FRAME_EVENTS_MAX))
    held = bytearray(file.path.read_bytes())
    held[file.frames[0].compressed_bytes // 2] ^= 1
    file.path.write_bytes(held)
    with pytest.raises(LogDamaged, match="restore it"):
        list(file.lines(first=1))


def test_a_table_of_more_frames_than_the_file_has_room_for_is_not_read(written: Write) -> None:
    path = written(lines(3)).path
    data = path.read_bytes()
    path.write_bytes(data[:-9] + (2**32 - 1).to_bytes(4, "little") + data[-5:])
    with pytest.raises(LogDamaged, match="cut short"):
        FramedFile(path, Disk())


def of_frames(path: Path, *told: tuple[bytes, int]) -> FramedFile:
    """A sealed file as somebody else might make it: of these frames, each with the size that the table says."""
    table = b"".join(struct.pack("<II", len(data), size_bytes) for data, size_bytes in told)
    head = struct.pack("<II", 0x184D2A5E, len(table) + 9)
    foot = struct.pack("<IBI", len(told), 0, 0x8F92EAB1)
    path.write_bytes(b"".join(data for data, _ in told) + head + table + foot)
    return FramedFile(path, Disk())


def test_a_frame_that_holds_more_than_the_table_says_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    bomb = zstandard.compress(b"\n" * 2**26)
    file = of_frames(tmp_path / "file", (bomb, 100))
    tracemalloc.start()
    try:
        with pytest.raises(LogDamaged, match="another size"):
            file.decode(file.frames[0])
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_frame_that_holds_more_lines_than_one_may_is_refused_before_they_are_made(tmp_path: Path) -> None:
    file = of_frames(tmp_path / "file", (zstandard.compress(b"\n" * 2**20), 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(LogDamaged, match="too many"):
            file.decode(file.frames[0])
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_what_another_zstd_reader_would_read_besides_is_refused(tmp_path: Path) -> None:
    seen, hidden = zstandard.compress(b"{}\n"), zstandard.compress(b'{"hidden":1}\n')
    file = of_frames(tmp_path / "file", (seen + hidden, 3))
    with pytest.raises(LogDamaged, match="does not decode"):
        file.decode(file.frames[0])


def test_a_table_that_no_other_reader_skips_is_refused(tmp_path: Path) -> None:
    path = of_frames(tmp_path / "file", (zstandard.compress(b"{}\n"), 3)).path
    data = path.read_bytes()
    path.write_bytes(data[:-25] + b"\0" + data[-24:])
    with pytest.raises(LogDamaged, match="skip"):
        FramedFile(path, Disk())


def test_a_table_of_more_frames_than_a_file_may_have_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(LogDamaged, match="too many frames"):
        of_frames(tmp_path / "file", *[(b"", 0)] * (FRAMES_MAX + 1))
