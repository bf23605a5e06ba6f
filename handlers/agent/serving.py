"""An agent at work on a bus: it takes tasks, keeps them, beats its heart, and ends without dropping any."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable
from typing import Any, Self

from ...bus import Bus, BusError, Service, Work
from ...schemas import RookeryError
from ..assignments import stop_subject
from . import presence
from .attempt import CANCEL_SECONDS, Attempt
from .ending import Life
from .errors import HandlersStuck
from .membership import Membership
from .profile import Profile
from .threads import Threads

ACK_WAIT_SECONDS = 30.0
BUSY_SECONDS = ACK_WAIT_SECONDS / 3
# How long an agent that has stopped waiting for its tasks takes to hand them back and say goodbye.
FAREWELL_SECONDS = 5.0
# How long it tries to where the bus is away: what isn't handed back goes to others after the ack wait.
AWAY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Serving:
    """An agent at work, as `async with`. At the end it drains: takes no more, and finishes what it has in hand.

    Without a `goodbye` it just falls silent then, as who stands in for an agent that can't be reached any more.
    """

    def __init__(self, profile: Profile, bus: Bus, *, goodbye: bool = True) -> None:
        self._profile = profile
        self._bus = bus
        self._goodbye = goodbye
        self._room = asyncio.Semaphore(profile.concurrency)
        self._threads = Threads(profile.concurrency, self._stuck)
        self._in_hand: dict[asyncio.Task[None], Work] = {}
        self._under_way: dict[Attempt, None] = {}
        self._takers: list[asyncio.Task[None]] = []
        self._stand_ins: dict[str, asyncio.Task[None]] = {}
        self._upkeep: list[asyncio.Task[None]] = []
        self._presence: Service | None = None
        self._stops: Service | None = None
        self._membership = Membership(
            bus, profile, try_out=self._try_out, in_hand=lambda: self.in_hand, on_end=self._fail
        )
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def in_hand(self) -> int:
        """How many tasks the agent is at work on."""
        return len(self._in_hand)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.drain()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    async def until_it_fails(self) -> None:
        """Wait, and raise what makes it impossible for the agent to go on."""
        await asyncio.shield(self._failed)

    async def drain(self) -> None:
        """Take no more, finish what is in hand within `drain_seconds`, hand back the rest, and say goodbye.

        Cancelled meanwhile, it hands back at once what is in hand.
        """
        takers = [*self._takers, *self._stand_ins.values()]
        for taker in takers:
            taker.cancel()
        try:
            await _ended(takers)
            await self._finish()
        finally:
            await self._hand_back()
            for task in self._upkeep:
                task.cancel()
            await _ended([*takers, *self._upkeep])
            await self._let_go_of_the_name()
            await self._say_goodbye()

    def take_up(self, capability: str) -> None:
        """Take, until told to `leave_off`, what waits for anybody with the capability: for one that doesn't pull."""
        if capability not in self._stand_ins:
            self._stand_ins[capability] = self._keep_up(self._take(capability, None), f"stand in at {capability}")

    async def leave_off(self, capability: str) -> None:
        """Leave to others what waits for anybody with the capability. What is in hand is finished."""
        if (taker := self._stand_ins.pop(capability, None)) is not None:
            taker.cancel()
            await _ended([taker])

    async def _start(self) -> None:
        profile = self._profile
        self._presence = await presence.claim(self._bus, profile.agent_id)
        await self._membership.join()
        self._stops = await self._bus.serve(stop_subject(profile.agent_id), self._stop, queue="agent")
        for index, capability in enumerate(profile.capabilities if profile.pulls else [None]):
            # What is given to the agent by name comes with the first capability, whichever it asks for.
            agent_id = None if index else profile.agent_id
            self._takers.append(self._keep_up(self._take(capability, agent_id), f"take {capability}"))
        self._upkeep.append(self._keep_up(self._beat(), "heartbeat"))
        self._upkeep.append(self._keep_up(self._keep(), "keep tasks"))
        logger.info("agent %s is at work: %s", profile.agent_id, ", ".join(profile.capabilities))

    # Taking

    async def _take(self, capability: str | None, agent_id: str | None) -> None:
        profile = self._profile
        works = self._bus.work(
            capability,
            agent_id=agent_id,
            in_hand_max=profile.concurrency if capability is None else profile.share_of(capability),
            attempts_max=profile.attempts_max,
            ack_wait_seconds=ACK_WAIT_SECONDS,
        )
        async with contextlib.aclosing(works):
            async for work in works:
                task = asyncio.create_task(self._carry_out(work), name=f"{capability or 'named'} {work.event.subject}")
                self._in_hand[task] = work
                task.add_done_callback(self._in_hand.pop)

    async def _carry_out(self, work: Work) -> None:
        """One attempt, whatever happens in it; what can't be told goes back to the bus."""
        try:
            async with self._room:
                life = Life(self._membership, self._membership.incarnation)
                attempt = Attempt(work, self._profile, self._bus, self._threads, life)
                self._under_way[attempt] = None
                try:
                    await attempt.carry_out()
                finally:
                    del self._under_way[attempt]
        except asyncio.CancelledError:  # before it began, or while the bus is away
            await _give_back(work, 0)
            raise
        except Exception:
            logger.exception("task %s could not be carried out, and is given back", work.event.subject)
            await _give_back(work, self._profile.retry_seconds)

    async def _stop(self, payload: bytes) -> bytes:
        """Somebody says that an assignment is over, or another's."""
        for attempt in list(self._under_way):
            if attempt.assignment_id.encode() == payload:
                await attempt.look_again()
        return b""

    # Upkeep

    async def _beat(self) -> None:
        """Say at every interval that the agent is alive; a beat that can't be sent is left out."""
        profile = self._profile
        while True:
            await asyncio.sleep(profile.heartbeat_seconds)
            try:
                await self._membership.beat()
            except BusError as error:
                logger.warning("agent %s could not say that it is alive: %s", profile.agent_id, error)

    async def _try_out(self) -> None:
        """Do what a task would need, and nothing else: a place, and a thread where handlers run in threads."""
        if self._room.locked():  # as much is in hand as may be
            return
        async with self._room:
            if not all(handler.is_async for handler in self._profile.handlers.values()):
                await self._threads.run(lambda _: None, None, f"probe of {self._profile.agent_id}")
            await self._profile.try_out()

    async def _keep(self) -> None:
        """Tell the bus that the tasks in hand are being worked on."""
        while True:
            await asyncio.sleep(BUSY_SECONDS)
            for work in list(self._in_hand.values()):
                with contextlib.suppress(BusError):
                    await work.busy()

    def _keep_up(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"agent {self._profile.agent_id}: {name}")
        task.add_done_callback(self._noticed)
        return task

    def _noticed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _stuck(self) -> None:
        self._fail(HandlersStuck(self._profile.agent_id, self._profile.concurrency))

    def _fail(self, error: BaseException) -> None:
        logger.error("agent %s can't go on: %s", self._profile.agent_id, error)
        if not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # it counts as seen: who embeds the agent need not wait for it

    # The end

    async def _let_go_of_the_name(self) -> None:
        """Only now may the next of this name start: it would fence what this one has not ended yet."""
        services, self._presence, self._stops = (self._presence, self._stops), None, None
        for service in services:
            if service is not None:
                await service.close()

    async def _finish(self) -> None:
        if not self._in_hand:
            return
        logger.info("agent %s finishes %d tasks", self._profile.agent_id, self.in_hand)
        await asyncio.wait(list(self._in_hand), timeout=self._profile.drain_seconds)

    async def _hand_back(self) -> None:
        late = list(self._in_hand)
        if not late:
            return
        logger.warning("agent %s hands back %d tasks", self._profile.agent_id, len(late))
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=CANCEL_SECONDS + FAREWELL_SECONDS if self._bus.connected else AWAY_SECONDS)
        for task in late:
            task.cancel()
        await _ended(late)

    async def _say_goodbye(self) -> None:
        await self._membership.end_answering()
        if not self._goodbye:
            return
        try:
            async with asyncio.timeout(FAREWELL_SECONDS if self._bus.connected else AWAY_SECONDS):
                await self._membership.leave("stopped")
        except (TimeoutError, RookeryError) as error:
            reason = str(error) or "the bus is away"
            logger.warning("agent %s left without a goodbye: %s", self._profile.agent_id, reason)


async def _give_back(work: Work, delay_seconds: float) -> None:
    """Say that another may have it, where that can be said; the ack wait has the same effect."""
    with contextlib.suppress(BusError, TimeoutError):
        async with asyncio.timeout(AWAY_SECONDS):
            await work.again(delay_seconds)


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait until they have ended. Being cancelled meanwhile doesn't disturb them: they are tidying up."""
    if tasks := list(tasks):
        await asyncio.wait(tasks)
