"""The work queue in memory: the double of `work.py`, for tests and one-process tools."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable

from ..schemas import Event, work_subject
from .contract import Receipt, Work
from .errors import WorkQueueFull
from .outgoing import Outgoing
from .streams import WORK_WAITING_MAX


class MemoryQueue:
    """Every task that is not done, by the subject that it waits under."""

    def __init__(self, refuse_if_closed: Callable[[], None], waiting_max: int = WORK_WAITING_MAX) -> None:
        self._waiting_max = waiting_max
        self._refuse_if_closed = refuse_if_closed
        self._waiting: dict[str, deque[_Task]] = {}
        self._tasks: set[_Task] = set()
        self._sequences: dict[str, int] = {}
        self._changed = asyncio.Event()

    def give(self, event: Event, item: Outgoing, *, instead: bool = False, recorded: int | None = None) -> Receipt:
        """See `Bus.give`; `instead` of what there is of the task, in hand or not: see `Bus.hand_over`."""
        if (known := self._sequences.get(item.id)) is not None:
            return Receipt(known, duplicate=True)
        if sum(map(len, self._waiting.values())) >= self._waiting_max:
            raise WorkQueueFull(self._waiting_max)
        if instead:  # only now: what finds no room stays where it is
            for task in [task for task in self._tasks if task.event.id == event.id]:
                self.forget(task)
        self._sequences[item.id] = len(self._sequences) + 1
        task = _Task(event, item.subject, recorded)
        self._tasks.add(task)
        self._waiting.setdefault(item.subject, deque()).append(task)
        self.change()
        return Receipt(self._sequences[item.id], duplicate=False)

    def held(self, subject: str) -> list[str]:
        """See `Bus.tasks_held`."""
        return [task.event.subject for task in self._tasks if task.subject == subject]

    async def work(
        self, capability: str | None, agent_id: str | None, in_hand_max: int, attempts_max: int, ack_wait_seconds: float
    ) -> AsyncGenerator[Work, None]:
        """See `Bus.work`."""
        subjects = [] if capability is None else [work_subject(capability)]
        if agent_id is not None:
            subjects.append(work_subject(capability or "", agent_id))
        hands: set[MemoryWork] = set()
        while True:
            self._refuse_if_closed()
            if len(hands) < in_hand_max and (task := self._next(subjects)):
                yield MemoryWork(self, task, hands, attempts_max, ack_wait_seconds)
            else:
                await self._changed.wait()

    def wait_again(self, task: _Task) -> None:
        """Let the task be handed out again, before those that were never handed out."""
        self._waiting[task.subject].appendleft(task)
        self.change()

    def forget(self, task: _Task) -> None:
        """Never hand the task out again, even if whoever says so was too slow and another has it."""
        task.is_done = True
        self._tasks.discard(task)
        with contextlib.suppress(ValueError):
            self._waiting[task.subject].remove(task)

    def change(self) -> None:
        """Wake all who wait for work, or for a free hand."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _next(self, subjects: list[str]) -> _Task | None:
        return next((self._waiting[subject].popleft() for subject in subjects if self._waiting.get(subject)), None)


class _Task:
    """A task, and who had it last."""

    __slots__ = ("attempt", "event", "holder", "is_done", "recorded", "subject")

    def __init__(self, event: Event, subject: str, recorded: int | None) -> None:
        self.event = event
        self.recorded = recorded
        self.subject = subject
        self.attempt = 0
        self.is_done = False
        self.holder: MemoryWork | None = None


class MemoryWork:
    """A task in hand. See `Work`."""

    def __init__(
        self,
        queue: MemoryQueue,
        task: _Task,
        hands: set[MemoryWork],
        attempts_max: int,
        ack_wait_seconds: float,
    ) -> None:
        task.attempt += 1
        task.holder = self
        hands.add(self)
        self.event = task.event
        self.recorded = task.recorded
        self.attempt = task.attempt
        self.attempts_max = attempts_max
        self._queue = queue
        self._task = task
        self._hands = hands
        self._ack_wait_seconds = ack_wait_seconds
        self._timer = self._after(ack_wait_seconds)

    @property
    def exhausted(self) -> bool:
        """See `Work.exhausted`."""
        return self.attempt > self.attempts_max

    async def done(self) -> None:
        """See `Work.done`."""
        await asyncio.sleep(0)
        self._timer.cancel()
        self._queue.forget(self._task)
        self._put_down()

    async def again(self, delay_seconds: float = 0.0) -> None:
        """See `Work.again`."""
        await asyncio.sleep(0)
        self._timer.cancel()
        self._timer = self._after(delay_seconds)
        self._put_down()

    async def give_up(self) -> None:
        """See `Work.give_up`."""
        await self.done()

    def drop(self) -> None:
        """See `Work.drop`."""
        self._put_down()

    async def busy(self) -> None:
        """See `Work.busy`."""
        if self._task.holder is self and not self._timer.cancelled():
            self._timer.cancel()
            self._timer = self._after(self._ack_wait_seconds)

    def _after(self, delay_seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_seconds, self._lapse)

    def _lapse(self) -> None:
        if self._task.holder is self and not self._task.is_done:
            self._task.holder = None
            self._queue.wait_again(self._task)

    def _put_down(self) -> None:
        self._hands.discard(self)
        self._queue.change()
