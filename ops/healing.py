"""Healing of a node's log: who is asked for what is damaged, at its start, offline, and while it runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

import msgspec

from ..bus import Bus, BusError, NatsBus
from ..eventstore import Disk, Healed, Healing, Log, LogDamaged, Source, SourceFailed
from ..eventstore.cold import NAME as ARCHIVE_NOTE
from ..eventstore.cold import Tiering
from ..eventstore.healing import ArchiveSource, BusSource, heal, heal_open, raise_unhealed
from ..eventstore.manifest import LINE_BYTES_MAX, Entry
from ..eventstore.verification import Finding
from ..schemas import RookeryError
from .archive import place_for
from .data_folder import DataFolder
from .incidents import Incidents
from .loose_thread import in_loose_thread
from .nats_server import ANY_FREE_PORT, NatsServer, NatsServerError
from .node_key import signer_in
from .settings import Settings
from .syncing import HttpPeer, NatsPeer, Peer, peer_at

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MANIFEST_BYTES_MAX = 256 * 2**20  # as a peer gives it: of some 400,000 segments

NOTHING = Healing((), ())


def sources_of(
    folder: DataFolder,
    settings: Settings,
    bus: Bus | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    peers: Sequence[Source] = (),
) -> list[Source]:
    """Who is asked, in this order: the archive, the bus, the peers."""
    sources: list[Source] = []
    for place in _places(folder, settings):
        try:
            sources.append(ArchiveSource(place_for(place, folder.path)))
        except RookeryError as error:
            logger.warning("the archive %s can't be asked: %s", place, error)
    if bus is not None and loop is not None:
        sources.append(BusSource(bus, loop, folder.log, settings.origin, Disk()))
    return [*sources, *peers]


async def open_log(folder: DataFolder, settings: Settings, bus: Bus, nats_url: str) -> tuple[Log, tuple[Healed, ...]]:
    """The log of a node that starts, and what had to be healed of it before anything of it is served."""
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        peers = [PeerSource(peer, loop) for peer in _peers(stack, settings, nats_url)]
        sources = sources_of(folder, settings, bus, loop, peers)
        log, found = await asyncio.to_thread(opened, folder, settings, sources)
    if folder.restored.exists():
        for origin in settings.own_origins:
            log.rewind(origin)  # its bus is a new one
    return log, found.healed


def opened(folder: DataFolder, settings: Settings, sources: Sequence[Source]) -> tuple[Log, Healing]:
    """The log, healed first if it is damaged; blocking. Raises `HealingFailed`, or what opening a log raises."""
    signer = signer_in(folder.path)

    def open_log() -> Log:
        limit = settings.segment_events_max
        return Log.open(folder.log, own=settings.own_origins, segment_events_max=limit, signer=signer)

    try:
        return open_log(), NOTHING
    except LogDamaged as damage:
        logger.error("%s", damage)
    found = heal(folder.log, sources, own=settings.own_origins, signer=signer)
    raise_unhealed(found)
    return open_log(), found


class Healer:
    """Heals what verification finds in the log of a node that runs."""

    def __init__(
        self, folder: DataFolder, settings: Settings, log: Log, bus: Bus, nats_url: str, incidents: Incidents
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._log = log
        self._bus = bus
        self._nats_url = nats_url
        self._incidents = incidents

    async def heal(self, findings: Sequence[Finding]) -> tuple[Healed, ...]:
        """What was healed of it. Of a manifest and of what is derived, nothing: opening the log heals those."""
        files = {one.file for one in findings if one.kind.startswith(("segment_", "lines_"))}
        if not files:
            return ()
        async with AsyncExitStack() as stack:
            loop = asyncio.get_running_loop()
            peers = [PeerSource(peer, loop) for peer in _peers(stack, self._settings, self._nats_url)]
            sources = sources_of(self._folder, self._settings, self._bus, loop, peers)
            found = await in_loose_thread(lambda: heal_open(self._log, sources, files), "healer")
        for lost in found.unhealed:
            logger.error("not healed: %s", lost)
        self._incidents.healed(found.healed)
        return found.healed


async def heal_offline(folder: DataFolder, settings: Settings) -> Healing:
    """Heal the log of a data folder that no node runs on, and that the caller owns.

    The bus is asked as well, if there is one: the embedded nats-server is started for that, and stopped again.
    """
    async with AsyncExitStack() as stack:
        bus, url = await _bus(stack, folder, settings)
        loop = asyncio.get_running_loop()
        peers = [PeerSource(peer, loop) for peer in _peers(stack, settings, url)]
        sources = sources_of(folder, settings, bus, loop, peers)
        signer = signer_in(folder.path)
        return await asyncio.to_thread(heal, folder.log, sources, own=settings.own_origins, signer=signer)


async def _bus(stack: AsyncExitStack, folder: DataFolder, settings: Settings) -> tuple[Bus | None, str | None]:
    if settings.nats_url is None and not (folder.path / "nats").is_dir():
        return None, None
    with suppress(NatsServerError, BusError, OSError):
        url = settings.nats_url
        if url is None:
            server = await NatsServer.start(folder.path, port=ANY_FREE_PORT, binary=settings.nats_server)
            stack.push_async_callback(server.stop)
            url = server.url
        bus = await NatsBus.connect(url, credentials=settings.nats_credentials, replicas=settings.nats_replicas)
        stack.push_async_callback(bus.close)
        return bus, url
    return None, None


def _peers(stack: AsyncExitStack, settings: Settings, bus_url: str | None) -> list[HttpPeer | NatsPeer]:
    peers = [peer_at(url, bus_url=bus_url, credentials=settings.nats_credentials) for url in settings.peers]
    for peer in peers:
        stack.push_async_callback(peer.aclose)
    return peers


class PeerSource:
    """Another node, which has a copy of the log."""

    def __init__(self, peer: Peer, loop: asyncio.AbstractEventLoop) -> None:
        self.name = f"the peer {peer.name}"
        self._peer = peer
        self._loop = loop

    def manifest(self, origin: str) -> bytes | None:
        """All that it has of it."""
        found: list[bytes] = []
        last = size_bytes = 0
        while lines := self._done(self._peer.manifest(origin, last)):
            before, last = last, self._last_in(lines)
            size_bytes += sum(map(len, lines))
            if last <= before or size_bytes > MANIFEST_BYTES_MAX or max(map(len, lines)) > LINE_BYTES_MAX:
                raise SourceFailed(self.name, f"what it gives behind {before} can't be {origin}'s manifest")
            found += lines
        return b"".join(line + b"\n" for line in found) or None

    def segment(self, origin: str, entry: Entry) -> bytes | None:
        """The file, if it is sealed there."""
        return self._done(self._peer.segment(origin, entry.first, entry.compressed_bytes))

    def lines(self, origin: str, first: int, last: int) -> Iterator[bytes]:
        """What it has, run by run."""
        while first <= last and (lines := self._done(self._peer.lines(origin, first - 1, last)).lines):
            yield from lines
            first += len(lines)

    def _last_in(self, lines: Sequence[bytes]) -> int:
        try:
            return msgspec.json.decode(lines[-1], type=Entry).last
        except msgspec.MsgspecError as error:
            raise SourceFailed(self.name, f"its manifest is none ({error})") from None

    def _done(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _places(folder: DataFolder, settings: Settings) -> list[str]:
    """Where archives are: what the settings name, and what stands beside the logs."""
    places = [settings.archive] if settings.archive else []
    for path in sorted(folder.log.glob(f"*/{ARCHIVE_NOTE}")):
        with suppress(OSError, msgspec.MsgspecError):
            places.append(msgspec.json.decode(path.read_bytes(), type=Tiering).place)
    return list(dict.fromkeys(places))
