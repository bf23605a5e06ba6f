"""Verifying files: the manifest, and each file that it tells of or should tell of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from ..cold import NAME as ARCHIVE_NOTE
from ..cold import ColdTier, Tiering
from ..disk import Disk
from ..errors import LogDamaged
from ..line import Chain
from ..manifest import NAME as MANIFEST
from ..manifest import Entry, Links, entry_in
from ..origin import LOCK
from ..parts import PLAIN_SUFFIX, SEALED_SUFFIX, SealedPart, plain_name
from ..recovery import PLAIN_NAME
from .derived import check_derived
from .findings import Finding
from .lines import OpenLines, SealedLines, locate

CHUNK_BYTES = 4 * 2**20
OTHER_SIGNER = "that is right where the node was restored or given a new key; else somebody else wrote it"
NO_SIGNER = "that is right where the node sealed nothing since it got its key; else somebody else wrote it"

# Called after each piece with how many bytes of files it had. It may take its time, and raise, to stop there.
Watch = Callable[[int], object]


def unwatched(size_bytes: int) -> None:
    """Nobody looks."""


def verify(
    folder: Path,
    *,
    origins: Collection[str] | None = None,
    signers: Mapping[str, str] | None = None,
    deep: bool = False,
    beside_writer: bool = False,
    disk: Disk | None = None,
    watch: Watch = unwatched,
) -> Iterator[Finding]:
    """What is wrong with the log in `folder`: all origins, or those that are named. `signers`: who signs which origin.

    Those come first. Every byte of the sealed files is hashed. With `deep`, every line is decoded as well, and held
    against its chain and its segment's Merkle root, and what is derived against the lines. `beside_writer`: a node is
    writing, so that what is behind the last durable line is not looked at.
    """
    disk, signers = disk or Disk(), signers or {}
    for name in sorted(disk.names(folder), key=lambda name: name not in signers):
        if disk.is_folder(folder / name) and (origins is None or name in origins):
            verification = OriginVerification(
                folder,
                name,
                disk,
                signer=signers.get(name),
                deep=deep,
                beside_writer=beside_writer,
                watch=watch,
            )
            yield from verification.run()


def bytes_to_verify(folder: Path, *, deep: bool = False, disk: Disk | None = None) -> int:
    """About how many bytes `verify` will tell its watch of."""
    disk = disk or Disk()
    suffixes = (PLAIN_SUFFIX, SEALED_SUFFIX)
    total = 0
    for origin in disk.names(folder):
        for name in disk.names(folder / origin):
            if name.endswith(suffixes) and name != MANIFEST:
                with suppress(FileNotFoundError):  # sealed, or let go of, just now
                    size_bytes = disk.size_bytes(folder / origin / name)
                    total += size_bytes * (2 if deep and name.endswith(SEALED_SUFFIX) else 1)
    return total


class OriginVerification:
    """One origin's verification."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        disk: Disk,
        *,
        signer: str | None = None,
        deep: bool = False,
        beside_writer: bool = False,
        watch: Watch = unwatched,
    ) -> None:
        self.origin = origin
        self.folder = folder / origin
        self._disk = disk
        self._signer = signer
        self._deep = deep
        self._beside_writer = beside_writer
        self._watch = watch
        self._entries: list[Entry] = []
        self._last = 0

    def run(self) -> Iterator[Finding]:
        """Everything that is wrong, in the order of n where that is known."""
        yield from self._archive_note()
        yield from self._manifest()
        yield from self._sealed()
        yield from self._strays()
        yield from self._open_lines()
        yield from check_derived(self.folder, self.origin, self._entries, self._disk, deep=self._deep)

    def finding(self, **fields: object) -> Finding:
        """A finding in this origin; `file` is a name in its folder."""
        fields["file"] = f"{self.origin}/{fields['file']}"
        return Finding(origin=self.origin, **fields)  # type: ignore[arg-type]

    def _position(self) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int(self._disk.read(self.folder / LOCK))
        return None

    def _archive_note(self) -> Iterator[Finding]:
        try:
            msgspec.json.decode(self._disk.read(self.folder / ARCHIVE_NOTE), type=Tiering)
        except FileNotFoundError:
            return
        except msgspec.MsgspecError as error:
            what = f"it is not what was written ({error})"
            remedy = "it says which archive has this log's older segments: restore it from a backup"
            yield self.finding(kind="archive_note_damaged", file=ARCHIVE_NOTE, what=what, remedy=remedy)

    def _cold(self) -> int:
        """Up to which event only the archive may have the segments: by now, for they are let go of meanwhile."""
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode(self._disk.read(self.folder / ARCHIVE_NOTE), type=Tiering).cold
        return 0

    def _manifest(self) -> Iterator[Finding]:
        """Read as much of the manifest as can be read; what is wrong with it."""
        links, offset = Links(), 0
        for line in self._manifest_lines():
            yield from self._manifest_line(line, offset, links)
            offset += len(line) + 1
        if self._signer and self._entries and links.signer is None:
            what = f"none of its lines is signed, and this node's key is {self._signer}"
            yield self.finding(kind="manifest_unsigned", file=MANIFEST, what=what, remedy=NO_SIGNER)
        elif self._signer and links.signer not in (None, self._signer):
            what = f"it is signed by {links.signer}, and this node's key is {self._signer}"
            yield self.finding(kind="signer_changed", file=MANIFEST, what=what, remedy=OTHER_SIGNER)

    def _manifest_line(self, line: bytes, offset: int, links: Links) -> Iterator[Finding]:
        try:
            entry = entry_in(line)
        except msgspec.MsgspecError as error:
            what = f"a line is not a segment's ({error})"
            yield self.finding(kind="manifest_altered", file=MANIFEST, what=what, offset=offset)
            return
        signer = links.signer
        wrong = links.follow(line, entry)
        place = {"file": MANIFEST, "first": entry.first, "last": entry.last, "offset": offset}
        if wrong:
            yield self.finding(kind=wrong.kind, what=wrong.what, **place)
        elif signer not in (None, links.signer):
            what = f"from {entry.segment} on, {links.signer} signs, and before it was {signer}"
            yield self.finding(kind="signer_changed", what=what, remedy=OTHER_SIGNER, **place)
        if entry.segment == f"{entry.first:020}{SEALED_SUFFIX}" and entry.first > self._last:
            self._entries.append(entry)
            self._last = entry.last

    def _sealed(self) -> Iterator[Finding]:
        lines, chain = SealedLines(self.folder, self.origin, self._disk, self._watch), Chain()
        for before, entry in zip([None, *self._entries], self._entries, strict=False):
            damage = list(self._segment(entry, before))
            yield from damage
            if self._deep and not damage and self._disk.exists(self.folder / entry.segment):
                yield from self._decoded(lines.check(entry, chain), entry)
            # Where it went wrong, the next segment is held against what the manifest says, and not against that.
            chain = self._part(entry).chain() if self._deep else chain

    def _decoded(self, findings: Iterator[Finding], entry: Entry) -> Iterator[Finding]:
        try:
            yield from findings
        except FileNotFoundError:
            return  # the archive alone has it now
        except LogDamaged as damage:
            place = {"file": entry.segment, "first": entry.first, "last": entry.last}
            yield self.finding(kind="segment_altered", what=damage.what, **place)

    def _part(self, entry: Entry) -> SealedPart:
        return SealedPart(self.folder, entry, self._disk, ColdTier(self.origin, self.folder, self._disk))

    def _segment(self, entry: Entry, before: Entry | None) -> Iterator[Finding]:
        """Hold a sealed file's every byte against the manifest."""
        path = self.folder / entry.segment
        place = {"file": entry.segment, "first": entry.first, "last": entry.last}
        digest, size_bytes = sha256(), 0
        try:
            while chunk := self._disk.read(path, size_bytes, CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
                self._watch(len(chunk))
        except FileNotFoundError:
            if entry.last > self._cold():
                yield self.finding(kind="segment_missing", what="it is in the manifest, but it is gone", **place)
            return
        if size_bytes != entry.compressed_bytes:
            what = f"it has {size_bytes} bytes and should have {entry.compressed_bytes}"
        elif digest.hexdigest() != entry.sha256:
            what = "its hash is not the manifest's"
        else:
            return
        chain = self._part(before).chain() if before else Chain()
        found = locate(path, entry.first, entry.last, self._disk, chain, entry.chain)
        place |= {"first": found.first, "last": found.last, "offset": found.offset}
        yield self.finding(kind="segment_altered", what=f"{what}{found.what}", **place)

    def _strays(self) -> Iterator[Finding]:
        known = {entry.segment for entry in self._entries}
        names = self._disk.names(self.folder)
        for name in names:
            if name.endswith(SEALED_SUFFIX) and name not in known and name.removesuffix(".zst") not in names:
                if self._is_sealed_since(name):
                    continue
                what = "it is not in the manifest"
                yield self.finding(kind="segment_unknown", file=name, what=what, remedy=f"restore {MANIFEST}")

    def _is_sealed_since(self, name: str) -> bool:
        """Whether the writer sealed it after we read the manifest."""
        path = self.folder / MANIFEST
        return self._beside_writer and self._disk.exists(path) and name.encode() in self._disk.read(path)

    def _open_lines(self) -> Iterator[Finding]:
        """What is wrong with the lines that are not sealed, and between them and what the writer promised."""
        position, newest, firsts = self._now()
        chain, end = (self._part(newest).chain(), newest.last) if newest else (Chain(), 0)
        limit = position if self._beside_writer else None
        lines = OpenLines(self.folder, self.origin, self._disk, chain, limit, self._watch)
        for first in (first for first in firsts if first > end):
            try:
                yield from lines.check(first, end)
            except FileNotFoundError:
                return  # it was sealed just now, and the next verification reads it there
            end = max(lines.last, first - 1)
        if position is not None:
            yield from self._promise(position, end, plain_name(firsts[-1]) if firsts else LOCK)

    def _promise(self, position: int, end: int, file: str) -> Iterator[Finding]:
        if end < position:
            what = f"the lines from {end + 1} to {position} were durable, and are gone"
            remedy = (
                "the node takes them from the bus again, if it has them; or restore them from the archive or a peer"
            )
            place = {"file": file, "first": end + 1, "last": position}
            yield self.finding(kind="lines_missing", what=what, remedy=remedy, **place)
        elif not self._beside_writer and position != end:
            what = f"it says that the log ends at {position}, and it ends at {end}"
            remedy = "nothing is lost: opening the log to write mends it"
            yield self.finding(kind="position_damaged", file=LOCK, what=what, remedy=remedy, derived=True)

    def _now(self) -> tuple[int | None, Entry | None, list[int]]:
        """How far the writer has come, the newest sealed segment and the open ones' first n's, all of one moment."""
        while True:
            manifest = self._manifest_lines()
            position = self._position()
            names = self._disk.names(self.folder)
            if not self._beside_writer or self._manifest_lines() == manifest:
                break
        firsts = sorted(int(name.removesuffix(PLAIN_SUFFIX)) for name in names if PLAIN_NAME.fullmatch(name))
        newest = self._entries[-1] if self._entries else None
        if self._beside_writer and manifest:  # a segment may have been sealed since
            with suppress(msgspec.MsgspecError):
                newest = msgspec.json.decode(manifest[-1], type=Entry)
        return position, newest, firsts

    def _manifest_lines(self) -> list[bytes]:
        """Its whole lines."""
        path = self.folder / MANIFEST
        return self._disk.read(path).split(b"\n")[:-1] if self._disk.exists(path) else []
