"""Healing open lines: each is held against the ones before it, and what doesn't follow is asked for again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import NamedTuple

from ...schemas import RookeryError
from ..disk import Disk
from ..line import Chain, chain_span, is_next, number_in
from ..origin import LOCK
from ..parts import PLAIN_SUFFIX, SealedPart, plain_name
from ..recovery import PLAIN_NAME, UNWRITTEN
from .sources import Source


class Hole(NamedTuple):
    """Lines that were not what was appended; without a `source`, nothing that was `tried` gave them."""

    file: str
    first: int
    last: int
    what: str
    source: str | None
    tried: Sequence[str] = ()


class OpenLines:
    """One origin's lines that are not sealed yet, behind the segment that is sealed last."""

    def __init__(
        self, folder: Path, origin: str, sources: Sequence[Source], disk: Disk, sealed: SealedPart | None
    ) -> None:
        self._folder = folder
        self._origin = origin
        self._sources = sources
        self._disk = disk
        self._sealed_last = sealed.last if sealed else 0
        self._start = sealed.chain() if sealed else Chain()
        self._firsts = self._files()
        self._position = self._durable_up_to()
        self._held: defaultdict[int, list[bytes]] = defaultdict(list)  # what says that it is the line of an event
        self._good: dict[int, bytes] = {}
        self._broken: list[bytes] = []  # whole lines at the end that say so of no event that there can be
        for first in self._firsts:
            self._read(first)
        # Up to here there were lines: by what the writer said, and by what is there.
        self._expected = max(self._position, self._sealed_last, max(self._held, default=0) + len(self._broken))

    def holes(self) -> list[Hole]:
        """What is wrong, each closed with what a source gives, up to the first that none can close."""
        chain, n, found = copy(self._start), self._sealed_last + 1, list[Hole]()
        while n <= self._expected:
            if (line := self._following(n, chain)) is not None:
                self._good[n] = line
                chain.follow(line)
                n += 1
                continue
            hole = self._closed(n, chain)
            if hole.source is None and n > max(self._held, default=0) + len(self._broken):
                break  # what was cut off at the end is ingest's to take again
            found.append(hole)
            if hole.source is None:
                break
            chain, n = Chain.after(self._good[hole.last]), hole.last + 1
        return found

    def files(self, holes: Sequence[Hole]) -> dict[str, bytes]:
        """What the files that had these holes are to hold, by name."""
        files = {}
        for name in sorted({self._file_of(n) for hole in holes for n in range(hole.first, hole.last + 1)}):
            begin = int(name.removesuffix(PLAIN_SUFFIX))
            after = min((other for other in self._firsts if other > begin), default=self._expected + 1)
            files[name] = b"".join(self._good[n] + b"\n" for n in range(begin, after) if n in self._good)
        return files

    def _closed(self, n: int, chain: Chain) -> Hole:
        what = f"the line of event {n} is not the one that was appended" if n in self._held else "lines are missing"
        tried: list[str] = []
        for source in self._sources:
            try:
                found = self._given(n, copy(chain), source.lines(self._origin, n, self._expected), source, tried)
            except (RookeryError, OSError, ValueError) as error:
                tried.append(f"{source.name}: {error}")
                continue
            if found:
                self._good |= dict(enumerate(found, n))
                return Hole(self._file_of(n), n, n + len(found) - 1, what, source.name)
        return Hole(self._file_of(n), n, self._last_bad(n), what, None, tried)

    def _given(
        self, n: int, chain: Chain, lines: Iterable[bytes], source: Source, tried: list[str]
    ) -> list[bytes] | None:
        """The lines that close the hole: up to one that ours follow, or up to the end."""
        found: list[bytes] = []
        for line in lines:
            at = n + len(found)
            if not is_next(line, at, chain):
                tried.append(f"{source.name} gave another line of event {at}")
                return None
            found.append(line)
            if at == self._expected and not self._contradicts(at, line):
                return found
            if self._following(at + 1, chain) is not None:
                return found
        tried.append(
            f"{source.name} doesn't have them" if not found else f"{source.name} gave lines that ours don't follow"
        )
        return None

    def _contradicts(self, n: int, line: bytes) -> bool:
        """Whether what is left of the last line denies it: either its chain or all the rest must be the same."""
        is_broken = n == max(self._held, default=0) + len(self._broken)
        left = self._held.get(n) or (self._broken[-1:] if is_broken else [])
        return bool(left) and not any(_bears_out(ours, line) for ours in left)

    def _following(self, n: int, chain: Chain) -> bytes | None:
        """Our line of an event, if there is one that follows."""
        return next((line for line in self._held.get(n, ()) if is_next(line, n, copy(chain))), None)

    def _durable_up_to(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            return int(self._disk.read(self._folder / LOCK))
        return 0

    def _last_bad(self, n: int) -> int:
        """The last line before one that stands by itself again, as far as that can be known."""
        later = [at for at in self._held if at > n + 1]
        return min(later) - 2 if later and n + 1 not in self._held else n if later else self._expected

    def _files(self) -> list[int]:
        names = [name for name in self._disk.names(self._folder) if PLAIN_NAME.fullmatch(name)]
        firsts = [int(name.removesuffix(PLAIN_SUFFIX)) for name in names]
        return [first for first in firsts if first > self._sealed_last]

    def _read(self, first: int) -> None:
        *lines, _ = self._disk.read(self._folder / plain_name(first)).split(b"\n")
        self._broken = []
        for index, line in enumerate(lines):
            if UNWRITTEN in line:
                return
            try:
                n = number_in(line)
            except ValueError:
                n = 0
            if first <= n <= max(self._position, first + index):
                self._held[n].append(line)
                self._broken = []
            else:
                self._broken.append(line)

    def _file_of(self, n: int) -> str:
        return plain_name(max((first for first in self._firsts if first <= n), default=self._sealed_last + 1))


def _bears_out(ours: bytes, line: bytes) -> bool:
    span = chain_span(line)
    if span is None:
        return ours == line
    begin, end = span
    return ours[begin:end] == line[begin:end] or ours[:begin] + ours[end:] == line[:begin] + line[end:]
