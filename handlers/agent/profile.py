"""What an agent is: its name, what it can do, and the bounds that it keeps to."""

from __future__ import annotations

import inspect
import os
import re
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ...schemas import AgentRegistered, Event, EventData, InvalidEvent, check, encode
from .errors import InvalidAgent, UnknownCapability

CONCURRENCY_MAX = 1_000
CAPABILITIES_MAX = 100
ATTEMPTS_MAX = 20

_AGENT_ID = re.compile("[!-.0-~]{1,128}")


class Handler(NamedTuple):
    """The function that does tasks of one capability. What isn't a coroutine function runs in a thread."""

    capability: str
    function: Callable[[Any], Any]
    timeout_seconds: float | None

    @property
    def is_async(self) -> bool:
        """Whether it is awaited on the event loop."""
        called = getattr(self.function, "__call__", None)  # noqa: B004 # an object's own, which may be a coroutine's
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(called)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an agent that doesn't change while it works."""

    agent_id: str
    capabilities: tuple[str, ...]
    handlers: dict[str, Handler]
    concurrency: int
    heartbeat_seconds: float
    drain_seconds: float
    attempts_max: int
    retry_seconds: float
    role: str | None
    version: str | None
    assignments_max: int | None = None
    pulls: bool = True

    @property
    def source(self) -> str:
        """Whom its events name as their source."""
        return f"/agents/{self.agent_id}"

    def share_of(self, capability: str) -> int:
        """How many tasks of a capability may be in hand: its part of all, lest it holds what others could do.

        At least one, so where there are more capabilities than places, a task in hand may wait for a place.
        """
        index, count = self.capabilities.index(capability), len(self.capabilities)
        return max(1, (self.concurrency + index) // count)

    def registration(self) -> AgentRegistered:
        """What the agent tells of itself. `metadata` says where it runs."""
        return AgentRegistered(
            name=self.agent_id,
            role=self.role,
            capabilities=list(self.capabilities),
            transport="nats",
            version=self.version,
            assignments_max=self.assignments_max,
            heartbeat_interval_seconds=self.heartbeat_seconds,
            metadata={"process": os.getpid(), "host": socket.gethostname()},
        )

    async def try_out(self) -> None:
        """Do what a task would need beside a place, for a probe. Raises what keeps tasks from being done."""

    def check(self) -> None:
        """Raise `InvalidAgent` for names that no event can carry."""
        try:
            check(encode(self.says(self.registration(), subject=self.agent_id)))
        except InvalidEvent as error:
            raise InvalidAgent(f"agent {self.agent_id!r}: {error}") from None

    def says(self, data: EventData, **envelope: Any) -> Event:
        """An event of this agent's."""
        return Event.of(data, source=self.source, **envelope)

    def handler(self, capability: str) -> Handler:
        """Raises `UnknownCapability`."""
        if capability not in self.handlers:
            raise UnknownCapability(self.agent_id, capability, self.handlers)
        return self.handlers[capability]


def check_agent_id(agent_id: str) -> str:
    """The id, if events can name it as their source."""
    if not _AGENT_ID.fullmatch(agent_id):
        raise InvalidAgent(f"an agent's name is 1 to 128 visible ASCII characters without `/`, not {agent_id!r}")
    return agent_id


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Refuse a bound that is out of bounds."""
    if not least <= value <= most:
        raise InvalidAgent(f"{name} is from {least:g} to {most:g}, not {value!r}")
