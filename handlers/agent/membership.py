"""Membership: an agent registers, beats, answers probes, and registers anew when it learns that it was declared dead.

All of it needs a bus, and no node: what the registry decides, it decides wherever it is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from ...bus import Bus, BusError, Service
from ..fleet import AGENTS, AgentGone, DuplicateName, Register, Unregister, refuse_fenced
from ..fleet.beats import Beat, beat_subject, fence_subject, probe_subject
from ..reactions import Command, CommandData, Decided, Decider
from .errors import NameTaken
from .profile import Profile
from .telling import insisting

logger = logging.getLogger(__name__)


class Membership:
    """One agent's place in the colony. `try_out` does what a task would, and so shows that tasks get done here.

    `incarnation` is which of the agent's lives this is, and `sequence` the last of its events, as far as is known
    here. `on_end` is told why the agent can't go on.
    """

    def __init__(
        self,
        bus: Bus,
        profile: Profile,
        *,
        try_out: Callable[[], Awaitable[None]],
        in_hand: Callable[[], int],
        on_end: Callable[[BaseException], None],
    ) -> None:
        self.incarnation = 0
        self.sequence = 0
        self.is_member = False
        self._bus = bus
        self._profile = profile
        self._try_out = try_out
        self._in_hand = in_hand
        self._on_end = on_end
        self._decider = Decider(bus, AGENTS, source=profile.source)
        self._services: list[Service] = []
        self._looking: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Register, and answer for the agent from now on. Whoever had claimed the name is no longer there."""
        self.is_member = True
        await self._register(again=True)
        agent_id = self._profile.agent_id
        self._services.append(await self._bus.serve(probe_subject(agent_id), self._probed, queue="agent"))
        self._services.append(await self._bus.listen(fence_subject(agent_id), self._noticed))

    async def beat(self) -> None:
        """Say that the agent is alive. Raises `BusUnavailable`."""
        await self._bus.send(beat_subject(self._profile.agent_id), self._beat())

    async def look(self) -> None:
        """See how the agent stands. Raises `Fenced` where this incarnation can commit nothing any more."""
        record, sequence = await self._decider.look(self._profile.agent_id)
        refuse_fenced(self._profile.agent_id, record, self.incarnation)
        self.sequence = sequence

    def look_again(self) -> None:
        """Something says that this incarnation is dead: look, and register anew if it is."""
        if self._looking is None and self.is_member:
            self._looking = asyncio.create_task(self._renew(), name=f"agent {self._profile.agent_id}: renew")
            self._looking.add_done_callback(self._looked)

    async def until_sure(self) -> None:
        """Wait until a look that is under way has shown how the agent stands."""
        if self._looking is not None:
            await asyncio.wait([self._looking])

    async def end_answering(self) -> None:
        """Answer no more probes."""
        services, self._services = self._services, []
        for service in services:
            with suppress(BusError):
                await service.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def leave(self, reason: str) -> None:
        """Say goodbye, once. Raises as a decider does."""
        if not self.is_member:
            return
        self.is_member = False
        if self.incarnation:
            await self._handle(Unregister(reason=reason, incarnation=self.incarnation))

    async def _register(self, *, again: bool) -> None:
        told = msgspec.structs.asdict(self._profile.registration())
        told.pop("incarnation")
        command = self._command(Register(**told, again=again))
        decided = await insisting(lambda: self._decider.handle(command))
        self.incarnation = decided.events[0].payload().incarnation  # type: ignore[attr-defined]
        self.sequence = decided.sequence

    async def _renew(self) -> None:
        agent_id = self._profile.agent_id
        record, sequence = await self._decider.look(agent_id)
        if record.incarnation == self.incarnation and record.state in ("alive", "suspect"):
            self.sequence = sequence
            return
        if record.state == "unregistered" and record.incarnation == self.incarnation:
            raise AgentGone(agent_id, record.state)  # somebody wants it to be gone
        try:
            await self._register(again=False)
        except DuplicateName:
            raise NameTaken(agent_id, "it took this one's place while this one was not heard of") from None
        logger.warning("agent %s was declared dead, and has registered anew", agent_id)

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, BusError):
            logger.warning("agent %s could not look how it stands: %s", self._profile.agent_id, error)
        else:
            self._on_end(error)

    def _noticed(self, _: str, __: bytes) -> None:
        self.look_again()

    async def _probed(self, _: bytes) -> bytes:
        await self._try_out()
        return self._beat()

    def _beat(self) -> bytes:
        beat = Beat(time=datetime.now(UTC), incarnation=self.incarnation or None, active_assignments=self._in_hand())
        return msgspec.json.encode(beat)

    async def _handle(self, data: CommandData) -> Decided:
        return await self._decider.handle(self._command(data))

    def _command(self, data: CommandData) -> Command:
        return Command.of(data, subject=self._profile.agent_id, source=self._profile.source)
