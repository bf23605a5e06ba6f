"""Erasure: a person's key is destroyed, wherever the log says so, and a receipt in the log tells what that reached.

A key is destroyed before anything is told of it. Whatever breaks off behind that, a kill, a bus that is away, is made
up for by `run`: every key that was destroyed here has its receipt, under an id of its own, once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..bus import BusError
from ..eventstore import EventStoreError, Log
from ..eventstore.vault import Vault
from ..projections import Leash, Projections, ReadModel
from ..schemas import DatasubjectForgotten, Event, RookeryError, decode, derived_id

WATCH_SECONDS = 0.5
COUNT_SECONDS_MAX = 60.0
RECEIPTS_READ_MAX = 1_000_000

TYPE = "datasubject.forgotten"
RECEIPTS = "forgotten"  # the read model of these events

_RECEIPT = b'"type":"datasubject.forgotten"'
_TEXTS = ("VARCHAR", "JSON")

logger = logging.getLogger(__name__)

Publish = Callable[[Event], Awaitable[Any]]


class NobodyKnown(RookeryError):
    """Nothing is sealed for this person here: they never were, or are forgotten."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(
            f"no key of {subject!r} is here: this node never sealed anything of theirs, or it was forgotten before; "
            "names count exactly as they were given"
        )


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What holds texts that were sealed with some keys.

    `uncounted_events` lie in the archive alone, where nobody counted. Rows are not known where the read models can't be
    asked.
    """

    sealed_events: int
    uncounted_events: int
    events_by_origin: dict[str, int]
    up_to: dict[str, int]
    rows_by_read_model: dict[str, int] | None
    places: list[str]


class Erased(Reach, frozen=True, kw_only=True):
    """What became of a person's keys. `receipts`: the ids of the events that say so; one that is missing follows."""

    pseudonyms: list[str]
    forgotten: bool
    receipts: list[str]


class Erasure:
    """Forgets people on this node: when it is asked to, and when another node's receipt says that it did.

    `places` says where sealed texts are kept, for the receipt.
    """

    def __init__(
        self,
        vault: Vault,
        log: Log,
        projections: Projections,
        *,
        origin: str,
        publish: Publish,
        places: Callable[[], list[str]],
    ) -> None:
        self._vault = vault
        self._log = log
        self._projections = projections
        self._origin = origin
        self._publish = publish
        self._places = places
        self._telling = asyncio.Lock()
        self._told: set[str] = set()
        self._seen = ""
        self._has_heeded_log = False

    async def reach(self, subject: str) -> Erased:
        """What forgetting the person would reach. Raises `NobodyKnown`."""
        pseudonyms = self._pseudonyms_of(subject)
        reach = await asyncio.to_thread(self._count, pseudonyms)
        return Erased(pseudonyms=pseudonyms, forgotten=False, receipts=[], **msgspec.structs.asdict(reach))

    async def forget(self, subject: str) -> Erased:
        """Destroy every key of the person, and say so in the log. Raises `NobodyKnown` or `VaultWriteFailed`.

        When this returns nobody reads any more what was sealed with them, even if a receipt can't be published yet.
        """
        pseudonyms = self._pseudonyms_of(subject)
        async with self._telling:
            await asyncio.to_thread(self._vault.forget, pseudonyms)
            reach = await asyncio.to_thread(self._count, pseudonyms)
            receipts = [await self._tell(each, reach if len(pseudonyms) == 1 else None) for each in pseudonyms]
        told = [receipt for receipt in receipts if receipt]
        return Erased(pseudonyms=pseudonyms, forgotten=True, receipts=told, **msgspec.structs.asdict(reach))

    async def run(self) -> None:
        """Forget whom other nodes forgot, and tell what is not told yet, until cancelled."""
        while True:
            try:
                await self._heed()
                async with self._telling:
                    await self._tell_the_rest()
            except RookeryError as error:
                logger.warning("erasure goes on in a moment: %s", error)
            await asyncio.sleep(WATCH_SECONDS)

    def _pseudonyms_of(self, subject: str) -> list[str]:
        pseudonyms = [key.id for key in self._vault.of(subject)]
        if not pseudonyms:
            raise NobodyKnown(subject)
        return pseudonyms

    async def _heed(self) -> None:
        """Look at the receipts when the read models have anything new, while keys are here that they may be about."""
        if not self._has_heeded_log:  # a node's start does, unless its log was damaged
            await asyncio.to_thread(heed_log, self._vault, self._log)
            self._has_heeded_log = True
        stamp = self._projections.stamp()
        if len(self._vault) and stamp != self._seen and not self._projections.outdated:
            await asyncio.to_thread(lambda: forget_told(self._vault, self._visible_receipts()))
            self._seen = stamp

    def _visible_receipts(self) -> list[str]:
        answer = self._projections.sql(f"select distinct datasubject from {RECEIPTS}", limit=RECEIPTS_READ_MAX)  # noqa: S608
        return [row[0] for row in answer.rows]

    async def _tell_the_rest(self) -> None:
        """Publish the receipts that the log lacks: those of another node's forgetting, and of an earlier life's."""
        silent = self._vault.forgotten - self._told
        held = await asyncio.to_thread(self._log.find, map(self._receipt_id, silent)) if silent else {}
        for pseudonym in silent:
            if self._receipt_id(pseudonym) in held:
                self._told.add(pseudonym)
            else:
                await self._tell(pseudonym)

    async def _tell(self, pseudonym: str, reach: Reach | None = None) -> str | None:
        if reach is None:
            reach = await asyncio.to_thread(self._count, [pseudonym])
        fact = DatasubjectForgotten(
            sealed_events=reach.sealed_events,
            uncounted_events=reach.uncounted_events,
            events_by_origin=reach.events_by_origin,
            up_to=reach.up_to,
            rows_by_read_model=reach.rows_by_read_model,
            places=reach.places,
        )
        receipt, source = self._receipt_id(pseudonym), f"/nodes/{self._origin}"
        try:
            await self._publish(Event.of(fact, subject=pseudonym, source=source, id=receipt))
        except BusError as error:
            logger.warning("the receipt for %s is told later: %s", pseudonym, error)
            return None
        self._told.add(pseudonym)
        return receipt

    def _receipt_id(self, pseudonym: str) -> str:
        return derived_id(TYPE, pseudonym, self._origin)

    def _count(self, pseudonyms: Collection[str]) -> Reach:
        """Takes its time: every event that is here is looked at."""
        wanted = [pseudonym.encode() for pseudonym in pseudonyms]
        up_to = self._log.vector()
        counted = {origin: self._events_in(origin, last, wanted) for origin, last in up_to.items()}
        found = {origin: events for origin, (events, _) in counted.items() if events}
        return Reach(
            sealed_events=sum(found.values()),
            uncounted_events=sum(elsewhere for _, elsewhere in counted.values()),
            events_by_origin=found,
            up_to=up_to,
            rows_by_read_model=self._rows(pseudonyms),
            places=self._places(),
        )

    def _events_in(self, origin: str, last: int, wanted: Collection[bytes]) -> tuple[int, int]:
        """How many events hold something sealed with these keys, and how many can't be looked at, not being here."""
        found = elsewhere = 0
        for first, end, is_here in self._stretches(origin, last):
            if is_here:
                records = self._log.read(origin, after=first - 1, limit=end - first + 1)
                found += sum(_RECEIPT not in one.line for one in records if any(each in one.line for each in wanted))
            else:
                elsewhere += end - first + 1
        return found, elsewhere

    def _stretches(self, origin: str, last: int) -> Iterator[tuple[int, int, bool]]:
        end = 0
        for segment in self._log.segments(origin):
            yield segment.first, segment.last, segment.is_here
            end = segment.last
        if end < last:
            yield end + 1, last, True

    def _rows(self, pseudonyms: Collection[str]) -> dict[str, int] | None:
        leash = Leash(COUNT_SECONDS_MAX)
        try:
            counted = {model.name: self._rows_of(model, pseudonyms, leash) for model in self._projections.models()}
        except RookeryError as error:
            logger.warning("which read models hold what was sealed is not known: %s", error)
            return None
        return {name: rows for name, rows in counted.items() if rows}

    def _rows_of(self, model: ReadModel, pseudonyms: Collection[str], leash: Leash) -> int:
        texts = [column.name for column in model.columns if column.type.startswith(_TEXTS)]
        if not texts or model.name == RECEIPTS:
            return 0
        holds = " or ".join(f'contains("{name}"::varchar, ${n})' for name in texts for n, _ in enumerate(pseudonyms, 1))
        answer = self._projections.sql(
            f'select count(*) from "{model.name}" where {holds}',  # noqa: S608 - the names are the read model's own
            list(pseudonyms),
            leash=leash,
        )
        return int(answer.rows[0][0])


def open_vault(folder: Path, log: Log) -> Vault:
    """The keys, without those that the log says were destroyed: to be opened before anything is served."""
    vault = Vault.open(folder)
    with suppress(EventStoreError):  # a damaged log, which is told of elsewhere; `run` tries again until it is healed
        heed_log(vault, log)
    return vault


def places_of_texts(snapshot: Path, archive: str | None) -> list[str]:
    """Where what events say is kept, all of it as it was sealed where it was."""
    found = ["bus", "log", "side_cars", "read_models", "graph"]
    return found + ["snapshot"] * snapshot.exists() + ["archive"] * (archive is not None)


def heed_log(vault: Vault, log: Log) -> list[str]:
    """Destroy the keys that the log says were destroyed: a vault that came from a copy may have them still.

    Returns which those were. To be done before anything is served.
    """
    return forget_told(vault, receipts_in(log)) if len(vault) else []


def forget_told(vault: Vault, told: Iterable[str]) -> list[str]:
    """Of the people whose keys were destroyed elsewhere, destroy every key that is here."""
    return vault.forget({key.id for each in told if vault.key(each) for key in vault.of(each)})


def receipts_in(log: Log) -> Iterator[str]:
    """Whom the nodes of the log's origins have forgotten; anybody else may say so, and forgets nobody."""
    for record in log.search(types={TYPE}):
        event = decode(record.payload)
        if event.source == f"/nodes/{record.origin}":
            yield event.subject
