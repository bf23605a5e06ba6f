"""Offering: what this node's log answers to whoever syncs with it, whichever way it is asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ...eventstore import Log, UnknownLine
from ...eventstore.origin import NOTHING_SEALED
from .peers import CHAINS_AT_ONCE_MAX, MANIFEST_LINES_MAX, RUN_BYTES_MAX, RUN_EVENTS_MAX, Offer, OriginState, Run


class Offering:
    """A log to be copied from. Everything blocks for a moment, and takes as long in a log of any length.

    Of the origins in `spokes` this node writes the lines, as their homes do, and seals of its own. It offers the lines,
    and leaves the seals, which their homes sign, to those.
    """

    def __init__(self, log: Log, own: str | None, *, spokes: Collection[str] = ()) -> None:
        self._log = log
        self._own = own
        self._spokes = spokes

    def offer(self) -> Offer:
        """How far the log is."""
        vector = self._log.vector()
        return Offer(own=self._own, origins={name: self._state(name, last) for name, last in vector.items() if last})

    def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines. Raises `UnknownLine`."""
        return [self._log.chain_at(origin, n) for n in numbers[:CHAINS_AT_ONCE_MAX]]

    def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines for what is sealed after `after`."""
        return self._log.manifest_lines(origin, after=after)[:MANIFEST_LINES_MAX]

    def segment(self, origin: str, first: int) -> Path:
        """The sealed file that begins with a line. Raises `UnknownLine`."""
        found = self._log.segments(origin, after=first - 1, limit=1) if first > 0 else []
        if not found or found[0].first != first:
            raise UnknownLine(origin, first, self._log.vector().get(origin, 0))
        return found[0].path

    def lines(self, origin: str, after: int, up_to: int) -> Run:
        """The next lines of one segment, as many as travel at once. Raises `UnknownLine` where there is none."""
        segment, last = self._log.segment_of(origin, after + 1)
        lines: list[bytes] = []
        size_bytes = 0
        for record in self._log.read(origin, after=after, limit=min(last, up_to, after + RUN_EVENTS_MAX) - after):
            size_bytes += len(record.line) + 1
            if lines and size_bytes > RUN_BYTES_MAX:
                break
            lines.append(record.line)
        return Run(segment, lines)

    def _state(self, origin: str, last: int) -> OriginState:
        sealed = NOTHING_SEALED if origin in self._spokes else self._log.sealed_state(origin)
        return OriginState(
            last=last,
            chain=self._log.chain_at(origin, last),
            sealed=sealed.last,
            manifest=sealed.head,
            signer=sealed.signer,
        )
