"""The log: every origin's events on disk, appended to by their nodes and never changed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from ..bus import Delivery, Entity
from .cold import Tiering
from .disk import Disk
from .errors import InvalidOrigin, LogClosed, LogReadOnly, NotMirrored, UnknownLine
from .judging import DeadLetter
from .later import Later, is_too_much
from .line import NO_CHAIN, Record
from .mirror import MirrorWriter
from .origin import NOTHING_SEALED, Contents, OriginLog, SealedState, Segment
from .parts import SealedPart
from .sealing import Pace
from .signing import Signer
from .summary import Wanted
from .writer import Appended, Limits, OriginWriter

Result = TypeVar("Result")

ORIGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Log:
    """A folder with one folder per origin. Appends and seals may run in threads of their own beside any readers."""

    def __init__(
        self,
        folder: Path,
        *,
        writable: bool,
        own: Collection[str] | None,
        limits: Limits,
        disk: Disk,
        signer: Signer | None = None,
    ) -> None:
        self.folder = folder
        self._writable = writable
        self._own = own
        self._limits = limits
        self._disk = disk
        self.signer = signer
        self._origins: dict[str, OriginLog] = {}
        self._closed = False

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        writable: bool = True,
        own: Collection[str] | None = None,
        segment_events_max: int = Limits().segment_events_max,
        segment_size_bytes_max: int = Limits().segment_size_bytes_max,
        disk: Disk | None = None,
        signer: Signer | None = None,
    ) -> Log:
        """Open the log, and heal what a crash left behind. What is sealed from now on is signed by `signer`.

        Only the origins in `own` are appended to, and the others are mirrored; None: all are this process's own.
        With `writable=False` the folder is left as it is, and may be another process's that is writing it. Raises
        `LogLocked`, `LogDamaged`, or `LogWriteFailed` where a wound could not be healed.
        """
        limits = Limits(segment_events_max, segment_size_bytes_max)
        log = cls(folder, writable=writable, own=own, limits=limits, disk=disk or Disk(), signer=signer)
        try:
            log._find_origins()
        except BaseException:
            log.close()
            raise
        return log

    def close(self) -> None:
        """Let others write the log."""
        self._closed = True
        for origin in self._origins.values():
            origin.close()
        self._origins = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def origins(self) -> list[str]:
        """The origins' names, sorted."""
        return sorted(self._fresh())

    def vector(self) -> dict[str, int]:
        """How far each origin goes: its last n."""
        return {name: origin.last for name, origin in sorted(self._fresh().items())}

    def vector_at(self, time: datetime) -> dict[str, int]:
        """How far each origin went at `time`, by when the bus stored the events; what had none by then is left out."""
        found = {name: origin.last_at(time) for name, origin in sorted(self._fresh().items())}
        return {name: n for name, n in found.items() if n}

    def time_of(self, vector: Mapping[str, int]) -> datetime | None:
        """When the bus stored the last of the events up to `vector`; None if there is none."""
        found = (self.get(origin, n) for origin, n in vector.items())
        return max((record.recorded_time for record in found if record), default=None)

    def bus_sequence(self, origin: str) -> int:
        """The last bus sequence of which the log holds the event; 0 before the first."""
        known = self._fresh().get(origin)
        return known.sequence if known else 0

    def append(self, origin: str, deliveries: Sequence[Delivery]) -> Appended:
        """Append the deliveries that the log does not hold yet; they are durable when this returns.

        What was delivered before, by its bus sequence or by its event id, is left out. What is not a valid event is
        kept as a dead letter. Raises `LogWriteFailed`: then nothing that is not durable is in the log, and the same
        call may be repeated.
        """
        return self._writer(origin).append(deliveries)

    def rewind(self, origin: str, sequence: int = 0) -> None:
        """Accept the bus's sequences after this one again, because its stream lost them, or was made anew."""
        self._writer(origin).rewind(sequence)

    def mirror(self, origin: str) -> MirrorWriter:
        """Where another node's lines are taken in. Raises `NotMirrored` for an origin that is this process's own."""
        writer = self._writer(origin)
        if not isinstance(writer, MirrorWriter):
            raise NotMirrored(origin)
        return writer

    def repair(self, origin: str, work: Callable[[], Result]) -> Result:
        """Do work on an origin's files that makes them what they were, while nothing is appended or sealed."""
        return self._writer(origin).repair(work)

    def seal_full_segments(self, pace: Pace | None = None) -> int:
        """Compress the segments that are full; to be called in a thread. Raises `LogWriteFailed`.

        `pace` slows it down, unless it has fallen behind.
        """
        return sum(origin.seal_full_segments(pace) for origin in self._writers())

    @property
    def has_full_segments(self) -> bool:
        """Whether there is something to seal."""
        return any(origin.has_full_segments for origin in self._writers())

    def read(self, origin: str, *, after: int = 0, limit: int | None = None) -> Iterator[Record]:
        """The origin's lines after `after`, as far as they are durable now."""
        known = self._fresh().get(origin)
        if known is None:
            return iter(())
        return known.records(after=after, last=None if limit is None else after + limit)

    def get(self, origin: str, n: int) -> Record | None:
        """One line, by its permanent address."""
        known = self._fresh().get(origin)
        return known.get(n) if known else None

    def chain_at(self, origin: str, n: int) -> str:
        """The chain at a line, 16 hexadecimal digits: two logs with the same one there have the same lines up to `n`.

        At 0, before the first line, it is zeros. Raises `UnknownLine`, for a line that the log does not have yet.
        """
        known = self._fresh().get(origin)
        last = known.last if known else 0
        if not 0 <= n <= last:
            raise UnknownLine(origin, n, last)
        return known.chain_at(n) if known else NO_CHAIN

    def find(self, ids: Iterable[str]) -> dict[str, tuple[str, int]]:
        """The addresses of the events with these ids, for those that the log holds."""
        wanted = set(ids)
        found: dict[str, tuple[str, int]] = {}
        for name, origin in sorted(self._fresh().items()):
            found |= {event_id: (name, n) for event_id, n in origin.find(wanted - found.keys()).items()}
        return found

    def segments(self, origin: str, *, after: int = 0, limit: int | None = None) -> list[Segment]:
        """The origin's sealed segments that hold anything after `after`, or the first few of them."""
        known = self._fresh().get(origin)
        return known.segments(after=after, limit=limit) if known else []

    def unsealed(self, origin: str, *, after: int = 0) -> list[Path]:
        """The files of what is not sealed yet after `after`, if SQL may read them as they are; otherwise none.

        The last line may be half written, and a file may be sealed, and gone, before it is read.
        """
        known = self._fresh().get(origin)
        return known.unsealed(after=after) if known else []

    def manifest_lines(self, origin: str, *, after: int = 0) -> list[bytes]:
        """The lines of an origin's manifest, verbatim, for what is sealed after `after`."""
        known = self._fresh().get(origin)
        return known.manifest_lines(after=after) if known else []

    def sealed_state(self, origin: str) -> SealedState:
        """How far an origin is sealed."""
        known = self._fresh().get(origin)
        return known.sealed_state() if known else NOTHING_SEALED

    def segment_of(self, origin: str, n: int) -> tuple[int, int]:
        """The first and the last n of the segment that holds this line. Raises `UnknownLine`."""
        known = self._fresh().get(origin)
        if known is None or not 1 <= n <= known.last:
            raise UnknownLine(origin, n, known.last if known else 0)
        return known.segment_of(n)

    def files(self) -> list[Path]:
        """Every segment file, in the order of n within each origin, the plain ones last."""
        return [path for _, origin in sorted(self._fresh().items()) for path in origin.files]

    def sealed_with(self, origin: str, n: int) -> tuple[SealedPart, list[bytes]] | None:
        """The sealed segment that holds a line, and the manifest's lines from that segment's on; None if none does."""
        known = self._fresh().get(origin)
        return known.sealed_with(n) if known else None

    def contents(self) -> dict[str, Contents]:
        """What each origin holds, to be archived: all of one moment."""
        return {name: origin.contents() for name, origin in sorted(self._fresh().items())}

    def tiering(self, origin: str) -> Tiering | None:
        """What the archive holds of an origin; None if it was never archived."""
        known = self._fresh().get(origin)
        return known.tiering if known else None

    def note_archived(self, origin: str, tiering: Tiering) -> int:
        """Write down what the archive holds, and let go of the files that it alone keeps from now on.

        To be called once those were read back from there. Returns how many bytes are gone. Raises `LogWriteFailed`.
        """
        return self._writer(origin).note_archived(tiering)

    def dead_letters(self, origin: str | None = None) -> Iterator[DeadLetter]:
        """What is in the log and is not an event by today's schemas."""
        for name, known in sorted(self._fresh().items()):
            if origin in (None, name):
                yield from known.dead_letters()

    def dead_after(self, origin: str, after: int, last: int | None = None) -> list[int]:
        """The n's of an origin's dead letters after `after`, up to `last`."""
        known = self._fresh().get(origin)
        return list(known.dead_after(after, last)) if known else []

    def dead_faults(self) -> dict[str, int]:
        """How many dead letters there are of each fault."""
        return dict(sum((known.dead_events for known in self._fresh().values()), Counter[str]()))

    def dead_events(self) -> int:
        """How many dead letters there are."""
        return sum(self.dead_faults().values())

    def later(self, entities: Collection[Entity], *, after: Mapping[str, int], up_to: Mapping[str, int]) -> Later:
        """How much happened to these entities in the origins that `after` names, behind it, as far as `up_to`."""
        end = {origin: n for origin, n in up_to.items() if origin in after}
        return Later(entities, None if is_too_much(after, end) else self.search(after=after, up_to=end))

    def distrust(self, ranges: Mapping[str, Sequence[range]]) -> None:
        """Serve none of these n's any more, by origin, in place of those before: reading them raises `LogDamaged`."""
        for name, origin in self._fresh().items():
            origin.distrust(ranges.get(name, ()))

    def verify(self) -> None:
        """Hold every byte of every sealed file against its origin's manifest. Raises `LogDamaged`.

        Opening the log checks the rest: names, sizes, the manifests' chains, and the lines that are not sealed yet.
        """
        for origin in self._fresh().values():
            origin.verify()

    def search(
        self,
        *,
        after: Mapping[str, int] | None = None,
        up_to: Mapping[str, int] | None = None,
        types: Collection[str] | None = None,
        entity: tuple[str, str] | None = None,
        source: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Record]:
        """The events that fit all that is given, origin by origin in the order of n.

        `entity` is kind and id, as in `("assignment", "as-42")`; `since` and `until` (excluded) are about the events'
        own time. With an `up_to`, only the origins that it names, as far as it says. With nothing given, every line.
        """
        wanted = Wanted(types, entity, source, since, until)
        found = (
            record
            for name, origin in sorted(self._fresh().items())
            for record in origin.search(
                wanted, after=(after or {}).get(name, 0), last=None if up_to is None else up_to.get(name, 0)
            )
        )
        return islice(found, limit)

    def _fresh(self) -> dict[str, OriginLog]:
        if not self._writable:
            self._find_origins()
            for origin in self._origins.values():
                origin.refresh()
        return self._origins

    def _find_origins(self) -> None:
        for name in self._disk.names(self.folder):
            if name not in self._origins and ORIGIN.fullmatch(name) and (self.folder / name).is_dir():
                self._origins = {**self._origins, name: self._open_origin(name)}

    def _open_origin(self, name: str) -> OriginLog:
        if self._writable and self._own is not None and name not in self._own:
            return MirrorWriter(name, self.folder / name, self._disk, self._limits)
        if self._writable:
            return OriginWriter(name, self.folder / name, self._disk, self._limits, self.signer)
        return OriginLog(name, self.folder / name, self._disk)

    def _writer(self, name: str) -> OriginWriter:
        if not self._writable:
            raise LogReadOnly(self.folder)
        if self._closed:
            raise LogClosed(self.folder)
        if not ORIGIN.fullmatch(name):
            raise InvalidOrigin(name)
        known = self._origins.get(name)
        if known is None:
            known = self._open_origin(name)
            self._origins = {**self._origins, name: known}
        assert isinstance(known, OriginWriter)
        return known

    def _writers(self) -> list[OriginWriter]:
        return [origin for origin in self._origins.values() if isinstance(origin, OriginWriter)]
