"""Trust: how fast a log is verified, how long a large one takes to open, checks included, and a proof to be made."""

from __future__ import annotations

import gc
import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from ...bus import Delivery
from ...eventstore import Disk, Log, Signer
from ...eventstore.ids import IdIndex, event_key
from ...eventstore.line import NO_CHAIN, Chain, chain_of, event_line
from ...eventstore.manifest import NAME as MANIFEST
from ...eventstore.manifest import Manifest
from ...eventstore.origin import IDS
from ...eventstore.parts import BLOCKS_SUFFIX, PlainPart, plain_name
from ...eventstore.proofs import prove
from ...eventstore.sealing import write_sealed
from ...eventstore.signing import new_seed
from ...eventstore.verification import bytes_to_verify, verify
from ...schemas import decode
from . import workload
from .figures import Figure, percentile

EVENTS = 10_000_000
SEGMENT_EVENTS = 65_536
OPEN_EVENTS = 50_000  # that are not sealed yet
DEEP_EVENTS = 500_000
PROOFS = 200
ORIGIN = "local"


def trust(
    events: int = EVENTS, *, segment_events: int = SEGMENT_EVENTS, open_events: int = OPEN_EVENTS
) -> list[Figure]:
    """Figures of one log of so many events, made of one segment's events told again and again."""
    with TemporaryDirectory(prefix="rookery-bench-") as name:
        folder = Path(name)
        make_log(folder, events - events % segment_events, open_events, segment_events)
        return [*_verifying(folder), *_deeply(folder, segment_events), *_opening(folder), *_proving(folder)]


def make_log(
    folder: Path, events: int, open_events: int, segment_events: int, *, deliveries: Iterable[Delivery] | None = None
) -> None:
    """A signed log of sealed segments and an open one, faster than by appending: no event is judged or looked up.

    Without so many `deliveries`, one segment's are told again and again, and its index of ids is made to look whole.
    """
    following = iter(deliveries or cycle(list(workload.deliveries(segment_events))))
    here, disk, chain = folder / ORIGIN, Disk(), NO_CHAIN
    disk.make_folder(here)
    manifest, signer = Manifest(here / MANIFEST, disk), Signer(new_seed())
    for first in range(1, events + 1, segment_events):
        lines = _lines(islice(following, segment_events), first, chain)
        (here / plain_name(first)).write_bytes(b"\n".join(lines) + b"\n")
        part = PlainPart(here / plain_name(first), first, disk)
        part.extend(lines)
        before = Chain(chain, begun=first > 1)
        manifest.append(write_sealed(part, ORIGIN, before, disk), signer)
        disk.unlink(part.path)
        chain = chain_of(lines[-1])
    rest = list(islice(following, open_events))
    lines = _lines(rest, events + 1, chain)
    (here / plain_name(events + 1)).write_bytes(b"\n".join(lines) + b"\n")
    if deliveries is None:
        _cover(here, decode(rest[-1].payload).id, events + len(lines))


def _lines(deliveries: Iterable[Delivery], first: int, chain: str) -> list[bytes]:
    lines = []
    for n, delivery in enumerate(deliveries, first):
        lines.append(event_line(n, n, delivery.stored_at, delivery.payload, chain))
        chain = chain_of(lines[-1])
    return lines


def _cover(here: Path, id: str, last: int) -> None:
    """Have the index of ids say that it is complete, as that of a log which was appended to."""
    with closing(IdIndex.open(here / IDS)) as index:
        index.add(event_key(id), last)
        index.flush()


def _verifying(folder: Path) -> list[Figure]:
    size_bytes = bytes_to_verify(folder)
    files = sorted((folder / ORIGIN).glob("*.ndjson*"))
    alone_seconds = _seconds(lambda: [_hashed(path) for path in files])
    seconds = _seconds(lambda: list(verify(folder)))
    rate, alone = size_bytes / seconds / 1e6, size_bytes / alone_seconds / 1e6
    return [Figure.of("trust.verify", rate, "MB/s", rival="sha256 of the same files, alone", rival_value=alone)]


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _deeply(folder: Path, segment_events: int) -> list[Figure]:
    """Of the first segments, which are what all are like."""
    seen = 0
    began = time.perf_counter()

    class Enough(Exception):
        pass

    def watch(size_bytes: int) -> None:
        nonlocal seen
        seen += size_bytes
        if seen > wanted:
            raise Enough

    segments = sorted((folder / ORIGIN).glob("*.zst"))[: max(DEEP_EVENTS // segment_events, 1)]
    wanted = 2 * sum(path.stat().st_size for path in segments)
    with suppress(Enough):
        list(verify(folder, deep=True, watch=watch))
    return [Figure.of("trust.verify_deep", len(segments) * segment_events / (time.perf_counter() - began), "events/s")]


def _opening(folder: Path) -> list[Figure]:
    """What a node waits for at its start: names, sizes, the manifest's hashes and signatures, the open lines' chain."""
    seconds = _seconds(lambda: Log.open(folder).close())
    return [Figure.of("trust.open", seconds, "s")]


def _proving(folder: Path) -> list[Figure]:
    """Proofs of lines anywhere, beside one that has to hash all of its segment, as without what was kept of it."""
    with Log.open(folder, writable=False) as log:
        sealed = log.segments(ORIGIN)[-1].last
        numbers = range(1, sealed + 1, max(sealed // PROOFS, 1))
        gc.collect()
        gc.freeze()  # as a node does, which hasn't made ten million events either
        seconds = [_seconds(lambda n=n: prove(log, ORIGIN, n)) for n in numbers]  # type: ignore[misc]
    for path in (folder / ORIGIN).glob(f"*{BLOCKS_SUFFIX}"):
        path.unlink()
    with Log.open(folder, writable=False) as log:
        hashing_seconds = _seconds(lambda: prove(log, ORIGIN, sealed))
    rival = "hashing the whole segment"
    return [
        Figure.of("trust.proof", percentile(seconds, 0.5) * 1e3, "ms", rival=rival, rival_value=hashing_seconds * 1e3),
        Figure.of("trust.proof_p99", percentile(seconds, 0.99) * 1e3, "ms"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
