"""What is in a segment, so that a reader can pass it by: a derived side-car, made again when the schemas change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, NamedTuple

import msgspec

from ..schemas import Event, EventType, all_types, decode, is_superseded
from . import entities
from .judging import Verdict, judge_record
from .line import Record

SOURCES_MAX = 1_024  # a segment with more says nothing about its sources


class Wanted(NamedTuple):
    """What a search asks for; None asks for anything. Times are the events' own, `until` excluded."""

    types: Collection[str] | None = None
    entity: tuple[str, str] | None = None
    source: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def admits(self, record: Record) -> bool:
        """Whether the record is an event of the wanted kind."""
        if self == _ANYTHING:
            return True
        return record.letter is None and self._admits(decode(record.payload))

    def look_alike(self) -> Callable[[bytes], bool] | None:
        """What tells quickly, and rightly where it says no, whether a line may hold what is wanted; None: any may."""
        if self.types is None:
            return None
        # To look for two words is quicker than for the dozen names that begin with them.
        names = self.types if len(self.types) == 1 else {f"{name.partition('.')[0]}." for name in self.types}
        marks = [f'"{name}'.encode() for name in names]

        def may_hold(line: bytes) -> bool:
            return any(mark in line for mark in marks) or _ESCAPE in line

        return may_hold

    def _admits(self, event: Event) -> bool:
        return (
            (self.types is None or event.type in self.types)
            and (self.entity is None or self.entity == (event.entity, event.subject))
            and (self.source is None or event.source == self.source)
            and (self.since is None or event.time >= self.since)
            and (self.until is None or event.time < self.until)
        )


_ANYTHING = Wanted()
# Only in this way can JSON write a type's name otherwise than by its own bytes.
_ESCAPE = b"\\u"

EntityFilter = Annotated[
    bytearray, msgspec.Meta(min_length=entities.FILTER_SIZE_BYTES, max_length=entities.FILTER_SIZE_BYTES)
]


class Summary(msgspec.Struct, kw_only=True):
    """What a run of lines holds, judged by the schemas whose fingerprint is `registry`."""

    registry: str
    entities: EntityFilter
    last: int = 0
    types: dict[str, int] = {}
    sources: dict[str, int] = {}
    earliest: datetime | None = None
    latest: datetime | None = None
    dead: list[int] = []
    faults: dict[str, int] = {}

    @classmethod
    def of(cls, records: Iterable[Record]) -> Summary:
        """Judge the records by today's schemas."""
        summary = cls(registry=registry_fingerprint(), entities=bytearray(entities.FILTER_SIZE_BYTES))
        for record in records:
            verdict = judge_record(record)
            summary.add(record.n, verdict)
        return summary

    def add(self, n: int, verdict: Verdict) -> None:
        """Count one more line."""
        self.last = n
        if verdict.fault:
            self.dead.append(n)
            self.faults[verdict.fault] = self.faults.get(verdict.fault, 0) + 1
        event = verdict.event
        if event is None:
            return
        entities.add(self.entities, event.entity, event.subject)
        self.types[event.type] = self.types.get(event.type, 0) + 1
        if len(self.sources) <= SOURCES_MAX:
            self.sources[event.source] = self.sources.get(event.source, 0) + 1
        if self.earliest is None or event.time < self.earliest:
            self.earliest = event.time
        if self.latest is None or event.time > self.latest:
            self.latest = event.time

    @property
    def current(self) -> bool:
        """Whether it was judged by today's schemas, and by a version that counted what is wrong."""
        return self.registry == registry_fingerprint() and len(self.dead) == sum(self.faults.values())

    @property
    def plain(self) -> bool:
        """Whether every line is a valid event of a type that is not superseded."""
        # A copy, because the writer may be counting one more type meanwhile.
        return not self.dead and not any(map(is_superseded, tuple(self.types)))

    def may_hold(self, wanted: Wanted) -> bool:
        """Whether a search has to look at the lines."""
        if wanted == _ANYTHING:
            return True
        return (
            self.earliest is not None
            and self.latest is not None
            and (wanted.since is None or self.latest >= wanted.since)
            and (wanted.until is None or self.earliest < wanted.until)
            and (wanted.types is None or not self.types.keys().isdisjoint(wanted.types))
            and (wanted.entity is None or entities.may_hold(self.entities, *wanted.entity))
            and (wanted.source is None or wanted.source in self.sources or len(self.sources) > SOURCES_MAX)
        )


class Counted(NamedTuple):
    """How many dead letters of each fault are in what is sealed up to the line `last`, by the schemas of `registry`."""

    registry: str
    last: int = 0
    faults: Counter[str] = Counter()  # noqa: RUF012

    def with_sealed(self, last: int, faults: Mapping[str, int]) -> Counted:
        """With the next segment, too."""
        return Counted(self.registry, last, self.faults + Counter(faults))


def registry_fingerprint() -> str:
    """A hash of every registered type's name and shape, and of which ones are superseded."""
    return _fingerprint(tuple(all_types()), tuple(is_superseded(known.name) for known in all_types()))


@lru_cache(maxsize=8)
def _fingerprint(types: tuple[EventType, ...], superseded: tuple[bool, ...]) -> str:
    shapes = [(known.name, msgspec.json.schema(known.struct)) for known in types]
    envelope = [(field.name, repr(field.type)) for field in msgspec.structs.fields(Event)]
    return sha256(msgspec.json.encode((envelope, shapes, superseded), order="deterministic")).hexdigest()
