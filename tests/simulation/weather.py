"""What goes wrong around a node: a bus that stutters, and a disk that refuses, dies, or loses its power."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from rookery.bus import BusUnavailable, Delivery, Entity, History, MemoryBus, Receipt, StreamState
from rookery.bus.outgoing import Outgoing
from rookery.schemas import EVENTS, Event, decode
from rookery.tests.eventstore.faults import DyingDisk, FullDisk

from .traffic import NOON, Parcel

PAUSES_SECONDS = (0.0, 0.0, 0.0, 0.01, 0.5)
NEVER = 2**62


class StutteringBus(MemoryBus):
    """Late, forgetful and often gone, but it keeps what it acknowledged. `parcels` says what each one was."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self._chance = chance
        self._back_at_seconds = 0.0
        self._jumps: list[tuple[int, timedelta]] = [(0, timedelta())]
        self.parcels: dict[tuple[str, bytes], Parcel] = {}

    @property
    def deliveries(self) -> list[Delivery]:
        """Everything that was ever stored, as every reader gets it."""
        return [self._stamped(delivery) for delivery in self._events]

    async def send(self, parcel: Parcel) -> None:
        """Publish until it is acknowledged. What is no event is put there by a program that speaks NATS by itself."""
        self.parcels[parcel.subject, parcel.payload] = parcel
        while True:
            try:
                await (self._put(parcel) if parcel.event is None else self.publish(parcel.event, parcel.payload))
            except BusUnavailable:
                await asyncio.sleep(1)
            else:
                return

    async def publish(self, event: Event, payload: bytes | None = None) -> Receipt:
        await self._stutter()
        receipt = await super().publish(event, payload)
        if self._chance.random() < 0.1:
            raise BusUnavailable("memory:", "it is stored, but the answer came too late")
        return receipt

    async def append(self, events: Sequence[Event], **how: Any) -> list[Receipt]:
        await self._stutter()
        receipts = await super().append(events, **how)
        if self._chance.random() < 0.1:
            raise BusUnavailable("memory:", "they are stored, but the answer came too late")
        return receipts

    async def history(self, entity: Entity, **how: Any) -> History:
        await self._stutter()
        return await super().history(entity, **how)

    async def read(self, *, after: int = 0, subject: str = EVENTS) -> AsyncGenerator[list[Delivery], None]:
        await self._stutter()
        async with aclosing(super().read(after=after, subject=subject)) as batches:
            async for batch in batches:
                for part in self._cut(batch):
                    await self._stutter()
                    yield [self._stamped(delivery) for delivery in part]
                    if self._chance.random() < 0.1:
                        yield [self._stamped(delivery) for delivery in part]

    async def state(self) -> StreamState:
        await self._stutter()
        return await super().state()

    def break_off(self, seconds: float) -> None:
        """Be away for so long."""
        self._back_at_seconds = asyncio.get_running_loop().time() + seconds

    def set_clock(self, ahead: timedelta) -> None:
        """From now on, say that events were stored so much later than they were, or earlier."""
        self._jumps.append((len(self._events), ahead))

    def forget(self) -> None:
        """The window in which the bus knows its duplicates has passed."""
        self._sequences.clear()

    def _store(self, item: Outgoing) -> Receipt:
        if (item.subject, item.payload) not in self.parcels:  # a node's own
            own = Parcel(item.subject, item.payload, decode(item.payload))
            self.parcels[item.subject, item.payload] = own
        return super()._store(item)

    async def _put(self, parcel: Parcel) -> None:
        await self._stutter()
        self._events.append(Delivery(len(self._events) + 1, parcel.subject, parcel.payload, NOON))
        self._grow()

    async def _stutter(self) -> None:
        await asyncio.sleep(self._chance.choice(PAUSES_SECONDS))
        away = asyncio.get_running_loop().time() < self._back_at_seconds
        if away or self._chance.random() < 0.03:
            raise BusUnavailable("memory:", "unplugged")

    def _stamped(self, delivery: Delivery) -> Delivery:
        """Stored when its sequence and the clock say, so that a seed gives the same bytes at any time of the day."""
        at = bisect_left(self._jumps, delivery.sequence, key=lambda jump: jump[0]) - 1
        return delivery._replace(stored_at=NOON + timedelta(milliseconds=delivery.sequence) + self._jumps[at][1])

    def _cut(self, batch: list[Delivery]) -> list[list[Delivery]]:
        size = self._chance.choice((1, 3, 10, 100))
        return [batch[first : first + size] for first in range(0, len(batch), size)]


class FaultyDisk(FullDisk, DyingDisk):
    """Does what it is asked to, until the world says otherwise."""

    def __init__(self) -> None:
        super().__init__(NEVER)
        self._dies = False

    @property
    def dead(self) -> bool:
        """Whether the program on it has stopped."""
        return self._dead

    def refuse(self, touches: int) -> None:
        """Be full for the next touches."""
        self._plan(1, touches, dies=False)

    def die(self, after: int, *, loses_unsynced: bool) -> None:
        """Stop the program at a touch that is still to come."""
        self._loses_unsynced = loses_unsynced
        self._plan(after, NEVER, dies=True)

    def heal(self) -> None:
        """Be well again, if it is alive."""
        self._plan(NEVER, NEVER, dies=self._dead)

    def cut_power(self) -> None:
        """Lose, right now, what was not synced."""
        self._lose()

    def fault(self, name: str, args: tuple[Any, ...]) -> None:
        if self._dies:
            DyingDisk.fault(self, name, args)
        else:
            super().fault(name, args)

    def _plan(self, first: int, last: int, *, dies: bool) -> None:
        if not self._dead:
            self.first, self.last, self._dies = self.touches + first, self.touches + last, dies


def spoil(folder: Path, chance: Random) -> str:
    """Damage one of the files that are derived from the log and can be made again."""
    derived = [*folder.glob("log/*/ids.sqlite*"), *folder.glob("log/*/*.index.json"), *folder.glob("models.duckdb")]
    if not derived:
        return "nothing"
    path = chance.choice(sorted(derived))
    match chance.choice(("gone", "empty", "halved", "garbled")):
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "halved":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "garbled":
            path.write_bytes(chance.randbytes(4_096))
    return path.name


def flip(folder: Path, chance: Random) -> tuple[Path, bytes] | None:
    """Turn one bit over in a file that the log can't be made again from; the file, and what was in it."""
    files = [path for path in sorted(folder.glob("*/*ndjson*")) if path.stat().st_size]
    if not files:
        return None
    path = chance.choice(files)
    before = path.read_bytes()
    at = chance.randrange(len(before))
    path.write_bytes(before[:at] + bytes([before[at] ^ 1 << chance.randrange(8)]) + before[at + 1 :])
    return path, before
