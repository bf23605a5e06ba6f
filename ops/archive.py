"""What of a node is archived, how it is told, and how it comes back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ..eventstore import ArchiveDamaged, Disk, InvalidArchive, Log, RestoreRefused
from ..eventstore.archive import (
    Archived,
    Catalogue,
    Trimmed,
    Watch,
    archive,
    file_object,
    got,
    read_catalogue,
    restore,
    trim,
    unwatched,
)
from ..eventstore.stores import FolderStore, Store, open_store
from .data_folder import DataFolder
from .settings import CONFIG_FILE

KEEP_DAYS_MAX = 36_500
GRAPH_IMPORTS = "graph-imports"
SETTINGS_FILE = f"settings/{CONFIG_FILE}"

_IMPORT = re.compile(rf"{GRAPH_IMPORTS}/[0-9a-f]{{64}}\.[a-z]{{1,10}}")


class ArchiveReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one archiving did. `vector` is what the archive holds now; `bytes` are its lines before compression.

    Trimmed segments that somebody reads right now are `waiting_bytes`: they go with a later archiving.
    """

    archive: str
    vector: dict[str, int]
    bytes: int
    compressed_bytes: int
    copied_objects: int
    copied_bytes: int
    trimmed_segments: int
    freed_bytes: int
    waiting_bytes: int
    seconds: float


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Some sealed segments, and how many bytes they take compressed."""

    events: int
    segments: int
    bytes: int


class OriginTiers(msgspec.Struct, frozen=True, kw_only=True):
    """Where an origin's events are: sealed ones here or only in the archive, and the open end.

    `archived`: up to which n the archive has sealed segments, each read back by `verified_at`.
    """

    events: int
    hot: Tier
    cold: Tier
    open_events: int
    archive: str | None
    archived: int
    verified_at: datetime | None


def copy_out(
    log: Log,
    store: Store,
    data: Path,
    *,
    keep_days: float | None = None,
    verify: bool = False,
    trims: bool = False,
    watch: Watch = unwatched,
) -> ArchiveReport:
    """Archive the log of a data folder and what else of the node can't be derived.

    With `trims`, the store becomes the log's cold tier, and what is older than `keep_days` is kept only there; for that
    the log must be writable.
    """
    began = time.perf_counter()
    archived = archive(log, store, files_of(data), verify=verify, watch=watch)
    trimmed = Trimmed(0, 0, 0)
    if trims:
        before = None if keep_days is None else datetime.now(UTC) - timedelta(days=min(keep_days, KEEP_DAYS_MAX))
        trimmed = trim(log, store, archived.catalogue, before=before, watch=watch)
    return _report(store, archived, trimmed, time.perf_counter() - began)


def place_for(place: str, data: Path) -> Store:
    """The store at a place that is not in the data folder itself. Raises `InvalidArchive`."""
    store = open_store(place)
    if isinstance(store, FolderStore) and Path(store.place).resolve().is_relative_to(data.resolve()):
        raise InvalidArchive(place, f"it lies in the data folder {data}, and would be lost with it")
    return store


def files_of(data: Path) -> dict[str, Path]:
    """What of a node is neither its log nor derived: the graph's reference data, and the settings."""
    named = {f"{GRAPH_IMPORTS}/{path.name}": path for path in sorted((data / GRAPH_IMPORTS).glob("*"))}
    found = {name: path for name, path in named.items() if _IMPORT.fullmatch(name) and path.suffix != ".unfinished"}
    settings = Path.cwd() / CONFIG_FILE
    return found | ({SETTINGS_FILE: settings} if settings.is_file() else {})


def bring_back(place: str, data: Path, watch: Watch = unwatched) -> Catalogue:
    """Make a data folder from an archive. Raises `DataFolderInUse`, or what `restore` raises."""
    store, disk = place_for(place, data), Disk()
    catalogue = read_catalogue(store)
    with DataFolder(data) as folder:
        if disk.names(folder.log):
            raise RestoreRefused(folder.log)
        for name, content in _files_in(store, catalogue):
            disk.make_folder((folder.path / name).parent)
            disk.replace(folder.path / name, content)
        disk.replace(folder.restored, b"")
        return restore(store, folder.log, watch=watch)


def _files_in(store: Store, catalogue: Catalogue) -> Iterator[tuple[str, bytes]]:
    for name, kept in catalogue.files.items():
        if name != SETTINGS_FILE and not _IMPORT.fullmatch(name):
            raise ArchiveDamaged(store.place, name, "nothing of that name belongs to a node")
        yield name, got(store, file_object(name, kept), kept)


def tiers_of(log: Log, origin: str) -> OriginTiers:
    """Where the events of an origin are."""
    contents, tiering = log.contents()[origin], log.tiering(origin)
    hot = [part for part in contents.sealed if part.is_here]
    cold = [part for part in contents.sealed if not part.is_here]
    return OriginTiers(
        events=contents.last,
        hot=Tier(
            events=sum(part.entry.events for part in hot),
            segments=len(hot),
            bytes=sum(part.entry.compressed_bytes for part in hot),
        ),
        cold=Tier(
            events=sum(part.entry.events for part in cold),
            segments=len(cold),
            bytes=sum(part.entry.compressed_bytes for part in cold),
        ),
        open_events=sum(last - first + 1 for first, last in contents.plain),
        archive=tiering.place if tiering else None,
        archived=tiering.archived if tiering else 0,
        verified_at=tiering.verified_at if tiering else None,
    )


def _report(store: Store, archived: Archived, trimmed: Trimmed, seconds: float) -> ArchiveReport:
    origins = archived.catalogue.origins.values()
    return ArchiveReport(
        archive=store.place,
        vector=archived.catalogue.vector,
        bytes=sum(origin.bytes for origin in origins),
        compressed_bytes=sum(origin.compressed_bytes for origin in origins),
        copied_objects=archived.objects,
        copied_bytes=archived.bytes,
        trimmed_segments=trimmed.segments,
        freed_bytes=trimmed.bytes,
        waiting_bytes=trimmed.waiting_bytes,
        seconds=round(seconds, 3),
    )
