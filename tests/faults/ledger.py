"""What publishers were promised, and what became of it: the books that every fault is held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

from rookery.eventstore import Record
from rookery.schemas import Event, InvalidEvent, decode, encode


class Promise(NamedTuple):
    """An event as it was handed to the bus: the `place`-th of its entity."""

    entity: str
    place: int
    checksum: int


class Verdict(NamedTuple):
    """What the log is missing, and what it has that it should not have. All but the first should be 0.

    `misplaced`: behind a later event of the same entity. `altered`: other bytes than were published. `holes`: an n that
    does not follow the one before.
    """

    acknowledged: int
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    altered: int = 0
    holes: int = 0

    @property
    def wrong(self) -> int:
        """What is neither lost nor doubled, and still not as it should be."""
        return self.misplaced + self.altered + self.holes

    @property
    def is_whole(self) -> bool:
        """Whether nothing is amiss."""
        return not (self.lost or self.doubled or self.wrong)


class Ledger:
    """Notes every event before it is sent, every acknowledgement when it comes, and every line that the log has."""

    def __init__(self) -> None:
        self._promises: dict[str, Promise] = {}
        self._places: Counter[str] = Counter()
        self._acknowledged: set[str] = set()
        self.begin_again()

    def begin_again(self) -> None:
        """Forget what the log has, to look at all of it once more."""
        self.awaited = set(self._acknowledged)  # ids that the log must have, and has not shown yet
        self._seen: Counter[str] = Counter()
        self._latest: dict[str, int] = {}
        self._last = 0
        self._misplaced = self._altered = self._holes = 0

    @property
    def acknowledged(self) -> int:
        """How many events were acknowledged so far."""
        return len(self._acknowledged)

    @property
    def last(self) -> int:
        """The n of the last line that was taken."""
        return self._last

    def promise(self, event: Event, *, by: str | None = None) -> bytes:
        """Note an event that is about to be sent, and return its bytes.

        What is promised of one entity, or `by` one publisher, has to stay in that order.
        """
        payload, whose = encode(event), by or event.subject
        self._places[whose] += 1
        self._promises[event.id] = Promise(whose, self._places[whose], crc32(payload))
        return payload

    def acknowledge(self, event: Event) -> None:
        """Note that the bus, or the node, said that it is durable."""
        self._acknowledged.add(event.id)
        if event.id not in self._seen:
            self.awaited.add(event.id)

    def take(self, records: Iterable[Record]) -> None:
        """Look at the next lines of the log."""
        for record in records:
            self._holes += record.n != self._last + 1
            self._last = record.n
            if (event_id := _id_of(record)) is None:
                continue
            self._seen[event_id] += 1
            self.awaited.discard(event_id)
            if self._seen[event_id] == 1 and (promise := self._promises.get(event_id)):
                self._misplaced += promise.place <= self._latest.get(promise.entity, 0)
                self._latest[promise.entity] = promise.place
                self._altered += crc32(record.payload) != promise.checksum

    def verdict(self) -> Verdict:
        """How it stands. Events whose sender never heard of them again may be in the log or not, but not twice."""
        return Verdict(
            acknowledged=len(self._acknowledged),
            lost=len(self.awaited),
            doubled=sum(1 for count in self._seen.values() if count > 1),
            misplaced=self._misplaced,
            altered=self._altered,
            holes=self._holes,
        )

    @property
    def is_waiting(self) -> bool:
        """Whether something that was acknowledged has not been seen in the log yet."""
        return bool(self.awaited)


def _id_of(record: Record) -> str | None:
    try:
        return decode(record.payload).id
    except InvalidEvent:
        return None
