"""A bundle as a peer: what is in it is asked for as of any other, and so is checked and taken like anything else."""

from __future__ import annotations

import io
import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
import zstandard

from ...eventstore.arrivals import SEGMENT_BYTES_MAX
from ...eventstore.line import chain_of
from .bundles import FORMAT, NAME, BundledOrigin, Contents, InvalidBundle, manifest_member, run_member, segment_member
from .peers import MANIFEST_LINES_MAX, RUN_EVENTS_MAX, Offer, PeerRefused, Run
from .runs import ENCODED_BYTES_MAX, InvalidRun, decode_run

CONTENTS_BYTES_MAX = 64 * 2**20
# What tarfile raises where a header says what none should: a number that is none, say, or a link to itself.
ODD_HEADERS = (tarfile.TarError, ValueError, OverflowError, RecursionError)


class BundlePeer:
    """The file at `path`, or one that is open already; use it as a context. Raises `InvalidBundle`."""

    def __init__(self, path: Path, file: IO[bytes] | None = None) -> None:
        self._path = path
        try:
            self._tar = tarfile.open(path, "r:", file)  # noqa: SIM115
        except ODD_HEADERS as error:
            raise InvalidBundle(path, f"it is no tar file ({error})") from None
        try:
            self.contents = self._read_contents()
        except BaseException:
            self._tar.close()
            raise
        self._decoded: tuple[str, list[bytes]] = ("", [])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tar.close()

    @property
    def name(self) -> str:
        """What people call it."""
        return "this bundle"

    async def offer(self) -> Offer:
        """What is in it."""
        return Offer(own=None, origins={name: one.state for name, one in self.contents.origins.items()})

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines."""
        return [self._chain(origin, n) for n in numbers]

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines for what is sealed after `after`."""
        lines = self._member(manifest_member(origin), CONTENTS_BYTES_MAX).split(b"\n")[:-1]
        try:
            lasts = [int(msgspec.json.decode(line)["last"]) for line in lines]
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise InvalidBundle(self._path, f"{origin}'s manifest can't be read ({error})") from None
        begin = bisect_right(lasts, after)
        return lines[begin : begin + MANIFEST_LINES_MAX]

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """The sealed file that begins with a line."""
        if first not in self._origin(origin).segments:
            raise PeerRefused(self.name, f"the segment that begins with {origin}:{first} is not in it")
        return self._member(segment_member(origin, first), size_bytes)

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some of the lines after `after`."""
        return self._lines(origin, after, up_to)

    def _lines(self, origin: str, after: int, up_to: int) -> Run:
        found = self._origin(origin)
        n = after + 1
        for first, last in found.runs:
            if first <= n <= last:
                run = self._run(run_member(origin, first))
                return Run(run.segment, run.lines[n - first : up_to - first + 1])
        firsts = [first for first in found.segments if first <= n]
        if not firsts:
            raise PeerRefused(self.name, f"{origin}:{n} is not in it")
        lines = self._segment_lines(segment_member(origin, firsts[-1]))
        begin = n - firsts[-1]
        return Run(firsts[-1], lines[begin : min(begin + RUN_EVENTS_MAX, up_to - firsts[-1] + 1)])

    def _chain(self, origin: str, n: int) -> str:
        found = self._origin(origin)
        if n == found.state.begin:
            return found.chain_before
        if n == found.state.last:
            return found.state.chain
        lines = self._lines(origin, n - 1, n).lines
        try:
            return chain_of(lines[0])
        except (IndexError, ValueError):
            raise InvalidBundle(self._path, f"its {origin}:{n} is no line") from None

    def _origin(self, origin: str) -> BundledOrigin:
        found = self.contents.origins.get(origin)
        if found is None:
            raise PeerRefused(self.name, f"nothing of {origin} is in it")
        return found

    def _run(self, member: str) -> Run:
        try:
            return decode_run(self._member(member, ENCODED_BYTES_MAX))
        except InvalidRun as error:
            raise InvalidBundle(self._path, f"its {member} can't be read ({error})") from None

    def _segment_lines(self, member: str) -> list[bytes]:
        if self._decoded[0] != member:
            data = self._member(member, SEGMENT_BYTES_MAX)
            try:
                with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as reader:
                    decoded = reader.read(SEGMENT_BYTES_MAX)
            except zstandard.ZstdError as error:
                raise InvalidBundle(self._path, f"its {member} can't be read ({error})") from None
            self._decoded = member, decoded.split(b"\n")[:-1]
        return self._decoded[1]

    def _member(self, name: str, bytes_max: int) -> bytes:
        """A member's bytes, which are those that were exported."""
        kept = self.contents.members.get(name)
        if kept is None or kept.size_bytes > bytes_max:
            raise InvalidBundle(self._path, f"it has no {name} of at most {bytes_max:,} bytes")
        data = self._read(name, kept.size_bytes)
        if sha256(data).hexdigest() != kept.sha256:
            raise InvalidBundle(self._path, f"its {name} was altered")
        return data

    def _read_contents(self) -> Contents:
        try:
            contents = msgspec.json.decode(self._read(NAME, CONTENTS_BYTES_MAX), type=Contents)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidBundle(self._path, f"its {NAME} can't be read ({error})") from None
        if contents.format != FORMAT:
            raise InvalidBundle(self._path, f"its format is {contents.format}, and this version reads {FORMAT}")
        return contents

    def _read(self, name: str, bytes_max: int) -> bytes:
        try:
            file = self._tar.extractfile(self._tar.getmember(name))
            data = file.read(bytes_max + 1) if file else b""
        except (KeyError, OSError, *ODD_HEADERS) as error:
            raise InvalidBundle(self._path, f"its {name} can't be read ({error})") from None
        if len(data) > bytes_max:
            raise InvalidBundle(self._path, f"its {name} is longer than it should be")
        return data
