"""One origin's log, as its readers see it: whole, durable lines, n = 1, 2, 3 … without gaps."""

from __future__ import annotations

import sqlite3
import threading
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from itertools import islice, takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..schemas import decode
from .cold import ColdTier, Tiering
from .disk import Disk
from .errors import REMEDY, LogDamaged, UnknownLine
from .ids import IdIndex, event_key, is_event, record_key
from .judging import DeadLetter, dead_letter, judge_record
from .line import NO_CHAIN, Record, chain_of, parse
from .manifest import BEFORE_THE_FIRST, Manifest
from .manifest import NAME as MANIFEST
from .parts import Part, PlainPart, SealedPart
from .recovery import Recovered, look
from .summary import Counted, Summary, Wanted, registry_fingerprint

LOCK = "writer.lock"  # held by the writer, and says up to which n the lines are durable
IDS = "ids.sqlite"
SUMMARIES_KEPT_MAX = 256  # of 128 KiB each: those of 16 million events, where segments are full
DISTRUSTED = "verification found that it is not what was written"
VERIFY = "`rookery verify` says what is wrong and what to do"

_NEVER = datetime.max.replace(tzinfo=UTC)  # of a line that is not durable yet


class Segment(NamedTuple):
    """A sealed file of the log. `sha256` is of its bytes, as the manifest has it.

    `is_here`: whether the file lies here, and not only in the archive.
    """

    origin: str
    first: int
    last: int
    lend: Callable[[], Path]
    sha256: str
    summary: Callable[[], Summary]
    is_here: bool = True

    @property
    def path(self) -> Path:
        """The file, for who opens it within a minute; if only the archive has it, it is fetched: ask when it is wanted.

        Raises `ArchiveError` where that fails.
        """
        return self.lend()

    @property
    def plain(self) -> bool:
        """Whether every line is valid today and of no superseded type, so that SQL may read the file as it is."""
        return self.summary().plain


class SealedState(NamedTuple):
    """Up to which n an origin is sealed, the hash of the manifest's line that says so, and who signed that."""

    last: int
    head: str
    signer: str | None


NOTHING_SEALED = SealedState(0, BEFORE_THE_FIRST, None)


class Contents(NamedTuple):
    """What an origin holds at one moment: the sealed segments, the plain ones' ranges, and the last line's n.

    `manifest` has the bytes of the file, as far as it tells of these segments.
    """

    manifest: bytes
    sealed: tuple[SealedPart, ...]
    plain: tuple[tuple[int, int], ...]
    last: int


class OriginLog:
    """An origin that this process only reads; another one may be writing it."""

    def __init__(self, name: str, folder: Path, disk: Disk) -> None:
        self.name = name
        self.folder = folder
        self._disk = disk
        self._parts: tuple[Part, ...] = ()
        self._last = 0
        self._distrusted: tuple[range, ...] = ()
        self._position: int | None = None
        self._stale = True
        self._tier = ColdTier(name, folder, disk)
        self._manifest: Manifest | None = None
        self._judging = threading.Lock()
        self._judged_plain: dict[int, Summary] = {}
        self._kept = lru_cache(maxsize=SUMMARIES_KEPT_MAX)(self._load)
        self._counted = Counted(registry_fingerprint())

    @property
    def last(self) -> int:
        """The last durable line's n."""
        return self._last

    @property
    def sequence(self) -> int:
        """The last bus sequence that the log holds."""
        last = self.get(self._last)
        return last.sequence if last else 0

    @property
    def files(self) -> list[Path]:
        """Every segment file in the order of n, plain ones last; fetched where only the archive has them."""
        return [self._lend(part) if isinstance(part, SealedPart) else part.path for part in self._parts]

    @property
    def tiering(self) -> Tiering | None:
        """What the archive holds of it; None if it was never archived."""
        return self._tier.tiering()

    def contents(self) -> Contents:
        """What is to be archived now."""
        last, parts = self._last, self._parts
        sealed = tuple(part for part in parts if isinstance(part, SealedPart) and part.last <= last)
        plain = tuple(
            (part.first, min(part.last, last))
            for part in parts
            if isinstance(part, PlainPart) and part.first <= min(part.last, last)
        )
        return Contents(self._manifest.beginning(len(sealed)) if self._manifest else b"", sealed, plain, last)

    def sealed_with(self, n: int) -> tuple[SealedPart, list[bytes]] | None:
        """The sealed segment that holds a line, and the manifest's lines from that segment's on; None if none does."""
        if self._manifest is None or not 1 <= n <= self._last:
            return None
        part = self._part_with(n)
        return (part, self._manifest.since(part.first)) if isinstance(part, SealedPart) else None

    def refresh(self) -> None:
        """Look at what the writer did since."""
        position = self._durable_up_to()
        if not self._stale and position == self._position:
            return
        found = self._look()
        self._show(found)
        self._last = found.last if position is None else min(found.last, position)
        self._position, self._stale = position, False

    def records(
        self, *, after: int = 0, last: int | None = None, may_hold: Callable[[bytes], bool] | None = None
    ) -> Iterator[Record]:
        """The lines after `after`, up to `last` or what is durable now; of those only the ones that `may_hold` it."""
        last = self._last if last is None else min(last, self._last)
        n = after + 1
        while n <= last:
            part = self._part_with(n)
            try:
                for lines in part.lines(n, min(last, part.last)):
                    for line in lines:
                        self._refuse_distrusted(n, part)
                        if may_hold is None or may_hold(line):
                            yield self._parsed(line, n, part)
                        n += 1
            except FileNotFoundError:
                self._find_again(part, n)

    def get(self, n: int) -> Record | None:
        """One line, or None if the log does not have it yet."""
        if not 1 <= n <= self._last:
            return None
        part = self._part_with(n)
        self._refuse_distrusted(n, part)
        try:
            return self._parsed(part.line(n), n, part)
        except FileNotFoundError:
            self._find_again(part, n)
            return self.get(n)

    def chain_at(self, n: int) -> str:
        """The chain at a line that is held: the same there as in any log with the same lines up to `n`."""
        if n == 0:
            return NO_CHAIN
        part = self._part_with(n)
        if isinstance(part, SealedPart) and part.last == n and isinstance(part.entry.chain, str):
            return part.entry.chain
        record = self.get(n)
        if record is None:
            raise UnknownLine(self.name, n, self._last)
        return chain_of(record.line)

    def last_at(self, time: datetime) -> int:
        """The n of the last line that was recorded by `time`, or 0; a bisection over the files, then over the lines.

        Should the bus's clock have been set back, it is the end of some stretch of lines that all were.
        """
        parts = self._parts
        begun = bisect_right(parts, time, key=self._begun_at)
        if not begun:
            return 0
        part = parts[begun - 1]
        if isinstance(part, SealedPart) and part.entry.last_recordedtime <= time:
            return min(part.last, self._last)
        lines = range(part.first, min(part.last, self._last) + 1)
        return part.first - 1 + bisect_right(lines, time, key=self._recorded_at)

    def find(self, ids: Iterable[str]) -> dict[str, int]:
        """The n's of the events with these ids, for those that are held."""
        wanted, held, covered = set(ids), dict[str, int](), 0
        with suppress(sqlite3.Error), closing(IdIndex.beside_its_writer(self.folder / IDS)) as index:
            held = self._find_by_index(index, wanted)
            covered = self._covered_by(index)
        return held | self._find_in_lines(wanted - held.keys(), after=covered)

    def segments(self, *, after: int = 0, limit: int | None = None) -> list[Segment]:
        """The sealed segments that hold anything after `after`, or the first few of them."""
        sealed = takewhile(lambda part: isinstance(part, SealedPart) and part.last <= self._last, self._behind(after))
        return [self._segment(part) for part in islice(sealed, limit) if isinstance(part, SealedPart)]

    def manifest_lines(self, *, after: int = 0) -> list[bytes]:
        """The manifest's lines, for what is sealed after `after`."""
        return self._manifest.since(after + 1) if self._manifest else []

    def sealed_state(self) -> SealedState:
        """How far it is sealed."""
        manifest = self._manifest
        if manifest is None or not manifest.entries:
            return NOTHING_SEALED
        last = manifest.entries[-1]
        return SealedState(last.last, manifest.head, last.signer if isinstance(last.signer, str) else None)

    def segment_of(self, n: int) -> tuple[int, int]:
        """The first and the last n of the segment that holds this line, which is here."""
        part = self._part_with(n)
        return part.first, min(part.last, self._last)

    def unsealed(self, *, after: int = 0) -> list[Path]:
        """The plain files that hold anything after `after`, if every line in them is plain; otherwise none."""
        parts = [part for part in self._behind(after) if isinstance(part, PlainPart)]
        trusted = not any(
            part.first < lost.stop and lost.start <= part.last for part in parts for lost in self._distrusted
        )
        return [part.path for part in parts] if trusted and all(self.summary(part).plain for part in parts) else []

    def dead_letters(self) -> Iterator[DeadLetter]:
        """What today's schemas, or the log itself, do not accept as events."""
        for n in self.dead_after(0):
            record = self.get(n)
            if record is not None and (letter := dead_letter(record)) is not None:
                yield letter

    def dead_after(self, after: int, last: int | None = None) -> Iterator[int]:
        """The n's of the dead letters after `after`, up to `last`, without a look at them."""
        for part in self._behind(after, last):
            yield from (n for n in tuple(self.summary(part).dead) if n > after and (last is None or n <= last))

    @property
    def dead_events(self) -> Counter[str]:
        """How many dead letters there are of each fault; of what is sealed, each segment's summary is read once."""
        counted, registry = self._counted, registry_fingerprint()
        if counted.registry != registry:
            counted = Counted(registry)
        behind = self._behind(counted.last)
        for part in behind:
            if isinstance(part, SealedPart):
                counted = counted.with_sealed(part.last, self.summary(part).faults)
        self._counted = counted
        plain = (self.summary(part).faults for part in behind if isinstance(part, PlainPart))
        return sum((Counter(dict(faults)) for faults in plain), counted.faults)

    def search(self, wanted: Wanted, *, after: int = 0, last: int | None = None) -> Iterator[Record]:
        """The records that are wanted, with a look only into the segments that may hold some."""
        may_hold = wanted.look_alike()
        for part in self._behind(after, last):
            if isinstance(part, PlainPart) or self.summary(part).may_hold(wanted):
                end = part.last if last is None else min(part.last, last)
                records = self.records(after=max(after, part.first - 1), last=end, may_hold=may_hold)
                yield from filter(wanted.admits, records)

    def verify(self) -> None:
        """Read every sealed file and hold it against the manifest. Raises `LogDamaged`."""
        for part in self._parts:
            if isinstance(part, SealedPart):
                part.verify()

    def summary(self, part: Part) -> Summary:
        """What is in a segment, judged by today's schemas."""
        if isinstance(part, PlainPart):
            return self._summary_of_plain(part)
        assert isinstance(part, SealedPart)
        summary = self._kept(part)
        if not summary.current:
            self._kept.cache_clear()
            summary = self._kept(part)
        return summary

    def close(self) -> None:
        """Give everything back."""

    def _summary_of_plain(self, part: PlainPart) -> Summary:
        """Each line is judged once; what the writer appended since is judged when somebody asks again."""
        with self._judging:
            summary = self._judged_plain.get(part.first)
            if summary is None or not summary.current or summary.last > part.last:
                summary = self._judged(part)
                firsts = {known.first for known in self._parts}
                others = {first: known for first, known in self._judged_plain.items() if first in firsts}
                self._judged_plain = others | {part.first: summary}
                return summary
            for record in self.records(after=max(summary.last, part.first - 1), last=part.last):
                summary.add(record.n, judge_record(record))
            return summary

    def _load(self, part: SealedPart) -> Summary:
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            summary = msgspec.json.decode(self._disk.read(part.summary_path), type=Summary)
            if summary.current and summary.last == part.last:
                return summary
        return self._keep(part, self._judged(part))

    def _keep(self, part: SealedPart, summary: Summary) -> Summary:
        return summary  # a reader leaves the folder as it is

    def _judged(self, part: Part) -> Summary:
        return Summary.of(self.records(after=part.first - 1, last=part.last))

    def _segment(self, part: SealedPart) -> Segment:
        lend, summary = partial(self._lend, part), partial(self.summary, part)
        return Segment(self.name, part.first, part.last, lend, part.entry.sha256, summary, part.is_here)

    def _behind(self, after: int, last: int | None = None) -> tuple[Part, ...]:
        """The files that hold anything after `after`, up to `last`."""
        parts = self._parts
        begin = bisect_right(parts, after, key=lambda part: part.last)
        end = len(parts) if last is None else bisect_right(parts, last, key=lambda part: part.first)
        return parts[begin:end]

    def _part_with(self, n: int) -> Part:
        parts = self._parts
        return parts[bisect_right(parts, n, key=lambda part: part.first) - 1]

    def distrust(self, ranges: Iterable[range]) -> None:
        """Serve none of these n's any more, and all others: reading them raises `LogDamaged`."""
        self._distrusted = tuple(ranges)

    def _lend(self, part: SealedPart) -> Path:
        """A sealed file, for who reads all of it."""
        for lost in self._distrusted:
            if part.first < lost.stop and lost.start <= part.last:
                raise LogDamaged(part.path, DISTRUSTED, VERIFY)
        return part.lend()

    def _refuse_distrusted(self, n: int, part: Part) -> None:
        if self._distrusted and any(n in lost for lost in self._distrusted):
            raise LogDamaged(part.path, f"the event {n} can't be vouched for: {DISTRUSTED}", VERIFY)

    def _parsed(self, line: bytes, n: int, part: Part) -> Record:
        try:
            record = parse(self.name, line)
        except ValueError:
            record = None
        if record is None or record.n != n:
            raise LogDamaged(part.path, f"the line of event {n} is not there", REMEDY)
        return record

    def _find_again(self, part: Part, n: int) -> None:
        """The file is gone. It was sealed while we read it, or it is lost."""
        self._stale = True
        self.refresh()
        if self._part_with(n).path == part.path:
            raise LogDamaged(part.path, "it is gone", REMEDY)

    def _begun_at(self, part: Part) -> datetime:
        return part.entry.first_recordedtime if isinstance(part, SealedPart) else self._recorded_at(part.first)

    def _recorded_at(self, n: int) -> datetime:
        record = self.get(n)
        return record.recorded_time if record else _NEVER

    def _covered_by(self, index: IdIndex) -> int:
        """Up to which line an index is complete: one that was put here from elsewhere may be another log's."""
        last = self.get(min(index.covered, self._last))
        return last.n if last is not None and last.n in index.candidates(record_key(last)) else 0

    def _find_by_index(self, index: IdIndex, ids: Iterable[str]) -> dict[str, int]:
        return self._held_among(self._candidates(index, ids))

    def _candidates(self, index: IdIndex, ids: Iterable[str]) -> dict[str, list[int]]:
        return {each: index.candidates(event_key(each)) for each in ids}

    def _held_among(self, candidates: Mapping[str, Iterable[int]]) -> dict[str, int]:
        """Of the lines that may be the events with these ids, those that are; reads them."""
        found = ((each, self._first_of(numbers, partial(is_event, id=each))) for each, numbers in candidates.items())
        return {event_id: record.n for event_id, record in found if record is not None}

    def _find_in_lines(self, ids: set[str], *, after: int) -> dict[str, int]:
        records = self.records(after=after) if ids else iter(())
        events = ((decode(record.payload).id, record.n) for record in records if record.letter is None)
        return {event_id: n for event_id, n in events if event_id in ids}

    def _holder(self, index: IdIndex, key: int, is_it: Callable[[Record], bool]) -> Record | None:
        return self._first_of(index.candidates(key), is_it)

    def _first_of(self, numbers: Iterable[int], is_it: Callable[[Record], bool]) -> Record | None:
        return next((record for record in map(self.get, numbers) if record is not None and is_it(record)), None)

    def _durable_up_to(self) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int(self._disk.read(self.folder / LOCK))
        return None

    def _show(self, found: Recovered) -> None:
        self._manifest = found.manifest
        self._parts = (*found.sealed, *found.plain)

    def _look(self) -> Recovered:
        """What is there. A writer may seal a segment under our eyes: then the manifest grew, and we look again."""
        manifest = self.folder / MANIFEST
        while True:
            before = self._disk.size_bytes(manifest) if self._disk.exists(manifest) else 0
            try:
                return look(self.folder, self._disk, self._tier)
            except (LogDamaged, FileNotFoundError):
                if not self._disk.exists(manifest) or self._disk.size_bytes(manifest) == before:
                    raise
