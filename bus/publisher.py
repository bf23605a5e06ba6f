"""Group commit: concurrent publishers share one atomic batch, and each returns when its own event is durable.

A lone event leaves at once. While it is on its way a batch forms behind it, and leaves when it is acknowledged: the
busier the bus, the larger the batches, with nobody ever waiting for company.

When no answer comes, nobody knows whether the batch was stored. Then the stream is read back, what is there is
acknowledged, and only the rest is sent again, under the same ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

from ..schemas import Event
from .connection import Connection, pauses_seconds
from .contract import Receipt
from .errors import BusError, BusUnavailable, NoResponder
from .jetstream import DUPLICATE_IN_BATCH, Ack, stored
from .outgoing import NO_HEADERS, Outgoing, send_batch, send_one

BATCH_EVENTS_MAX = 1_000
BATCH_BYTES_MAX = 4 * 1024 * 1024
PENDING_EVENTS_MAX = 10_000
# Shorter than the stream's duplicate window, so that a repeated send is recognised.
PUBLISH_DEADLINE_SECONDS = 45.0
SINGLE_SENDS_MAX = 100
READ_BACKS_MAX = 64

logger = logging.getLogger(__name__)


class Waiting(Outgoing):
    """One caller's event, and the future that the caller waits for."""

    __slots__ = ("deadline", "receipt", "settled", "twins")

    def __init__(
        self,
        event: Event,
        payload: bytes | None,
        max_payload_bytes: int,
        deadline: float,
        subject: str | None,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(event, payload, max_payload_bytes, subject=subject, headers=headers)
        self.deadline = deadline
        self.receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.twins: tuple[Waiting, ...] = ()  # other callers with the same event in the same batch
        self.settled = False


class Publisher:
    """Publishes events to one stream.

    `last_sequence` is the stream's as of now: where reading back begins. At most `pending_events_max` events wait to be
    acknowledged; further callers wait to be let in. After `deadline_seconds` a caller is told that the outcome is
    unknown. Up to `singly_max` events that wait together go one by one, for a batch costs nats-server as much as ten
    events: sooner done, but where some of them have to be sent again, no longer in the order of their callers.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        last_sequence: int,
        *,
        pending_events_max: int = PENDING_EVENTS_MAX,
        deadline_seconds: float = PUBLISH_DEADLINE_SECONDS,
        singly_max: int = 1,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._last_sequence = last_sequence
        self._deadline_seconds = deadline_seconds
        self._singly_max = singly_max
        self._room = asyncio.Semaphore(pending_events_max)
        self._pending_events = 0
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="bus publisher")

    @property
    def pending_events(self) -> int:
        """How many events wait to be acknowledged: at most `pending_events_max`."""
        return self._pending_events

    async def publish(
        self,
        event: Event,
        payload: bytes | None = None,
        subject: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Receipt:
        """See `Bus.publish`; `subject`: where, if not on the event's own, and `headers` that go along."""
        deadline = self._loop.time() + self._deadline_seconds
        item = Waiting(event, payload, self._connection.max_payload_bytes, deadline, subject, headers)
        await self._room.acquire()
        if self._closed:
            self._room.release()
            raise self._connection.unavailable("the bus is closed")
        self._pending_events += 1
        self._queue.append(item)
        self._idle.clear()
        self._wake.set()
        return await item.receipt

    async def close(self) -> None:
        """Deliver what is waiting, within its deadlines, and stop."""
        self._closed = True
        try:
            await self._idle.wait()
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                await self._deliver(self._next_batch())
            self._idle.set()

    def _next_batch(self) -> list[Waiting]:
        """The oldest waiting events, without those whose caller gave up; the same id twice travels once."""
        batch: dict[str, Waiting] = {}
        size_bytes = 0
        while self._queue and len(batch) < BATCH_EVENTS_MAX:
            size_bytes += len(self._queue[0].payload)
            if batch and size_bytes > BATCH_BYTES_MAX:
                break
            item = self._queue.popleft()
            if item.receipt.done():
                self._leave()
            elif (first := batch.setdefault(item.id, item)) is not item:
                first.twins += (item,)
        return list(batch.values())

    async def _deliver(self, batch: list[Waiting]) -> None:
        """Settle every event of the batch: with a receipt, or with the error that its caller gets."""
        try:
            await self._settle_all(batch)
        except BaseException as error:
            if isinstance(error, Exception):
                logger.exception("publishing %d events failed", len(batch))
            reason = f"publishing stopped ({error!r}); publishing the same event again is safe"
            self._fail(_unsettled(batch), lambda: self._connection.unavailable(reason))
            if not isinstance(error, Exception):
                raise

    async def _settle_all(self, batch: list[Waiting]) -> None:
        known = self._last_sequence  # what is sent here is stored after this, or was there before
        sent = False  # once it is, what the stream holds after `known` may be of our own earlier attempt
        trouble = "the bus is not connected"
        pauses = pauses_seconds()
        while batch := self._within_deadline(_unsettled(batch), sent, trouble):
            try:
                async with asyncio.timeout_at(min(item.deadline for item in batch)):
                    await self._connection.ready()
                    if sent:
                        await self._read_back(batch, known)
                    attempted_after, sent = known if sent else None, True
                    await self._send(_unsettled(batch), attempted_after)
            except TimeoutError:
                trouble = "no answer" if self._connection.connected else trouble
            except (BusUnavailable, NoResponder) as error:
                if self._connection.client.is_closed:
                    raise
                trouble = str(error)
                logger.info("publishing %d events: %s; reading back what was stored", len(batch), trouble)
                await asyncio.sleep(next(pauses))

    def _within_deadline(self, batch: list[Waiting], sent: bool, trouble: str) -> list[Waiting]:
        """The events that have time left; the others are given up on."""
        now = self._loop.time()
        if overdue := [item for item in batch if item.deadline <= now]:
            outcome = "whether it was stored is unknown" if sent else "it was not sent"
            reason = (
                f"no acknowledgement within {self._deadline_seconds:g} s ({trouble}); {outcome}, and "
                "publishing the same event again is safe"
            )
            self._fail(overdue, lambda: self._connection.unavailable(reason))
        return _unsettled(batch)

    async def _read_back(self, batch: Sequence[Waiting], known: int) -> None:
        """Acknowledge what the stream holds of an earlier attempt."""
        by_subject: dict[str, dict[str, Waiting]] = {}
        for item in batch:
            by_subject.setdefault(item.subject, {})[item.id] = item
        limit = asyncio.Semaphore(READ_BACKS_MAX)

        async def read_back(subject: str, items: dict[str, Waiting]) -> None:
            async with limit:
                async for page in stored(self._connection, self._stream, subject, after=known):
                    for found in page:
                        if item := items.get(found.id or ""):
                            self._settle(item, Receipt(found.delivery.sequence, duplicate=False))

        await _all(read_back(subject, items) for subject, items in by_subject.items())

    async def _send(self, batch: Sequence[Waiting], attempted_after: int | None) -> None:
        if len(batch) <= self._singly_max:
            await self._send_singly(batch, attempted_after)
        elif batch:
            ack = await send_batch(self._connection, batch)
            if ack.error is None:
                first = ack.seq - len(batch) + 1
                for index, item in enumerate(batch):
                    self._settle(item, Receipt(first + index, duplicate=False))
            elif ack.error.err_code == DUPLICATE_IN_BATCH:
                await self._send_singly(batch, attempted_after)
            else:
                self._refuse(batch, ack)

    async def _send_singly(self, batch: Sequence[Waiting], attempted_after: int | None) -> None:
        """Each on its own, in order: the server then says which ones it has already."""

        async def send(item: Waiting) -> None:
            ack = await send_one(self._connection, item)
            if ack.error is not None:
                self._refuse([item], ack)
            else:
                ours = attempted_after is not None and ack.seq > attempted_after
                self._settle(item, Receipt(ack.seq, duplicate=ack.duplicate and not ours))

        for start in range(0, len(batch), SINGLE_SENDS_MAX):
            await _all(send(item) for item in batch[start : start + SINGLE_SENDS_MAX])

    def _refuse(self, batch: Sequence[Waiting], ack: Ack) -> None:
        fault = ack.error
        assert fault is not None
        if fault.passes:
            raise self._connection.unavailable(fault.description)
        self._fail(batch, fault.refusal)

    def _settle(self, item: Waiting, receipt: Receipt) -> None:
        if item.settled:
            return
        item.settled = True
        self._last_sequence = max(self._last_sequence, receipt.sequence)
        for waiting in (item, *item.twins):
            self._leave()
            if not waiting.receipt.done():
                waiting.receipt.set_result(receipt if waiting is item else receipt._replace(duplicate=True))

    def _fail(self, batch: Iterable[Waiting], error: Callable[[], BusError]) -> None:
        """Every caller gets an error of its own: one that many raise would collect all their tracebacks."""
        for item in batch:
            item.settled = True
            for waiting in (item, *item.twins):
                self._leave()
                if not waiting.receipt.done():
                    waiting.receipt.set_exception(error())

    def _leave(self) -> None:
        self._pending_events -= 1
        self._room.release()


def _unsettled(batch: Iterable[Waiting]) -> list[Waiting]:
    return [item for item in batch if not item.settled]


async def _all(attempts: Iterable[Coroutine[None, None, None]]) -> None:
    """Finish all of them, then raise the first error there was."""
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
