"""What comes from another node is held against the log before anything of it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import chain as chained
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..schemas import MalformedEvent, decode
from .disk import Disk
from .errors import LogDamaged, MirrorRefused
from .frames import FramedFile
from .ids import event_key, letter_key
from .line import Chain, next_record, parse
from .manifest import Entry
from .merkle import leaf_hash, root_of

# Twice what a segment may hold at its home: 64 MiB of lines, and one more line, of the largest message that NATS takes.
SEGMENT_BYTES_MAX = 160 * 2**20
_OF_THE_LINE = ("previous", "signer", "signature")


class Arrivals:
    """Goes from line to line behind line `n` of an origin, whose chain is `chain`."""

    def __init__(self, origin: str, n: int, chain: Chain) -> None:
        self.n = n
        self.origin = origin
        self._chain = chain

    @property
    def chain(self) -> str | UnsetType:
        """As the manifest has it: the chain at line `n`, if that has one."""
        return self._chain.at if self._chain.begun and self._chain.at else UNSET

    def keys(self, lines: Sequence[bytes]) -> list[int]:
        """The keys by which the next lines are found again. Raises `MirrorRefused` for what can't be those lines."""
        if not b"".join(lines).isascii():
            self._refuse_other_than_utf8(lines)
        return [self._key(line) for line in lines]

    def _key(self, line: bytes) -> int:
        n = self.n + 1
        try:
            record = next_record(self.origin, line, n, self._chain)
            if record is None:
                raise MirrorRefused(self.origin, n, self._what_is_wrong(line, n))
            letter = record.letter
            # Readers take the envelope for granted; of the data, what today's schemas say is for them to judge.
            key = event_key(decode(record.payload).id) if letter is None else letter_key(letter)
        except (ValueError, msgspec.MsgspecError, MalformedEvent) as error:
            raise MirrorRefused(self.origin, n, f"its line can't be read ({error})") from None
        self.n = n
        return key

    def _what_is_wrong(self, line: bytes, n: int) -> str:
        try:
            found = parse(self.origin, line).n
        except ValueError:
            return "it is no line of a log"
        return f"it is line {found}" if found != n else f"its chain does not go on from line {n - 1}"

    def _refuse_other_than_utf8(self, lines: Sequence[bytes]) -> None:
        for n, line in enumerate(lines, self.n + 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                raise MirrorRefused(self.origin, n, f"its line is not UTF-8 ({error})") from None


def keys_of_segment(path: Path, entry: Entry, arrivals: Arrivals, disk: Disk) -> list[int]:
    """The keys of a sealed file's lines, once all of it is what its manifest line says. Raises `MirrorRefused`."""
    origin, first = arrivals.origin, entry.first
    if sha256(disk.read(path)).hexdigest() != entry.sha256:
        raise MirrorRefused(origin, first, "the segment's hash is not the manifest's")
    keys, leaves, ends, size_bytes = list[int](), list[bytes](), list[bytes](), 0
    try:
        for lines in _frames(path, entry, disk):
            keys += arrivals.keys(lines)
            size_bytes += sum(map(len, lines)) + len(lines)
            ends = [*(ends[:1] or lines[:1]), lines[-1]]
            leaves += map(leaf_hash, lines)
    except LogDamaged as damage:
        raise MirrorRefused(origin, first, f"the segment can't be read: {damage.what}") from None
    times = [parse(origin, line).recorded_time for line in ends]
    found = (len(keys), size_bytes, root_of(leaves).hex(), *times, arrivals.chain)
    said = (entry.events, entry.bytes, entry.merkle_root, entry.first_recordedtime, entry.last_recordedtime)
    if found != (*said, entry.chain):
        raise MirrorRefused(origin, first, "the segment is not the one that its line of the manifest tells of")
    return keys


def is_same_file(made: Entry, said: Entry) -> bool:
    """Whether two lines of manifests tell of the same file, whoever wrote and signed them."""
    return replace(said, **{name: getattr(made, name) for name in _OF_THE_LINE}) == made


def refuse_oversized(origin: str, entry: Entry, data: bytes) -> None:
    """Before a byte of it is written. Raises `MirrorRefused`."""
    if max(entry.bytes, entry.compressed_bytes) > SEGMENT_BYTES_MAX:
        raise MirrorRefused(origin, entry.first, f"no segment has more than {SEGMENT_BYTES_MAX:,} bytes")
    if len(data) != entry.compressed_bytes:
        reason = f"the segment has {len(data):,} bytes and should have {entry.compressed_bytes:,}"
        raise MirrorRefused(origin, entry.first, reason)


def _frames(path: Path, entry: Entry, disk: Disk) -> Iterator[list[bytes]]:
    file = FramedFile(path, disk)
    if sum(frame.size_bytes for frame in file.frames) != entry.bytes:
        raise LogDamaged(path, "its frames are of another size", "")
    return chained(map(file.decode, file.frames))
