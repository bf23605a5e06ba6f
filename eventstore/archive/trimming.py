"""Trimming: old segments leave the hot tier, once the archive's copies of them were read back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from ..cold import Tiering, segment_object, verified
from ..errors import ForeignArchive
from ..log import Log
from ..parts import SealedPart
from ..stores import Store
from .archiving import Progress, Watch, unwatched
from .catalogue import Catalogue


class Trimmed(NamedTuple):
    """How many segments the archive alone may keep from now on, and how many bytes of those it may are free now.

    `waiting_bytes`: of files that somebody reads right now, which go the next time.
    """

    segments: int
    bytes: int
    waiting_bytes: int


def trim(
    log: Log, store: Store, catalogue: Catalogue, *, before: datetime | None = None, watch: Watch = unwatched
) -> Trimmed:
    """Make this archive the log's cold tier, and let go of sealed segments that were complete `before` then.

    None lets go of nothing more. Each origin's newest sealed segment always stays: a node must be able to start, and to
    go on with its bus, without its archive. Raises `ArchiveError` where a copy is not what it should be; then nothing
    of that origin is let go of.
    """
    contents = log.contents()
    trimmed = Trimmed(0, 0, 0)
    for name, archived in catalogue.origins.items():
        if name not in contents:
            raise ForeignArchive(store.place, name, f"it holds events of {name!r}, of which this log has none")
        sealed = contents[name].sealed
        known = log.tiering(name)
        cold = known.cold if known else 0
        old = _old(sealed[:-1], before, cold, archived.sealed_last)
        for index, part in enumerate(old):
            watch(Progress(segment_object(name, part.entry.segment), index, len(old)))
            _verify(store, name, part)
        tiering = Tiering(
            place=store.place,
            archived=archived.sealed_last,
            verified_at=datetime.now(UTC),
            cold=old[-1].last if old else cold,
        )
        freed_bytes = log.note_archived(name, tiering)
        waiting = (part.entry.compressed_bytes for part in sealed if part.last <= tiering.cold and part.is_here)
        found = Trimmed(len(old), freed_bytes, sum(waiting))
        trimmed = Trimmed(*map(sum, zip(trimmed, found, strict=True)))
    return trimmed


def _old(sealed: tuple[SealedPart, ...], before: datetime | None, cold: int, archived: int) -> list[SealedPart]:
    """What may go: the oldest, without a gap, as far as it is archived and was complete by then."""
    going = []
    for part in sealed:
        if before is None or part.entry.last_recordedtime >= before or part.last > archived:
            break
        if part.last > cold:
            going.append(part)
    return going


def _verify(store: Store, name: str, part: SealedPart) -> None:
    verified(store, segment_object(name, part.entry.segment), part.entry.compressed_bytes, part.entry.sha256)
