"""A mirror: an origin that another node writes, kept here byte for byte as it is there.

Its lines come verbatim and in order, and so do its manifest's. Where a segment ends is for its home to say: a mirror
seals when its home has, and takes the result only if it is the same file. Whatever comes is checked before it is
written, and written before it is seen; what is here already is passed over, so that any number of peers may send.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..bus import Delivery
from .arrivals import Arrivals, Check, is_same_file, keys_of_segment, refuse_oversized
from .errors import LogDamaged, MirrorRefused, NotOwn
from .judging import judge_record
from .line import Chain, chain_of, number_in
from .manifest import Entry
from .parts import PlainPart, SealedPart, plain_name
from .sealing import Pace, write_sealed
from .summary import Summary
from .writer import Appended, OriginWriter, failing_as_log_write


class MirrorWriter(OriginWriter):
    """An origin that this process mirrors. Any thread may bring something, from any peer."""

    @property
    def sequence(self) -> int:
        """The last bus sequence that its home took an event from."""
        return super(OriginWriter, self).sequence

    @property
    def sealed(self) -> int:
        """The last line that is sealed here, as its home has sealed it."""
        return self._manifest.entries[-1].last if self._manifest.entries else 0

    @property
    def has_full_segments(self) -> bool:
        """Never: its home says when."""
        return False

    def seal_full_segments(self, pace: Pace | None = None) -> int:
        """Nothing: its home says when."""
        return 0

    def append(self, deliveries: Sequence[Delivery]) -> Appended:
        """Raises `NotOwn`: what is appended to it comes from its home."""
        raise NotOwn(self.name)

    def rewind(self, sequence: int) -> None:
        """Raises `NotOwn`."""
        raise NotOwn(self.name)

    def take_lines(self, segment: int, lines: Sequence[bytes]) -> int:
        """Append lines of the segment that begins at `segment`; they are durable when this returns. How many were new.

        Raises `MirrorRefused`, or `LogWriteFailed`: then none of them was kept.
        """
        with self._appending:
            self._refuse_if_closed()
            new = self._not_here_yet(lines)
            if not new:
                return 0
            keys = Arrivals(self.name, self._last, self._chain_at_last()).keys(new)
            self._with_sound_ids(self._ids.make_room)
            part = self._part_that_begins_at(segment)
            self._write(part, new)
            self._add_keys(keys)
            self._show_up_to(part.last, chain_of(new[-1]))
            return len(new)

    def take_segment(self, line: bytes, data: bytes, check: Check = keys_of_segment) -> int:
        """Take a sealed segment whole, with its line of the manifest. How many of its events were new.

        `check` is who does what `keys_of_segment` does.

        Raises `MirrorRefused`, or `LogWriteFailed`: then nothing of it was kept.
        """
        with self._sealing:
            self._refuse_if_closed()
            entry = self._next_entry(line)
            if entry is None:
                return 0
            refuse_oversized(self.name, entry, data)
            path = self.folder / entry.segment
            unfinished = path.with_name(path.name + ".tmp")
            try:
                with failing_as_log_write(path):
                    self._put(unfinished, data)
                arrivals = Arrivals(self.name, entry.first - 1, self._chain_at_sealed())
                keys = check(unfinished, entry, arrivals, self._disk)
                with self._appending:
                    return self._adopt(line, entry, keys, unfinished)
            except BaseException:
                with suppress(OSError):
                    self._disk.unlink(unfinished)
                raise

    def seal_as(self, line: bytes) -> bool:
        """Seal lines that are here, as this line of their home's manifest says; whether that gave the same file.

        If not, `take_segment`: another zstd may make other bytes of the same lines. Raises `MirrorRefused`, or
        `LogWriteFailed`; then nothing is sealed.
        """
        with self._sealing:
            self._refuse_if_closed()
            entry = self._next_entry(line)
            if entry is None:
                return True
            if self._last < entry.last:
                return False
            with failing_as_log_write(self.folder / entry.segment):
                part = self._part_of(entry)
                try:
                    return self._seal_as(line, entry, part)
                finally:
                    if part not in self._parts and part.path.name != plain_name(entry.first):
                        self._disk.unlink(part.path)

    def _seal_as(self, line: bytes, entry: Entry, part: PlainPart) -> bool:
        made = write_sealed(part, self.name, self._chain_at_sealed(), self._disk)
        path = self.folder / entry.segment
        if not is_same_file(made, entry):
            self._disk.unlink(path)
            return False
        with self._appending:
            self._adopt(line, entry, [], path)
        return True

    def _next_entry(self, line: bytes) -> Entry | None:
        """What a line of the manifest says; None if it is here already. Raises `MirrorRefused`."""
        try:
            entry = self._manifest.decode(line)
            if entry.last > self.sealed:
                return self._manifest.read_next(line)
        except LogDamaged as damage:
            raise MirrorRefused(self.name, self.sealed + 1, f"its line of the manifest: {damage.what}") from None
        known = next((known for known in self._manifest.entries if known.first == entry.first), None)
        if known is None or not is_same_file(entry, known):
            raise MirrorRefused(self.name, entry.first, "another line of the manifest is here for that segment")
        return None

    def _not_here_yet(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        try:
            known = self._last - number_in(lines[0]) + 1 if lines else 0
        except ValueError:
            raise MirrorRefused(self.name, self._last + 1, "it is no line of a log") from None
        return lines[max(known, 0) :]

    def _part_that_begins_at(self, segment: int) -> PlainPart:
        """The file to write; where a new one may begin, its home says so."""
        part = self._parts[-1] if self._parts else None
        if isinstance(part, PlainPart) and segment != self._last + 1:
            return part
        if isinstance(part, PlainPart) and part.first == segment:
            return part
        return self._begin_part()

    def _adopt(self, line: bytes, entry: Entry, keys: Sequence[int], path: Path) -> int:
        """Make the file at `path` the sealed segment, in the place of its plain lines; how many events that adds.

        A crash leaves what `recover` knows from sealing: a sealed file that counts once the manifest tells of it, and
        until then its plain one beside it, if only an empty one.
        """
        before = self._last
        self._refuse_other_lines(entry, path)
        self._with_sound_ids(self._ids.make_room)
        with failing_as_log_write(self.folder / entry.segment):
            rest = self._rest_after(entry)
            self._touch(self.folder / plain_name(entry.first))
            self._disk.rename(path, self.folder / entry.segment)
            self._disk.fsync_folder(self.folder)
            sealed = SealedPart(self.folder, self._manifest.adopt(line), self._disk, self._tier)
            self._put_in_place(rest)
        gone = [part for part in self._parts if entry.first <= part.first <= entry.last]
        parts = [*(part for part in self._parts if part not in gone), sealed, *([rest] if rest else [])]
        self._parts = tuple(sorted(parts, key=lambda part: part.first))
        if entry.last > before:
            self._add_keys(keys[before - entry.last :])
            self._show_up_to(entry.last, sealed.chain().at or "")
        with suppress(OSError):  # the next opening does it
            for one in {self.folder / plain_name(entry.first), *(part.path for part in gone)}:
                self._disk.unlink(one)
        return max(entry.last - before, 0)

    def _part_of(self, entry: Entry) -> PlainPart:
        """The file with these lines; where they lie in other files than at home, a passing one."""
        part = next((part for part in self._parts if part.first == entry.first), None)
        if isinstance(part, PlainPart) and part.last == entry.last:
            return part
        return self._copied(entry.first, entry.last, "seal")

    def _copied(self, first: int, last: int, purpose: str) -> PlainPart:
        lines = [record.line for record in self.records(after=first - 1, last=last)]
        path = self.folder / f"{plain_name(first)}.{purpose}.tmp"
        self._put(path, b"\n".join(lines) + b"\n")
        part = PlainPart(path, first, self._disk)
        part.extend(lines)
        return part

    def _rest_after(self, entry: Entry) -> PlainPart | None:
        """The lines of a plain file that reaches beyond the segment's end, in a new file that is to take its place.

        Should the process die before it is in place, those lines come from the peers again.
        """
        part = next((part for part in self._parts if part.first <= entry.last < part.last), None)
        if not isinstance(part, PlainPart):
            return None
        return self._copied(entry.last + 1, part.last, "rest")

    def _put_in_place(self, rest: PlainPart | None) -> None:
        if rest:
            with suppress(OSError):  # then it is under the name that it has, as long as the process lives
                path = self.folder / plain_name(rest.first)
                self._disk.rename(rest.path, path)
                rest.path = path

    def _refuse_other_lines(self, entry: Entry, path: Path) -> None:
        """Raises `MirrorRefused` where the segment holds other lines than are here already."""
        n = min(self._last, entry.last)
        if n < entry.first or (n == entry.last and path.name == entry.segment):
            return
        found = SealedPart(self.folder, entry, self._disk, self._tier)
        found.path = path
        if chain_of(found.line(n)) != self.chain_at(n):
            raise MirrorRefused(self.name, n, "the segment holds another line than is here already")

    def _summary_of_plain(self, part: PlainPart) -> Summary:
        """What came since somebody asked last is judged when somebody asks again."""
        with self._appending:
            summary = super()._summary_of_plain(part)
            for record in self.records(after=max(summary.last, part.first - 1), last=part.last):
                summary.add(record.n, judge_record(record))
            return summary

    def _chain_at_last(self) -> Chain:
        record = self.get(self._last) if self._last > self.sealed else None
        return Chain.after(record.line) if record else self._chain_at_sealed()

    def _chain_at_sealed(self) -> Chain:
        sealed = [part for part in self._parts if isinstance(part, SealedPart)]
        return sealed[-1].chain() if sealed else Chain()

    def _add_keys(self, keys: Sequence[int]) -> None:
        self._ids.add_all(keys, self._last + 1)

    def _touch(self, path: Path) -> None:
        self._disk.close(self._disk.open_to_write(path))

    def _put(self, path: Path, data: bytes) -> None:
        descriptor = self._disk.open_to_write(path)
        try:
            self._disk.truncate(descriptor, 0)
            self._disk.write_at(descriptor, data, 0)
            self._disk.fsync(descriptor)
        finally:
            self._disk.close(descriptor)
