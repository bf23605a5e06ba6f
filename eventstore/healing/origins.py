"""Healing origins: of each the manifest first, because it says what the segments are, and the open lines last."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..cold import ColdTier
from ..disk import Disk
from ..errors import HealingFailed, LogDamaged, LogLocked, LogWriteFailed
from ..log import ORIGIN, Log
from ..manifest import NAME as MANIFEST
from ..manifest import Manifest
from ..origin import LOCK
from ..parts import SealedPart
from ..recovery import PLAIN_NAME
from ..signing import Signer
from .lines import OpenLines
from .manifests import ManifestHealing
from .segments import healed_segment
from .sources import Source

DAMAGED_SUFFIX = ".damaged"
DAMAGED_KEPT_MAX = 16  # files of an origin, of which the oldest names go first

logger = logging.getLogger(__name__)


class Healed(msgspec.Struct, frozen=True):
    """A file that was damaged, and is again what it was: the lines that it holds, and who gave the bytes."""

    origin: str
    file: str
    first: int
    last: int
    source: str
    what: str


class Unhealed(NamedTuple):
    """Lines that nothing can give back, and why not."""

    origin: str
    file: str
    first: int
    last: int
    what: str
    tried: tuple[str, ...]

    def __str__(self) -> str:
        tried = "; ".join(self.tried) or "there is no archive, bus or peer to ask"
        return f"{self.origin}:{self.first} to {self.origin}:{self.last} ({self.file}): {self.what}; {tried}"


class Healing(NamedTuple):
    """What was healed, and what could not be."""

    healed: tuple[Healed, ...]
    unhealed: tuple[Unhealed, ...]


def heal(
    folder: Path,
    sources: Sequence[Source],
    *,
    own: Collection[str] | None = None,
    signer: Signer | None = None,
    disk: Disk | None = None,
) -> Healing:
    """Heal the log in `folder`, which nobody may have open to write; the sources are asked in their order.

    What has to be written anew of a manifest of the `own` origins (None: of all) is signed by `signer`.

    Healing again changes nothing; one that was interrupted leaves each file as it was, or healed. Raises `LogLocked`,
    or `LogWriteFailed`.
    """
    disk = disk or Disk()
    healed: list[Healed] = []
    unhealed: list[Unhealed] = []
    for name in disk.names(folder):
        if disk.is_folder(folder / name) and ORIGIN.fullmatch(name):
            signs = signer if own is None or name in own else None
            with _alone(folder / name, disk):
                found = _OriginHealing(folder / name, name, sources, disk, signer=signs).run()
            healed += found.healed
            unhealed += found.unhealed
    return Healing(tuple(healed), tuple(unhealed))


def heal_open(log: Log, sources: Sequence[Source], files: Collection[str], *, disk: Disk | None = None) -> Healing:
    """Heal files of a log that is open to write, each named as in `local/00000000000000000001.ndjson.zst`.

    Appends to an origin wait meanwhile; its readers don't. Raises `LogWriteFailed`.
    """
    disk = disk or Disk()
    healed: list[Healed] = []
    unhealed: list[Unhealed] = []
    for origin in sorted({file.partition("/")[0] for file in files} & set(log.origins())):
        names = {file.partition("/")[2] for file in files if file.startswith(f"{origin}/")}
        work = _OriginHealing(log.folder / origin, origin, sources, disk, only=names)
        found = log.repair(origin, work.run)
        healed += found.healed
        unhealed += found.unhealed
    return Healing(tuple(healed), tuple(unhealed))


def raise_unhealed(found: Healing) -> None:
    """Raises `HealingFailed` if anything was not healed."""
    if found.unhealed:
        raise HealingFailed(tuple(map(str, found.unhealed)))


class _OriginHealing:
    """One origin's folder, which nobody else changes meanwhile."""

    def __init__(
        self,
        folder: Path,
        origin: str,
        sources: Sequence[Source],
        disk: Disk,
        *,
        only: Collection[str] | None = None,
        signer: Signer | None = None,
    ) -> None:
        self._only = only
        self._signer = signer
        self._folder = folder
        self._origin = origin
        self._sources = sources
        self._disk = disk
        self._healed: list[Healed] = []
        self._unhealed: list[Unhealed] = []

    def run(self) -> Healing:
        if self._manifest():
            parts = self._segments()
            if not self._unhealed and (self._only is None or any(map(PLAIN_NAME.fullmatch, self._only))):
                self._lines(parts)
        return Healing(tuple(self._healed), tuple(self._unhealed))

    def _manifest(self) -> bool:
        healing = ManifestHealing(self._folder, self._origin, self._sources, self._disk, self._signer)
        if (what := healing.wrong) is None:
            return True
        made = healing.made()
        if made is None:
            lost = Unhealed(self._origin, MANIFEST, 1, healing.last, what, tuple(healing.tried))
            self._unhealed.append(lost)
            return False
        self._replace(MANIFEST, made.data)
        self._note(Healed(self._origin, MANIFEST, 1, made.last, made.source, what))
        return True

    def _segments(self) -> list[SealedPart]:
        tier = ColdTier(self._origin, self._folder, self._disk)
        tiering = tier.tiering()
        entries = Manifest(self._folder / MANIFEST, self._disk).entries
        parts = [SealedPart(self._folder, entry, self._disk, tier) for entry in entries]
        for part in parts:
            is_asked = self._only is None or part.path.name in self._only
            if is_asked and (part.is_here or tiering is None or part.last > tiering.cold):
                self._segment(part)
        return parts

    def _segment(self, part: SealedPart) -> None:
        what = "it is gone"
        if part.is_here:
            try:
                part.verify()
            except LogDamaged as damage:
                what = damage.what
            else:
                return
        tried: list[str] = []
        found = healed_segment(part, self._origin, self._sources, self._disk, tried)
        place = (self._origin, part.path.name, part.first, part.last)
        if found is None:
            self._unhealed.append(Unhealed(*place, what, tuple(tried)))
            return
        data, source = found
        self._replace(part.path.name, data)
        self._note(Healed(*place, source, what))

    def _lines(self, sealed: list[SealedPart]) -> None:
        lines = OpenLines(self._folder, self._origin, self._sources, self._disk, sealed[-1] if sealed else None)
        holes = lines.holes()
        for hole in holes:
            if hole.source is None:  # then nothing is written: the files are as they were, or whole
                what = Unhealed(self._origin, hole.file, hole.first, hole.last, hole.what, tuple(hole.tried))
                self._unhealed.append(what)
                return
        for name, data in lines.files(holes).items():
            self._replace(name, data)
        for hole in holes:
            self._note(Healed(self._origin, hole.file, hole.first, hole.last, hole.source or "", hole.what))

    def _replace(self, name: str, data: bytes) -> None:
        """Put the bytes in place, durably, with what was there kept beside."""
        path = self._folder / name
        try:
            if self._disk.exists(path):
                self._disk.replace(path.with_name(name + DAMAGED_SUFFIX), self._disk.read(path))
                kept = [other for other in self._disk.names(self._folder) if other.endswith(DAMAGED_SUFFIX)]
                for old in [other for other in kept if other != name + DAMAGED_SUFFIX][: -DAMAGED_KEPT_MAX + 1 or None]:
                    self._disk.unlink(self._folder / old)
            self._disk.replace(path, data)
        except OSError as error:
            raise LogWriteFailed(path, error.strerror or str(error)) from error

    def _note(self, healed: Healed) -> None:
        logger.warning(
            "healed %s/%s (events %d to %d) from %s: %s",
            healed.origin,
            healed.file,
            healed.first,
            healed.last,
            healed.source,
            healed.what,
        )
        self._healed.append(healed)


@contextmanager
def _alone(folder: Path, disk: Disk) -> Iterator[None]:
    """Keep the origin's writer out meanwhile."""
    path = folder / LOCK
    try:
        descriptor = disk.open_to_write(path)
        is_ours = disk.lock(descriptor)
    except OSError as error:
        raise LogWriteFailed(path, error.strerror or str(error)) from error
    try:
        if not is_ours:
            raise LogLocked(path)
        yield
    finally:
        with suppress(OSError):
            disk.close(descriptor)
