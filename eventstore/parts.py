"""The two kinds of files that hold an origin's lines: sealed ones, and those that are still plain lines."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from .cold import ColdTier
from .disk import Disk
from .errors import REMEDY, LogDamaged
from .frames import FRAME_EVENTS_MAX, Frame, FramedFile
from .line import Chain, number_in
from .manifest import Entry
from .merkle import BLOCK_LEAVES, HASH_BYTES, MerkleTree, audit_path, leaf_hash, root_of

PLAIN_SUFFIX = ".ndjson"
SEALED_SUFFIX = ".ndjson.zst"
SUMMARY_SUFFIX = ".index.json"
BLOCKS_SUFFIX = ".merkle"
READ_SIZE_BYTES = 4 * 2**20
FRAMES_KEPT_MAX = 4  # decoded frames of whatever segments were last asked for single lines
FILES_KEPT_MAX = 64  # seek tables of those that were last read


def plain_name(first: int) -> str:
    """The name of the segment that begins with the event `first`."""
    return f"{first:020}{PLAIN_SUFFIX}"


def sealed_name(first: int) -> str:
    """The name of the same segment, sealed."""
    return f"{first:020}{SEALED_SUFFIX}"


class Part(Protocol):
    """A file with the lines `first` to `last`."""

    path: Path
    first: int

    @property
    def last(self) -> int:
        """The last line's n."""

    def lines(self, first: int, last: int) -> Iterator[list[bytes]]:
        """The lines from `first` to `last`, in chunks. Raises `FileNotFoundError` if the file was sealed meanwhile."""

    def line(self, n: int) -> bytes:
        """One line."""


class SealedPart:
    """A sealed segment. Where only the archive has its file, reading it fetches that first."""

    def __init__(self, folder: Path, entry: Entry, disk: Disk, tier: ColdTier) -> None:
        self.path = folder / entry.segment
        self.entry = entry
        self.first = entry.first
        self.last = entry.last
        self._disk = disk
        self._tier = tier

    @property
    def summary_path(self) -> Path:
        """Where its side-car is."""
        return self.path.with_name(self.path.name.removesuffix(SEALED_SUFFIX) + SUMMARY_SUFFIX)

    @property
    def blocks_path(self) -> Path:
        """Where the roots of its Merkle tree's blocks are: derived, and 8 KiB for 65,536 lines."""
        return self.path.with_name(self.path.name.removesuffix(SEALED_SUFFIX) + BLOCKS_SUFFIX)

    def audit_path(self, n: int) -> list[bytes]:
        """What has to be joined to the line's hash to come to the manifest's Merkle root. Raises `LogDamaged`.

        Of the lines, those of its block are read; all of them only where the blocks' roots have to be made again.
        """
        blocks = self._kept_blocks() or self._blocks_anew
        block, index = divmod(n - self.first, BLOCK_LEAVES)
        begin = self.first + block * BLOCK_LEAVES
        leaves = list(map(leaf_hash, self._span(begin, min(begin + BLOCK_LEAVES - 1, self.last))))
        return audit_path(leaves, index) + audit_path(blocks, block)

    def _kept_blocks(self) -> list[bytes] | None:
        """The blocks' roots, if they are there and are this segment's."""
        with suppress(OSError):
            data = self._disk.read(self.blocks_path, 0, self.entry.events * HASH_BYTES)
            blocks = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
            if root_of(blocks).hex() == self.entry.merkle_root:
                return blocks
        return None

    @cached_property
    def _blocks_anew(self) -> list[bytes]:
        tree = MerkleTree()
        for lines in self.lines(self.first, self.last):
            for line in lines:
                tree.add(line)
        if tree.root() != self.entry.merkle_root:
            raise LogDamaged(self.path, "its lines are not those of the manifest's Merkle root", REMEDY)
        if self._tier.owned:  # a reader leaves the folder as it is
            with suppress(OSError):
                self._disk.replace(self.blocks_path, b"".join(tree.blocks()))
        return tree.blocks()

    def verify(self) -> None:
        """Hold the file's every byte against the manifest. Raises `LogDamaged`."""
        self.data()

    def data(self) -> bytes:
        """The whole file, which is what was sealed. Raises `LogDamaged`."""
        try:
            data = self._disk.read(self.path)
        except FileNotFoundError:
            data = self._fetched()
        if sha256(data).hexdigest() != self.entry.sha256:
            raise LogDamaged(self.path, "its hash is not the manifest's", REMEDY)
        return data

    def _fetched(self) -> bytes:
        try:
            self._tier.fetch(self.entry)
            return self._disk.read(self.path)
        except FileNotFoundError:
            raise LogDamaged(self.path, "it is gone", REMEDY) from None

    def chain(self) -> Chain:
        """The chain at its last line: from the manifest, or of the line itself where that is of the first version.

        Not known where the archive alone has such a file, or it doesn't decode: that's for whoever needs it to notice.
        """
        if isinstance(self.entry.chain, str):
            return Chain(self.entry.chain, begun=True)
        with suppress(LogDamaged, OSError):
            if self.is_here:
                return Chain.after(self.line(self.last))
        return Chain(None)

    @property
    def is_here(self) -> bool:
        """Whether the file lies here, and not only in the archive."""
        return self._disk.exists(self.path)

    def lend(self) -> Path:
        """The file, for somebody who opens it by its path within the next minute."""
        return self._tier.lend(self.entry)

    def lines(self, first: int, last: int) -> Iterator[list[bytes]]:
        """The lines from `first` to `last`, by frames."""
        for lines in self._file.lines(first=first):
            begin = number_in(lines[0])
            if begin > last:
                return
            yield lines[max(first - begin, 0) : last - begin + 1]

    def line(self, n: int) -> bytes:
        """One line: of its file, one frame is read."""
        [line] = self._span(n, n)
        return line

    def _span(self, first: int, last: int) -> list[bytes]:
        """A few lines, of frames that are kept decoded."""
        found = list[bytes]()
        while first + len(found) <= last:
            lines, at = self._frame_with(first + len(found))
            found += lines[at : at + last - first + 1 - len(found)]
        return found

    def _frame_with(self, n: int) -> tuple[list[bytes], int]:
        """The frame's lines, and where line `n` is among them. All frames but those of large events are full."""
        frames = self._file.frames
        lines = _decoded(self._file, frames[min((n - self.first) // FRAME_EVENTS_MAX, len(frames) - 1)])
        if not 0 <= n - number_in(lines[0]) < len(lines):
            lines = _decoded(self._file, frames[self._file.frame_of(n)])
        return lines, n - number_in(lines[0])

    @property
    def _file(self) -> FramedFile:
        return _opened(self)

    def open(self) -> FramedFile:
        """Its file, with the seek table read. Raises `LogDamaged`."""
        return FramedFile(self.path, self._disk, partial(self._tier.fetch, self.entry))


class PlainPart:
    """A segment of plain lines: the one that is appended to, or one that is full and not sealed yet.

    `ends` has the offset of each line's end, and grows once the line is durable: what is not in it is not read.
    """

    def __init__(self, path: Path, first: int, disk: Disk, ends: Iterable[int] = ()) -> None:
        self.path = path
        self.first = first
        self._disk = disk
        self._ends = array("Q", ends)

    @property
    def last(self) -> int:
        """The last line's n; `first - 1` if there is none."""
        return self.first - 1 + len(self._ends)

    @property
    def size_bytes(self) -> int:
        """How many bytes the lines take."""
        return self._ends[-1] if self._ends else 0

    def extend(self, lines: Iterable[bytes]) -> None:
        """Show lines that were made durable."""
        end = self.size_bytes
        for line in lines:
            end += len(line) + 1
            self._ends.append(end)

    def lines(self, first: int, last: int) -> Iterator[list[bytes]]:
        """The lines from `first` to `last`, a few megabytes at a time."""
        while first <= last:
            begin = self._begin(first)
            until = self.first - 1 + bisect_right(self._ends, begin + READ_SIZE_BYTES, 0, last - self.first + 1)
            until = max(until, first)
            yield self._read(begin, self._ends[until - self.first])
            first = until + 1

    def line(self, n: int) -> bytes:
        """One line."""
        return self._read(self._begin(n), self._ends[n - self.first])[0]

    def _begin(self, n: int) -> int:
        return self._ends[n - self.first - 1] if n > self.first else 0

    def _read(self, begin: int, end: int) -> list[bytes]:
        return self._disk.read(self.path, begin, end - begin)[:-1].split(b"\n")


@lru_cache(maxsize=FILES_KEPT_MAX)
def _opened(part: SealedPart) -> FramedFile:
    return part.open()


@lru_cache(maxsize=FRAMES_KEPT_MAX)
def _decoded(file: FramedFile, frame: Frame) -> list[bytes]:
    return file.decode(frame)
