"""What comes from another node is held against the log before anything of it is kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain as chained
from pathlib import Path

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..schemas import Event, MalformedEvent, decode
from .disk import Disk
from .errors import LogDamaged, MirrorRefused
from .frames import FramedFile
from .ids import event_key, letter_key
from .line import Chain, is_next, parse
from .manifest import Entry
from .merkle import leaf_hash, root_of

# Twice what a segment may hold at its home: 64 MiB of lines, and one more line, of the largest message that NATS takes.
SEGMENT_BYTES_MAX = 160 * 2**20
NAMES_KNOWN_MAX = 65_536
_OF_THE_LINE = ("previous", "signer", "signature")


class _Envelope(msgspec.Struct, gc=False):
    """What `decode` looks at, of a whole block of lines at once, and without its patterns."""

    id: str = ""
    source: str = ""
    type: str = ""
    subject: str = ""
    specversion: str = ""
    time: datetime | None = None
    traceparent: str | None = None
    tracestate: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    recordedtime: datetime | None = None
    datasubject: msgspec.Raw | UnsetType = UNSET
    undecodable: msgspec.Raw | UnsetType = UNSET

    def is_ordinary(self, names: Collection[tuple[str, str]]) -> bool:
        """Whether `decode` surely takes it, because it took another from this source, and of this type."""
        return (
            (self.source, self.type) in names
            and self.specversion == "1.0"
            and self.time is not None
            and self.time.tzinfo is UTC
            and self.recordedtime is not None
            and 0 < len(self.id) <= 64
            and self.id.isascii()
            and self.id.isprintable()
            and " " not in self.id
            and 0 < len(self.subject) <= 256
            and self.subject.isprintable()
            and self.datasubject is UNSET
            and self.undecodable is UNSET
        )


_envelopes = msgspec.json.Decoder(_Envelope).decode_lines


class Arrivals:
    """Goes from line to line behind line `n` of an origin, whose chain is `chain`."""

    def __init__(self, origin: str, n: int, chain: Chain) -> None:
        self.n = n
        self.origin = origin
        self.state = chain
        self._names = set[tuple[str, str]]()  # of events that were decoded: their source and their type

    @property
    def chain(self) -> str | UnsetType:
        """As the manifest has it: the chain at line `n`, if that has one."""
        return self.state.at if self.state.begun and self.state.at else UNSET

    def keys(self, lines: Sequence[bytes]) -> list[int]:
        """The keys by which the next lines are found again. Raises `MirrorRefused` for what can't be those lines."""
        block = b"\n".join(lines)
        if not block.isascii():
            self._refuse_other_than_utf8(lines)
        try:
            envelopes = _envelopes(block)
        except (msgspec.MsgspecError, RecursionError):
            envelopes = []
        if len(envelopes) != len(lines):
            return [self._key(line) for line in lines]
        return [self._key(line, envelope) for line, envelope in zip(lines, envelopes, strict=True)]

    def _key(self, line: bytes, envelope: _Envelope | None = None) -> int:
        n = self.n + 1
        try:
            if not is_next(line, n, self.state):
                raise MirrorRefused(self.origin, n, self._what_is_wrong(line, n))
            self.n = n
            if envelope is not None and envelope.is_ordinary(self._names):
                return event_key(envelope.id)
            record = parse(self.origin, line)
            letter = record.letter
            # Readers take the envelope for granted; of the data, what today's schemas say is for them to judge.
            return self._event_key(decode(record.payload)) if letter is None else letter_key(letter)
        except (ValueError, msgspec.MsgspecError, MalformedEvent) as error:
            self.n = n - 1
            raise MirrorRefused(self.origin, n, f"its line can't be read ({error})") from None

    def _event_key(self, event: Event) -> int:
        if len(self._names) < NAMES_KNOWN_MAX:
            self._names.add((event.source, event.type))
        return event_key(event.id)

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


Check = Callable[[Path, Entry, Arrivals, Disk], list[int]]


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
