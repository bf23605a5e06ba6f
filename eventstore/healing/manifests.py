"""Healing a manifest: from a copy, held against the segments; or made again from the segments that are here."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from ...schemas import RookeryError
from ..disk import Disk
from ..errors import LogDamaged
from ..frames import FramedFile
from ..line import Chain, is_next, parse
from ..manifest import BEFORE_THE_FIRST, Entry, Links, Manifest, entry_in
from ..manifest import NAME as MANIFEST
from ..merkle import MerkleTree
from ..parts import SEALED_SUFFIX, sealed_name
from ..signing import Signer, is_signed, signed
from .sources import Source

PROVEN = "the segments themselves, whose hashes the lines behind bear out"
REBUILT = "the segments that are here, which all fit together: nothing else bears it out"


class Made(NamedTuple):
    """A manifest's bytes, the last line that it tells of, and who gave it."""

    data: bytes
    last: int
    source: str


class ManifestHealing:
    """One origin's manifest. `wrong` is what is wrong with it, None if nothing is; `last`, how far the segments go."""

    def __init__(
        self, folder: Path, origin: str, sources: Sequence[Source], disk: Disk, signer: Signer | None = None
    ) -> None:
        self.tried: list[str] = []
        self._signer = signer
        self._folder = folder
        self._origin = origin
        self._sources = sources
        self._disk = disk
        self._digests: dict[str, str] = {}
        self._own = self._own_lines()
        self._files = self._sealed_files()
        self.last = max([0, *(entry.last for _, entry in self._own.values()), *self._files])
        self.wrong = self._wrong()

    def made(self) -> Made | None:
        """A whole manifest; None if there is none to be had."""
        lines, is_proven = self._completed([])
        if is_proven and self._covers(lines):
            return _made(lines, PROVEN)
        for source in self._sources:
            if (found := self._from(source)) is not None:
                return _made(found, source.name)
        if self._covers(lines) and self._fits(lines):
            return _made(lines, REBUILT)
        return None

    def _wrong(self) -> str | None:
        try:
            known = {entry.segment for entry in Manifest(self._folder / MANIFEST, self._disk).entries}
        except LogDamaged as damage:
            return damage.what
        strays = [name for name in self._files.values() if name not in known and not self._has_plain(name)]
        return f"it doesn't tell of {strays[0]}" if strays else None

    def _has_plain(self, name: str) -> bool:
        """Whether a seal was interrupted before its line was written: then the file is the writer's to remove."""
        return self._disk.exists(self._folder / name.removesuffix(".zst"))

    def _own_lines(self) -> dict[int, tuple[bytes, Entry]]:
        """What can still be read of it, by the first event of each segment."""
        path = self._folder / MANIFEST
        lines = self._disk.read(path).split(b"\n")[:-1] if self._disk.exists(path) else []
        found: dict[int, tuple[bytes, Entry]] = {}
        for line in lines:
            try:
                entry = entry_in(line)
            except msgspec.MsgspecError:
                continue
            if entry.segment == sealed_name(entry.first) and entry.last == entry.first + entry.events - 1:
                found[entry.first] = (line, entry)
        return found

    def _sealed_files(self) -> dict[int, str]:
        names = [name for name in self._disk.names(self._folder) if name.endswith(SEALED_SUFFIX)]
        return {int(name[:20]): name for name in names if name[:20].isdigit() and name == sealed_name(int(name[:20]))}

    def _from(self, source: Source) -> list[bytes] | None:
        try:
            data = source.manifest(self._origin)
        except (RookeryError, OSError) as error:
            self.tried.append(f"{source.name}: {error}")
            return None
        if data is None:
            self.tried.append(f"{source.name} doesn't have it")
            return None
        given = data.split(b"\n")[:-1]
        if not self._fits(given):
            self.tried.append(f"{source.name} gave one that doesn't fit the segments that are here")
            return None
        lines, _ = self._completed(given)
        if not self._covers(lines):
            self.tried.append(f"{source.name} gave one that ends too early")
            return None
        return lines

    def _fits(self, lines: Sequence[bytes]) -> bool:
        """Whether it is a manifest, and that of these segments."""
        links = Links()
        for line in lines:
            try:
                entry = entry_in(line)
            except msgspec.MsgspecError:
                return False
            if links.follow(line, entry) or not self._is_of_segment(entry):
                return False
        return True

    def _is_of_segment(self, entry: Entry) -> bool:
        """Hold it against the segment's file, or, where that isn't whole or here, against what our own line says."""
        own = self._own.get(entry.first)
        if entry.first in self._files and self._digest(entry.segment) == entry.sha256:
            return True
        return own is None or (own[1].sha256, own[1].merkle_root) == (entry.sha256, entry.merkle_root)

    def _completed(self, lines: Sequence[bytes]) -> tuple[list[bytes], bool]:
        """These lines and those that follow: our own where they fit, else made from the segments.

        And whether each that was made is borne out by one of our own that follows.
        """
        made = list(lines)
        entries = [msgspec.json.decode(line, type=Entry) for line in made]
        is_proven = True
        while True:
            first = entries[-1].last + 1 if entries else 1
            previous = sha256(made[-1]).hexdigest() if made else BEFORE_THE_FIRST
            own = self._own.get(first)
            if own is not None and own[1].previous == previous and self._is_whole(*own):
                line, is_proven = own[0], True
            elif (entry := self._entry_of(first, entries[-1] if entries else None)) is not None:
                line, is_proven = self._line(msgspec.structs.replace(entry, previous=previous)), False
            else:
                return made, is_proven
            made.append(line)
            entries.append(msgspec.json.decode(line, type=Entry))

    def _line(self, entry: Entry) -> bytes:
        """An entry as it was written, by the hash in the line behind it if that is there; else as it would be now."""
        lines = [msgspec.json.encode(entry)]
        if self._signer:
            ours = msgspec.structs.replace(entry, signer=self._signer.public)
            lines = [signed(msgspec.json.encode(ours), self._signer), *lines]
        after = self._own.get(entry.last + 1)
        borne_out = (line for line in lines if after and after[1].previous == sha256(line).hexdigest())
        return next(borne_out, lines[0])

    def _is_whole(self, line: bytes, entry: Entry) -> bool:
        """Whether our own line is what was written: by its signature, the next one's hash, or what its segment says."""
        if isinstance(entry.signer, str):
            return is_signed(line, entry.signer)
        after = self._own.get(entry.last + 1)
        if after is not None and after[1].previous == sha256(line).hexdigest():
            return True
        if after is not None or entry.first not in self._files:
            return after is None
        found = self._entry_of(entry.first, None)
        return found is not None and found == msgspec.structs.replace(entry, previous=found.previous, chain=found.chain)

    def _entry_of(self, first: int, before: Entry | None) -> Entry | None:
        """What a manifest has to say of a segment that is here, if its lines follow from those before."""
        name = self._files.get(first)
        if name is None:
            return None
        path = self._folder / name
        tree, events, size_bytes, chain = MerkleTree(), 0, 0, _chain_after(before, first)
        begin = last = b""
        try:
            file = FramedFile(path, self._disk)
            for line in (line for frame in file.frames for line in file.decode(frame)):
                if not is_next(line, first + events, chain):
                    return None
                tree.add(line)
                begin, last = begin or line, line
                events, size_bytes = events + 1, size_bytes + len(line) + 1
        except (LogDamaged, OSError):
            return None
        return Entry(
            segment=name,
            first=first,
            last=first + events - 1,
            events=events,
            bytes=size_bytes,
            compressed_bytes=self._disk.size_bytes(path),
            first_recordedtime=parse(self._origin, begin).recorded_time,
            last_recordedtime=parse(self._origin, last).recorded_time,
            sha256=self._digest(name),
            merkle_root=tree.root(),
            chain=chain.at if chain.begun and chain.at else UNSET,
        )

    def _digest(self, name: str) -> str:
        if name not in self._digests:
            self._digests[name] = sha256(self._disk.read(self._folder / name)).hexdigest()
        return self._digests[name]

    def _covers(self, lines: Sequence[bytes]) -> bool:
        """Whether it tells of all segments that are known of."""
        last = msgspec.json.decode(lines[-1], type=Entry).last if lines else 0
        known = max([0, *(entry.last for _, entry in self._own.values())])
        strays = [first for first, name in self._files.items() if first > last and not self._has_plain(name)]
        return last >= known and not strays


def _made(lines: Sequence[bytes], source: str) -> Made:
    last = msgspec.json.decode(lines[-1], type=Entry).last if lines else 0
    return Made(b"".join(line + b"\n" for line in lines), last, source)


def _chain_after(before: Entry | None, first: int) -> Chain:
    if first == 1:
        return Chain()
    return Chain(before.chain, begun=True) if before and isinstance(before.chain, str) else Chain(None)
