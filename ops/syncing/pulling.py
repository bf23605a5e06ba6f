"""Pulling: what a peer has and this log lacks is fetched, checked, and taken into the mirrors of its origins.

Each node pulls, and nobody pushes: whoever writes a log decides what comes into it, and at its own pace. Where both
nodes pull from each other they end with equal vectors, and so with equal logs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import aclosing
from functools import partial
from hashlib import sha256
from typing import NamedTuple, TypeVar

import msgspec

from ...eventstore import Log, LogDamaged, MirrorRefused, MirrorWriter
from ...eventstore.archive import Progress, Watch, unwatched
from ...eventstore.arrivals import SEGMENT_BYTES_MAX, Arrivals
from ...eventstore.line import Chain
from ...eventstore.manifest import LINE_BYTES_MAX, Entry
from ...schemas import RookeryError
from .checker import Checker
from .forks import Fork, fork_of
from .peers import (
    ORIGINS_MAX,
    Gap,
    Offer,
    OriginState,
    Peer,
    PeerError,
    PeerLied,
    PeerUnreachable,
    Run,
    TooManyOrigins,
)

LONG_EVENTS = 200_000  # of fewer, the lines are checked before a process for it would have begun
TELL_SECONDS = 10.0  # what is folded together costs less, and takes no time from what is still to come

_opening = threading.Lock()  # of an unknown origin, which two pulls may meet at once: it has one writer

Result = TypeVar("Result")


class Failure(msgspec.Struct, frozen=True):
    """Why nothing more was taken of an origin."""

    error: str
    detail: str


class Pulled(msgspec.Struct, kw_only=True):
    """What one pull brought: events of each origin, and what travelled for it.

    `behind` is what of this node's own origin the peer has and this log lacks: it was restored from an older state, or
    the peer made it up.
    """

    peer: str
    events: dict[str, int] = {}
    segments: int = 0
    bytes: int = 0
    missing: dict[str, int] = {}
    behind: int = 0
    forks: list[Fork] = []
    failures: dict[str, Failure] = {}

    @property
    def wrong(self) -> list[str]:
        """What keeps the log from having all that the peer had, in words."""
        found = [str(fork) for fork in self.forks] + [failure.detail for failure in self.failures.values()]
        if self.behind:
            found.append(
                f"{self.peer} tells of {self.behind:,} events of this node's own origin that its log lacks. If the "
                f"node was set back to an older state, stop it, and `rookery sync {self.peer} --recover-own`; if not, "
                "nobody published them here"
            )
        return found


class Lines(NamedTuple):
    """Lines to append."""

    run: Run


class Whole(NamedTuple):
    """A segment to take whole, behind its line of the manifest."""

    line: bytes
    data: bytes


class Seal(NamedTuple):
    """A segment to seal of lines that are here by then."""

    line: bytes
    entry: Entry


Item = Lines | Whole | Seal


class Pull:
    """One pull from one peer, of every origin or `only` one. Those in `own`, which this node writes, are just compared.

    `before_taking` may raise, where there is no room; `on_growth` and `on_seal` are called in the event loop when the
    log has grown, and when a segment came to be sealed.
    """

    def __init__(
        self,
        log: Log,
        peer: Peer,
        own: Collection[str],
        *,
        only: str | None = None,
        watch: Watch = unwatched,
        before_taking: Callable[[], object] = lambda: None,
        on_growth: Callable[[], object] = lambda: None,
        on_seal: Callable[[], object] = lambda: None,
    ) -> None:
        self.pulled = Pulled(peer=peer.name)
        self._log = log
        self._peer = peer
        self._own = own
        self._only = only
        self._watch = watch
        self._before_taking = before_taking
        self._on_growth = on_growth
        self._on_seal = on_seal
        self._checker = Checker()
        self._told = 0.0

    async def run(self) -> Pulled:
        """Fetch what is missing, origin by origin. What is wrong with one of them keeps no other from being pulled.

        Raises `PeerUnreachable`, `LogWriteFailed`, or what `before_taking` raises; what was taken until
        then stays, and the next pull goes on behind it.
        """
        self._told = asyncio.get_running_loop().time()
        try:
            await self._run()
        finally:
            self._tell()
            self._checker.close()
        return self.pulled

    async def _run(self) -> None:
        offer = await self._peer.offer()
        refuse_unlikely(self._peer, offer)
        wanted = sorted((name, state) for name, state in offer.origins.items() if self._only in (None, name))
        held = self._log.vector()
        for origin, state in wanted:
            if origin not in self._own and state.last > held.get(origin, 0):
                self.pulled.missing[origin] = state.last - held.get(origin, 0)
        for origin, state in wanted:
            try:
                await self._pull(origin, state)
            except PeerUnreachable:
                raise
            except (PeerError, LogDamaged) as error:
                self._note(origin, error)
            except MirrorRefused as error:
                self._note(origin, PeerLied(self._peer.name, f"{error.origin}:{error.n}", error.reason))

    def _note(self, origin: str, error: RookeryError) -> None:
        self.pulled.failures[origin] = Failure(type(error).__name__, str(error))

    async def _pull(self, origin: str, state: OriginState) -> None:
        held = self._log.vector().get(origin, 0)
        if held < state.begin:
            raise Gap(self._peer.name, origin, state.begin + 1, held)
        fork = await fork_of(self._log, self._peer, origin, state)
        if fork:
            self.pulled.forks.append(fork)
        elif origin in self._own:
            self.pulled.behind += max(state.last - held, 0)
        elif held < state.last or self._log.sealed_state(origin).last < state.sealed:
            mirror: MirrorWriter | None = None
            async with aclosing(_ahead(self._items(origin, state, held))) as items:
                async for item in items:
                    if mirror is None:
                        mirror = await to_the_end(partial(self._mirror, origin, item))
                    await self._take(origin, mirror, item)
                    self._tell(TELL_SECONDS)

    def _mirror(self, origin: str, first: Item) -> MirrorWriter:
        """Where an origin is taken in. Room for an unknown one is made once something of it has come, and can be so."""
        with _opening:
            known = self._log.origins()
            if origin not in known and len(known) >= ORIGINS_MAX:
                raise TooManyOrigins(self._peer.name, origin)
            if origin not in known:
                _refuse_false_beginning(origin, first)
            return self._log.mirror(origin)

    async def _items(self, origin: str, state: OriginState, held: int) -> AsyncGenerator[Item, None]:
        """What has to be done to be where the peer is, in order, fetched."""
        known = self._log.sealed_state(origin)
        at, sealed = held, known.last
        head: str | None = known.head
        before = Chain() if sealed == 0 else None
        while sealed < state.sealed and head is not None:
            for line in await self._manifest(origin, sealed):
                entry = self._entry(origin, sealed, line)
                if entry.previous != head:  # a hub seals what it has of its spokes by itself: of that, take the lines
                    head = None
                    break
                head = sha256(line).hexdigest()
                if at < entry.first:
                    data = await self._peer.segment(origin, entry.first, entry.compressed_bytes)
                    if before and sum(self.pulled.missing.values()) >= LONG_EVENTS:
                        self._checker.begin(origin, entry, data, before)
                    yield Whole(line, data)
                else:
                    async for run in self._runs(origin, at, entry.last):
                        yield Lines(run)
                    yield Seal(line, entry)
                at, sealed = max(at, entry.last), entry.last
                before = Chain(entry.chain, begun=True) if entry.chain else None
        async for run in self._runs(origin, at, state.last):
            yield Lines(run)

    async def _manifest(self, origin: str, after: int) -> list[bytes]:
        lines = await self._peer.manifest(origin, after)
        if not lines:
            raise PeerLied(self._peer.name, f"{origin}'s manifest", f"it ends at {after}, which was said to be sealed")
        return lines

    def _entry(self, origin: str, sealed: int, line: bytes) -> Entry:
        """What the next line of a manifest says, as far as anything is fetched by it."""
        if len(line) > LINE_BYTES_MAX:
            raise PeerLied(self._peer.name, f"{origin}'s manifest", f"no line of one has {len(line):,} bytes")
        try:
            entry = msgspec.json.decode(line, type=Entry)
        except msgspec.MsgspecError as error:
            raise PeerLied(self._peer.name, f"{origin}'s manifest", str(error)) from None
        if entry.first != sealed + 1 or entry.last < entry.first:
            reason = f"a line is about {entry.first} to {entry.last}, and what follows is {sealed + 1}"
            raise PeerLied(self._peer.name, f"{origin}'s manifest", reason)
        if not 0 < entry.compressed_bytes <= SEGMENT_BYTES_MAX:
            reason = f"no segment has {entry.compressed_bytes:,} bytes"
            raise PeerLied(self._peer.name, f"{origin}:{entry.first}", reason)
        return entry

    async def _runs(self, origin: str, after: int, up_to: int) -> AsyncIterator[Run]:
        while after < up_to:
            run = await self._peer.lines(origin, after, up_to)
            if not 1 <= len(run.lines) <= up_to - after:
                reason = f"{len(run.lines)} lines came, and from 1 to {up_to - after} were asked for"
                raise PeerLied(self._peer.name, f"{origin}:{after + 1}", reason)
            after += len(run.lines)
            yield run

    def _tell(self, after_seconds: float = 0.0) -> None:
        """Tell that the log has grown; of much that comes, so seldom that what is folded of it is much at once."""
        now = asyncio.get_running_loop().time()
        if now - self._told >= after_seconds:
            self._told = now
            self._on_growth()
            self._on_seal()

    async def _take(self, origin: str, mirror: MirrorWriter, item: Item) -> None:
        self._before_taking()
        match item:
            case Lines(run):
                taken = await to_the_end(partial(mirror.take_lines, run.segment, run.lines))
                self.pulled.bytes += sum(map(len, run.lines))
            case Whole(line, data):
                taken = await self._take_whole(mirror, line, data)
            case Seal(line, entry):
                taken = 0
                if not await to_the_end(partial(mirror.seal_as, line)):
                    data = await self._peer.segment(origin, entry.first, entry.compressed_bytes)
                    taken = await self._take_whole(mirror, line, data)
        if taken:
            self.pulled.events[origin] = self.pulled.events.get(origin, 0) + taken
            self._watch(Progress(origin, sum(self.pulled.events.values()), sum(self.pulled.missing.values())))

    async def _take_whole(self, mirror: MirrorWriter, line: bytes, data: bytes) -> int:
        self.pulled.segments += 1
        self.pulled.bytes += len(data)
        return await to_the_end(partial(mirror.take_segment, line, data, self._checker.keys))


def refuse_unlikely(peer: Peer, offer: Offer) -> None:
    """Raises `PeerLied` for an offer that no node makes."""
    if len(offer.origins) > ORIGINS_MAX:
        raise PeerLied(peer.name, "its offer", f"no node has more than {ORIGINS_MAX:,} origins")
    for origin, state in offer.origins.items():
        if not state.begin <= state.last or state.sealed > state.last:
            raise PeerLied(peer.name, "its offer", f"what it says of {origin} contradicts itself")


def _refuse_false_beginning(origin: str, item: Item) -> None:
    """Raises `MirrorRefused` for what no origin begins with."""
    match item:
        case Lines(run):
            Arrivals(origin, 0, Chain()).keys(run.lines)
        case Whole(line, data):
            entry = msgspec.json.decode(line, type=Entry)
            if sha256(data).hexdigest() != entry.sha256:
                raise MirrorRefused(origin, entry.first, "the segment's hash is not the manifest's")


async def to_the_end(work: Callable[[], Result]) -> Result:
    """Do blocking work in a thread, and never leave it running behind: a cancelled caller waits for its end."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _ahead(items: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    """The same items, of which the next is fetched while one is taken."""
    fetching = asyncio.ensure_future(anext(items, None))
    try:
        while (item := await fetching) is not None:
            fetching = asyncio.ensure_future(anext(items, None))
            yield item
    finally:
        fetching.cancel()
        await asyncio.wait([fetching])
        if not fetching.cancelled():
            fetching.exception()  # nobody wants it any more
        await items.aclose()
