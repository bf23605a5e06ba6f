"""The one writer of an origin: appends durably, seals what is full, and never shows what it could still lose."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import RLock
from typing import NamedTuple, TypeVar

import msgspec

from ..bus import Delivery
from .admission import Admission, Admitted
from .cold import Tiering
from .disk import Disk
from .errors import ArchiveError, LogClosed, LogDamaged, LogLocked, LogWriteFailed
from .ids import IdIndex, record_key, remove
from .line import Chain, chain_of
from .manifest import Manifest
from .origin import IDS, LOCK, OriginLog
from .parts import PlainPart, SealedPart, plain_name
from .recovery import look, recover
from .sealing import Pace, write_sealed
from .signing import Signer
from .summary import Counted, Summary, registry_fingerprint

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Appended(NamedTuple):
    """What one append added: the lines `first` to `last`. An event that the log had already is a duplicate."""

    first: int
    last: int
    events: int
    duplicates: int


class Limits(NamedTuple):
    """When a segment is full: whichever comes first. The size is that of its plain lines."""

    segment_events_max: int = 65_536
    segment_size_bytes_max: int = 64 * 2**20


class OriginWriter(OriginLog):
    """An origin that this process writes. Appends come from one thread at a time, seals from another."""

    _manifest: Manifest
    _ids: IdIndex
    _sequence: int

    def __init__(self, name: str, folder: Path, disk: Disk, limits: Limits, signer: Signer | None = None) -> None:
        super().__init__(name, folder, disk)
        self._signer = signer
        self._tier.owned = True
        self._limits = limits
        self._appending = RLock()
        self._sealing = RLock()
        self._summaries: dict[int, Summary] = {}
        self._written: tuple[PlainPart, int] | None = None
        self._torn = False
        self._chain = ""  # at the last line, once somebody asked
        self._closed = False
        with failing_as_log_write(folder):
            disk.make_folder(folder)
            self._lock_descriptor = self._lock()
        try:
            self._recover()
        except BaseException:
            self._release()
            raise

    @property
    def sequence(self) -> int:
        """The last bus sequence that the log holds."""
        return self._sequence

    def refresh(self) -> None:
        """Nothing changes but by this object."""

    def append(self, deliveries: Sequence[Delivery]) -> Appended:
        """Append what the log does not have yet; it is durable when this returns. Raises `LogWriteFailed`."""
        with self._appending:
            self._refuse_if_closed()
            admission = self._with_sound_ids(partial(self._admit, deliveries))
            first = self._last + 1
            for part, lines in self._by_segment(admission.admitted):
                self._commit(part, lines)
            self._sequence = admission.sequence
            return Appended(first, self._last, len(admission.admitted), admission.duplicates)

    def rewind(self, sequence: int) -> None:
        """Take deliveries after this bus sequence again; what the log has is recognised by its id."""
        with self._appending:
            self._sequence = sequence

    def repair(self, work: Callable[[], Result]) -> Result:
        """Do work on the files that makes them what they were, with nobody writing; then look at them anew."""
        with self._sealing, self._appending, failing_as_log_write(self.folder):
            self._refuse_if_closed()
            for part in self._parts[-1:]:
                if isinstance(part, PlainPart):
                    self._cut_torn(part, self._descriptor_of(part))
            if self._written is not None:
                self._disk.close(self._written[1])
                self._written = None
            result = work()
            self._show(look(self.folder, self._disk, self._tier))
            self._distrusted = ()  # until somebody verifies it again
            self._counted = Counted(registry_fingerprint())
            return result

    def seal_full_segments(self, pace: Pace | None = None) -> int:
        """Seal what is full, and say how many segments that was. Readers and appends go on meanwhile.

        `pace` is heeded where one segment waits, and not where several do. Raises `LogWriteFailed`; the segment is
        then as it was, and a later call seals it.
        """
        with self._sealing:
            self._refuse_if_closed()
            full = [part for part in self._parts if isinstance(part, PlainPart) and self._is_full(part)]
            for part in full:
                self._seal(part, pace if len(full) == 1 else None)
            return len(full)

    @property
    def has_full_segments(self) -> bool:
        """Whether there is anything to seal. Asked after each append: the many that are sealed aren't looked at."""
        plain = takewhile(lambda part: isinstance(part, PlainPart), reversed(self._parts))
        return any(isinstance(part, PlainPart) and self._is_full(part) for part in plain)

    def note_archived(self, tiering: Tiering) -> int:
        """Write down what the archive holds, and remove what is only kept there from now on: how many bytes were.

        A file whose path was handed out just now goes the next time. Raises `LogWriteFailed`.
        """
        with self._sealing, failing_as_log_write(self.folder):
            self._refuse_if_closed()
            self._tier.note(tiering)
            return self._tier.let_go(0, tiering)

    def find(self, ids: Iterable[str]) -> dict[str, int]:
        """The n's of the events with these ids, for those that are held."""
        with self._appending:
            self._refuse_if_closed()
            candidates = self._with_sound_ids(lambda: self._candidates(self._ids, ids))
        return self._held_among(candidates)  # what the archive has may take its time

    def close(self) -> None:
        """Leave the folder so that opening it again is quick, and let others write it."""
        with self._sealing, self._appending:
            if self._closed:
                return
            with suppress(sqlite3.Error):
                self._ids.flush()
            self._ids.close()
            with suppress(OSError):
                self._disk.fsync(self._lock_descriptor)
            self._release()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise LogClosed(self.folder)

    def _admit(self, deliveries: Sequence[Delivery]) -> Admission:
        self._ids.make_room()
        try:
            chain = self._chain = self._chain or self.chain_at(self._last)
            admission = Admission(self.name, self._last, chain, self._sequence, partial(self._holder, self._ids))
            admission.take(deliveries)
        except (ArchiveError, LogDamaged) as error:  # whether the log has one of them already can't be seen
            raise LogWriteFailed(self.folder, str(error)) from error
        return admission

    def _with_sound_ids(self, work: Callable[[], Result]) -> Result:
        """Do work that asks the index; if that turns out to be damaged, make it anew and do the work again."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            self._ids.close()
            with failing_as_log_write(self.folder / IDS):
                self._make_ids_anew(error)
                return work()

    def _commit(self, part: PlainPart, admitted: Sequence[Admitted]) -> None:
        """One write, one fsync, and only then anybody sees it."""
        summary = self._summary_of_plain(part)
        self._write(part, [entry.line for entry in admitted])
        for entry in admitted:
            self._ids.add(entry.key, entry.n)
            summary.add(entry.n, entry.verdict)
        self._sequence = admitted[-1].sequence
        self._show_up_to(part.last, chain_of(admitted[-1].line))

    def _write(self, part: PlainPart, lines: Sequence[bytes]) -> None:
        """Add lines to a file, durably. Raises `LogWriteFailed`; then none of them is there."""
        with failing_as_log_write(part.path):
            descriptor = self._descriptor_of(part)
            self._cut_torn(part, descriptor)
            self._torn = True
            try:
                self._disk.write_at(descriptor, b"\n".join(lines) + b"\n", part.size_bytes)
                self._disk.fsync(descriptor)
                self._torn = False
            except OSError:
                with suppress(OSError):
                    self._cut_torn(part, descriptor)
                raise
        part.extend(lines)

    def _show_up_to(self, last: int, chain: str) -> None:
        """Let everybody see what is durable."""
        self._last, self._chain = last, chain
        with suppress(OSError):  # it only makes other processes read a little less, until the next append
            self._publish_position()

    def _by_segment(self, admitted: list[Admitted]) -> Iterator[tuple[PlainPart, list[Admitted]]]:
        """Cut at the segments' borders, which depend on the lines alone and not on how they were batched."""
        while admitted:
            part = self._part_to_write()
            room, size_bytes = self._limits.segment_events_max - (part.last - part.first + 1), part.size_bytes
            count = 0
            while count < min(room, len(admitted)) and size_bytes < self._limits.segment_size_bytes_max:
                size_bytes += len(admitted[count].line) + 1
                count += 1
            yield part, admitted[:count]
            admitted = admitted[count:]

    def _part_to_write(self) -> PlainPart:
        part = self._parts[-1] if self._parts else None
        if isinstance(part, PlainPart) and not self._is_full(part):
            return part
        return self._begin_part()

    def _begin_part(self) -> PlainPart:
        first = self._last + 1
        path = self.folder / plain_name(first)
        with failing_as_log_write(path):
            descriptor = self._disk.open_to_write(path)
            self._disk.close(descriptor)
            self._disk.fsync_folder(self.folder)
        part = PlainPart(path, first, self._disk)
        self._parts = (*self._parts, part)
        return part

    def _is_full(self, part: PlainPart) -> bool:
        return (
            part.last - part.first + 1 >= self._limits.segment_events_max
            or part.size_bytes >= self._limits.segment_size_bytes_max
        )

    def _descriptor_of(self, part: PlainPart) -> int:
        if self._written is not None and self._written[0] is not part:
            self._disk.close(self._written[1])
            self._written = None
        if self._written is None:
            self._written = part, self._disk.open_to_write(part.path)
        return self._written[1]

    def _cut_torn(self, part: PlainPart, descriptor: int) -> None:
        if self._torn:
            self._disk.truncate(descriptor, part.size_bytes)
            self._torn = False

    def _seal(self, part: PlainPart, pace: Pace | None) -> None:
        with failing_as_log_write(part.path):
            summary = self._summary_of_plain(part)
            entry = write_sealed(part, self.name, self._chain_before(part), self._disk, pace)
            sealed = SealedPart(self.folder, self._manifest.append(entry, self._signer), self._disk, self._tier)
            self._keep(sealed, summary)
            with self._appending:
                self._parts = tuple(sealed if known is part else known for known in self._parts)
                self._summaries.pop(part.first, None)
            self._disk.unlink(part.path)

    def _chain_before(self, part: PlainPart) -> Chain:
        sealed = [known for known in self._parts if isinstance(known, SealedPart)]
        return sealed[-1].chain() if sealed else Chain()

    def _keep(self, part: SealedPart, summary: Summary) -> Summary:
        with suppress(OSError):  # derived: whoever misses it makes it again
            self._disk.replace(part.summary_path, msgspec.json.encode(summary))
        return summary

    def _summary_of_plain(self, part: PlainPart) -> Summary:
        with self._appending:
            summary = self._summaries.get(part.first)
            if summary is None or not summary.current:
                summary = self._summaries[part.first] = self._judged(part)
            return summary

    def _recover(self) -> None:
        with failing_as_log_write(self.folder):
            found = recover(self.folder, self._disk, self._tier)
            self._manifest = found.manifest
            self._show(found)
            self._last = found.last
            self._sequence = super().sequence
            if (durable := self._durable_up_to() or 0) > self._last:
                logger.error(
                    "%s: the events from %d to %d, which were durable, are gone; they are taken from "
                    "the bus again, if it has them",
                    self.folder,
                    self._last + 1,
                    durable,
                )
            self._publish_position()
            try:
                self._open_ids()
            except sqlite3.DatabaseError as error:
                self._make_ids_anew(error)

    def _open_ids(self) -> None:
        """Open the index and make it fit the log: cut off where it is ahead, filled in where it is behind."""
        self._ids = IdIndex.open(self.folder / IDS)
        try:
            covered = self._covered_by(self._ids)
            if covered < self._ids.covered:
                self._ids.cut_off(covered)
            for record in self.records(after=covered):
                self._ids.make_room()
                self._ids.add(record_key(record), record.n)
        except BaseException:
            self._ids.close()
            raise

    def _make_ids_anew(self, error: sqlite3.Error) -> None:
        logger.warning("making %s anew: %s", self.folder / IDS, error)
        remove(self.folder / IDS, self._disk)
        self._open_ids()

    def _publish_position(self) -> None:
        self._disk.write_at(self._lock_descriptor, b"%020d\n" % self._last, 0)

    def _lock(self) -> int:
        path = self.folder / LOCK
        descriptor = self._disk.open_to_write(path)
        if not self._disk.lock(descriptor):
            self._disk.close(descriptor)
            raise LogLocked(path)
        return descriptor

    def _release(self) -> None:
        self._closed = True
        if self._written is not None:
            self._disk.close(self._written[1])
            self._written = None
        self._disk.close(self._lock_descriptor)


@contextmanager
def failing_as_log_write(path: Path) -> Iterator[None]:
    """Tell of what the disk or SQLite refuses as `LogWriteFailed`."""
    try:
        yield
    except OSError as error:
        raise LogWriteFailed(path, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise LogWriteFailed(path, str(error)) from error
