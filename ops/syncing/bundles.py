"""Bundles: what one node has and another lacks in one file, for nodes that never meet.

A bundle is a plain tar file:

    bundle.json                                   what is in it, with each member's hash
    <origin>/manifest.ndjson                      the origin's manifest
    <origin>/00000000000000065537.ndjson.zst      a sealed segment, byte by byte as the log has it
    <origin>/00000000000000131073.run             lines that are not sealed yet, or behind where the bundle begins
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from ...eventstore import Log, Segment
from ...eventstore.archive import Progress, Watch, unwatched
from .offering import Offering
from .peers import Chain, Digest, Number, Origin, OriginState, PeerError
from .runs import encode_run

NAME = "bundle.json"
MANIFEST = "manifest.ndjson"
FORMAT = 1


class InvalidBundle(PeerError):
    """A file that is no bundle, or was altered. Nothing was taken from what is wrong."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.what = what
        super().__init__(f"{path} is no whole bundle: {what}; copy it once more, or export it anew")


class Kept(msgspec.Struct, frozen=True):
    """A member's size and hash."""

    size_bytes: Number
    sha256: Digest


class BundledOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a bundle of an origin. `chain_before` is the chain at `state.begin`; `runs` are first and last n."""

    state: OriginState
    chain_before: Chain
    segments: list[Number]
    runs: list[tuple[Number, Number]]

    @property
    def first(self) -> int:
        """The first line's n."""
        return self.state.begin + 1


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What `bundle.json` says."""

    format: int
    made_at: datetime
    origins: dict[Origin, BundledOrigin]
    members: dict[str, Kept]

    @property
    def events(self) -> int:
        """How many are in it."""
        return sum(one.state.last - one.state.begin for one in self.origins.values())


class _Member(NamedTuple):
    name: str
    read: Callable[[], bytes]


def export_bundle(log: Log, after: Mapping[str, int], path: Path, *, watch: Watch = unwatched) -> Contents:
    """Write what the log has behind `after` into a file, whole or not at all. Origins without an `after` are whole.

    Each part is read twice: once for its hash, which stands at the file's beginning, and once to be written. Raises
    `OSError`, or `LogDamaged`.
    """
    offering = Offering(log, None)
    origins, members = {}, list[_Member]()
    for name, state in offer_behind(offering, after).items():
        origins[name], found = _origin(log, offering, name, state)
        members += found
    kept = {}
    for index, member in enumerate(members):
        watch(Progress(member.name, index, 2 * len(members)))
        data = member.read()
        kept[member.name] = Kept(len(data), sha256(data).hexdigest())
    contents = Contents(format=FORMAT, made_at=datetime.now(UTC), origins=origins, members=kept)
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar:
            _add(tar, NAME, msgspec.json.encode(contents))
            for index, member in enumerate(members, len(members)):
                watch(Progress(member.name, index, 2 * len(members)))
                _add(tar, member.name, member.read())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return contents


def offer_behind(offering: Offering, after: Mapping[str, int]) -> dict[str, OriginState]:
    """What there is behind `after`, of the origins that have anything there."""
    return {
        name: msgspec.structs.replace(state, begin=after.get(name, 0))
        for name, state in offering.offer().origins.items()
        if state.last > after.get(name, 0)
    }


def segment_member(origin: str, first: int) -> str:
    """What a sealed segment is called in a bundle."""
    return f"{origin}/{first:020}.ndjson.zst"


def run_member(origin: str, first: int) -> str:
    """What a run of lines is called in a bundle."""
    return f"{origin}/{first:020}.run"


def manifest_member(origin: str) -> str:
    """What an origin's manifest is called in a bundle."""
    return f"{origin}/{MANIFEST}"


def _origin(log: Log, offering: Offering, name: str, state: OriginState) -> tuple[BundledOrigin, list[_Member]]:
    whole = [part for part in log.segments(name, after=state.begin) if state.begin < part.first <= state.sealed]
    manifest = [line for line in log.manifest_lines(name) if _last(line) <= state.sealed]
    runs = [*_runs(log, offering, name, state.begin, whole[0].first - 1 if whole else state.last)]
    if whole:
        runs += _runs(log, offering, name, whole[-1].last, state.last)
    members = [_Member(manifest_member(name), lambda: b"".join(line + b"\n" for line in manifest))]
    members += [_Member(segment_member(name, part.first), partial(_bytes_of, part)) for part in whole]
    members += [_Member(run_member(name, first), _reader(offering, name, first, last)) for first, last in runs]
    found = BundledOrigin(
        state=state,
        chain_before=log.chain_at(name, state.begin),
        segments=[part.first for part in whole],
        runs=runs,
    )
    return found, members


def _runs(log: Log, offering: Offering, origin: str, after: int, up_to: int) -> Iterator[tuple[int, int]]:
    while after < up_to:
        run = offering.lines(origin, after, up_to)
        yield after + 1, after + len(run.lines)
        after += len(run.lines)


def _reader(offering: Offering, origin: str, first: int, last: int) -> Callable[[], bytes]:
    return lambda: encode_run(offering.lines(origin, first - 1, last))


def _bytes_of(part: Segment) -> bytes:
    return part.path.read_bytes()


def _last(line: bytes) -> int:
    return int(msgspec.json.decode(line)["last"])


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
