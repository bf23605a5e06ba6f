"""The bridge: an agent that is no NATS client is at work on the bus, by somebody who invokes it in its name.

The bridge is an agent of the kit, and so has its attempts, retries, events and fences. It is there only while the
endpoint answers: what is dead shall look dead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...bus import Bus, BusError
from ...schemas import AgentRegistered, RookeryError
from ..agent import GiveUp, NameTaken, Serving, Task
from ..agent.profile import CAPABILITIES_MAX, Handler, Profile, check_agent_id, check_range
from ..fleet.registry import HEARTBEAT_SECONDS_MIN
from .calls import Call, Endpoint, endpoint_of
from .errors import TimedOut, TransportError
from .invoking import Transports

HEARTBEAT_SECONDS = 10.0
ASSIGNMENTS_MAX = 5
ATTEMPTS_MAX = 3
RETRY_SECONDS = 1.0
DRAIN_SECONDS_MAX = 5.0  # a node that is stopped waits for it
# Of a task that says nothing itself.
INVOKE_SECONDS_MAX = 3_600.0
CHECK_SECONDS_MAX = 5.0

logger = logging.getLogger(__name__)


class Bridged(Profile, frozen=True, kw_only=True):
    """The profile of a bridged agent: it registers as what it is, and not as who is at work for it."""

    told: AgentRegistered
    reach: Callable[[], Awaitable[None]]

    async def try_out(self) -> None:
        """Ask the endpoint: what is dead shall not answer probes by its bridge."""
        await self.reach()

    def registration(self) -> AgentRegistered:
        """What the agent told of itself, with the interval at which the bridge speaks for it."""
        return msgspec.structs.replace(self.told, heartbeat_interval_seconds=self.heartbeat_seconds)


class Bridge:
    """One agent, by its registration. `state` and `reason` say how it is reached.

    Raises `InvalidEndpoint` or `InvalidAgent`.
    """

    def __init__(self, agent_id: str, told: AgentRegistered, transports: Transports) -> None:
        self.agent_id = check_agent_id(agent_id)
        self.told = told
        self.endpoint = endpoint_of(agent_id, told)
        self.is_reached = False
        self.reason = "not asked yet"
        self._transports = transports
        self._profile = self._made_profile()
        self._profile.check()

    def is_of(self, told: AgentRegistered) -> bool:
        """Whether this is the bridge of what was told of the agent; what the bridge told of it itself is the same."""
        return told in (self.told, self._profile.registration())

    async def run(self, bus: Bus) -> None:
        """Be at work in the agent's name whenever it can be reached, until it is struck off or registered otherwise.

        Raises `AgentGone`, or `NameTaken`: whoever started the bridge knows what holds now.
        """
        try:
            while True:
                if await self._answers(in_hand=0):
                    await self._serve(bus)
                await asyncio.sleep(self._profile.heartbeat_seconds)
        except RookeryError as error:
            self._note(str(error))
            raise
        finally:
            self.is_reached = False
            await self._transports.leave(self.endpoint)

    async def _serve(self, bus: Bus) -> None:
        """Until it can't be reached any more. Where another is at work under its name, that one has its turn."""
        async with AsyncExitStack() as stack:
            try:
                serving = await stack.enter_async_context(Serving(self._profile, bus, goodbye=False))
            except (BusError, NameTaken) as error:
                self._note(str(error))
                return
            failing = asyncio.create_task(serving.until_it_fails(), name=f"bridge {self.agent_id} fails")
            watching = asyncio.create_task(self._while_it_answers(serving), name=f"bridge {self.agent_id} watches")
            try:
                await asyncio.wait([failing, watching], return_when=asyncio.FIRST_COMPLETED)
                if failing.done():
                    await failing
            finally:
                for task in (failing, watching):
                    task.cancel()
                await asyncio.wait([failing, watching])

    async def _while_it_answers(self, serving: Serving) -> None:
        while await self._answers(serving.in_hand):
            await asyncio.sleep(self._profile.heartbeat_seconds)

    async def _answers(self, in_hand: int) -> bool:
        """Whether the agent can be reached. One that is at work may be too busy to say so, until its task times out."""
        try:
            await self._check()
        except TransportError as error:
            if isinstance(error, TimedOut) and in_hand:
                return True
            self._note(str(error))
            return False
        self.is_reached, self.reason = True, ""
        return True

    async def _check(self) -> None:
        seconds = min(CHECK_SECONDS_MAX, self._profile.heartbeat_seconds)
        await self._transports.check(self.endpoint, timeout_seconds=seconds)

    def _note(self, reason: str) -> None:
        if self.reason != reason:
            logger.warning("agent %s is not bridged: %s", self.agent_id, reason)
        self.is_reached, self.reason = False, reason

    async def _invoke(self, task: Task) -> Any:
        """What the kit calls as the agent's handler."""
        call = Call(
            id=task.id,
            capability=task.kind,
            input=task.input,
            agent_id=self.agent_id,
            attempt=task.attempt,
            traceparent=task.traceparent,
        )
        left = INVOKE_SECONDS_MAX
        if task.deadline is not None:
            left = max(0.001, (task.deadline - datetime.now(UTC)).total_seconds())
        try:
            return await self._transports.invoke(self.endpoint, call, timeout_seconds=left)
        except TransportError as error:
            if error.is_final:
                raise GiveUp(str(error)) from None
            raise

    def _made_profile(self) -> Bridged:
        capabilities = tuple(dict.fromkeys(self.told.capabilities))
        check_range("the number of capabilities", len(capabilities), 1, CAPABILITIES_MAX)
        # The registry refuses shorter ones, but what is published as an event says what it likes.
        heartbeat_seconds = max(self.told.heartbeat_interval_seconds or HEARTBEAT_SECONDS, HEARTBEAT_SECONDS_MIN)
        return Bridged(
            agent_id=self.agent_id,
            told=self.told,
            reach=self._check,
            capabilities=capabilities,
            handlers={name: Handler(name, self._invoke, None) for name in capabilities},
            concurrency=self.told.assignments_max or ASSIGNMENTS_MAX,
            heartbeat_seconds=heartbeat_seconds,
            drain_seconds=min(DRAIN_SECONDS_MAX, heartbeat_seconds),
            attempts_max=ATTEMPTS_MAX,
            retry_seconds=RETRY_SECONDS,
            role=self.told.role,
            version=self.told.version,
        )


def registration(
    endpoint: Endpoint, capabilities: Sequence[str], *, name: str, role: str | None = None
) -> AgentRegistered:
    """What an agent says of itself that is reached at this endpoint."""
    return AgentRegistered(
        name=name,
        role=role,
        capabilities=list(capabilities),
        transport=endpoint.transport,
        endpoint=endpoint.address,
        heartbeat_interval_seconds=HEARTBEAT_SECONDS,
    )
