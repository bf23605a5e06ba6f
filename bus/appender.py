"""Group commit for conditional appends: those that come together share one atomic batch, with all they expect.

nats-server refuses a batch as a whole where one expectation fails, and does not notice where an event expects
something that an earlier one of the same batch has changed. So no append goes with another that writes what it
expects, and of a batch that is refused the halves are tried, until who is to blame stands alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence

from ..schemas import Event
from .append import Append
from .connection import PATIENCE_SECONDS, Connection
from .contract import Receipt
from .errors import BusUnavailable, Entity, NoResponder
from .jetstream import DUPLICATE_IN_BATCH, WRONG_LAST_SEQUENCE
from .outgoing import send_batch

GROUP_EVENTS_MAX = 1_000
GROUP_BYTES_MAX = 4 * 1024 * 1024
PENDING_APPENDS_MAX = 5_000
# Batches in flight that one bus has at most, of the 50 that a stream allows.
ALONE_MAX = 8
# So many lone events go by themselves, side by side: a batch costs nats-server as much as ten of them.
LONE_EVENTS_MAX = 8

_TO_BLAME = frozenset({*WRONG_LAST_SEQUENCE, DUPLICATE_IN_BATCH})

logger = logging.getLogger(__name__)


class _Waiting:
    """One caller's append, and the future that the caller waits for."""

    __slots__ = ("append", "receipts")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.receipts: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()

    async def alone(self) -> None:
        """Carry it out by itself, whatever comes of it."""
        if self.receipts.done():
            return
        try:
            receipts = await self.append.alone()
        except Exception as error:
            if not self.receipts.done():
                self.receipts.set_exception(error)
            return
        self.settle(receipts)

    def settle(self, receipts: list[Receipt]) -> None:
        if not self.receipts.done():
            self.receipts.set_result(receipts)


Group = list[_Waiting]


class Appender:
    """Appends to one stream. At most `PENDING_APPENDS_MAX` wait; further callers wait to be let in."""

    def __init__(self, connection: Connection, stream: str, *, deadline_seconds: float = PATIENCE_SECONDS) -> None:
        self._connection = connection
        self._stream = stream
        self._deadline_seconds = deadline_seconds
        self._room = asyncio.Semaphore(PENDING_APPENDS_MAX)
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bus appender")

    async def append(
        self, events: Sequence[Event], expected: Mapping[Entity, int], payloads: Sequence[bytes] | None = None
    ) -> list[Receipt]:
        """See `Bus.append`."""
        append = Append(self._connection, self._stream, events, expected, payloads)
        try:
            async with asyncio.timeout(self._deadline_seconds), self._room:
                if self._closed:
                    raise self._connection.unavailable("the bus is closed")
                waiting = _Waiting(append)
                self._queue.append(waiting)
                self._idle.clear()
                self._wake.set()
                return await waiting.receipts
        except TimeoutError:
            raise append.unanswered(self._deadline_seconds) from None

    async def close(self) -> None:
        """Bring what is waiting to its end, and stop."""
        self._closed = True
        try:
            await self._idle.wait()
        finally:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        group: Group = []
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while group := self._next_group():
                    await self._deliver(group)
                self._idle.set()
        finally:
            for waiting in (*group, *self._queue):
                if not waiting.receipts.done():
                    waiting.receipts.set_exception(self._connection.unavailable("the bus is closed"))

    def _next_group(self) -> Group:
        """The oldest that may go together, without those whose caller gave up."""
        group: Group = []
        written, ids = set[Entity](), set[str]()
        events = size_bytes = 0
        while self._queue:
            append = self._queue[0].append
            if self._queue[0].receipts.done():
                self._queue.popleft()
                continue
            events += len(append.items)
            size_bytes += append.size_bytes
            is_full = events > GROUP_EVENTS_MAX or size_bytes > GROUP_BYTES_MAX
            if group and (is_full or not written.isdisjoint(append.expected) or not ids.isdisjoint(_ids(append))):
                break
            group.append(self._queue.popleft())
            written |= append.written
            ids |= _ids(append)
        return group

    async def _deliver(self, group: Group) -> None:
        try:
            await self._commit(group)
        except Exception as error:
            logger.exception("appending for %d callers failed", len(group))
            for waiting in group:
                if not waiting.receipts.done():
                    reason = f"appending failed ({error!r}); appending the same events again is safe"
                    waiting.receipts.set_exception(self._connection.unavailable(reason))

    async def _commit(self, group: Group) -> None:
        """Settle every append of the group: with receipts, or with the error that its caller gets."""
        if len(group) == 1 or _are_few_lone_events(group):
            await self._each_alone(group)
            return
        items = [item for waiting in group for item in waiting.append.items]
        headers: dict[int, Mapping[str, str]] = {}
        first = 0
        for waiting in group:
            headers |= {first + index: header for index, header in waiting.append.headers.items()}
            first += len(waiting.append.items)
        try:
            ack = await send_batch(self._connection, items, headers)
        except (BusUnavailable, NoResponder) as error:
            logger.info("appending %d events together: %s; each is looked for by itself", len(items), error)
            await self._each_alone(group, sent_before=True)
            return
        if ack.error is None:
            self._settle(group, ack.seq - len(items) + 1)
        elif ack.error.err_code in _TO_BLAME:
            middle = len(group) // 2
            await self._commit(group[:middle])
            await self._commit(group[middle:])
        else:
            await self._each_alone(group)

    async def _each_alone(self, group: Group, *, sent_before: bool = False) -> None:
        room = asyncio.Semaphore(ALONE_MAX)

        async def carry_out(waiting: _Waiting) -> None:
            waiting.append.sent_before |= sent_before
            async with room:
                await waiting.alone()

        await asyncio.gather(*map(carry_out, group))

    def _settle(self, group: Group, first_sequence: int) -> None:
        for waiting in group:
            waiting.settle(waiting.append.stored_from(first_sequence))
            first_sequence += len(waiting.append.items)


def _are_few_lone_events(group: Group) -> bool:
    return len(group) <= LONE_EVENTS_MAX and all(len(waiting.append.items) == 1 for waiting in group)


def _ids(append: Append) -> set[str]:
    return {item.id for item in append.items}
