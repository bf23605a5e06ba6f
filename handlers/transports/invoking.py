"""Invoking agents, whatever transport they have: one call, in bounded time, counted, over ways that are kept open."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from importlib import import_module
from types import TracebackType
from typing import Any, Self

import msgspec

from ...bus import Bus
from .a2a import A2aTransport
from .calls import Call, Endpoint, Transport
from .errors import NotInstalled, TimedOut, TooManyOpen, TransportError
from .folder import FolderTransport
from .nats import NatsTransport
from .rest import RestTransport
from .rpc import RpcTransport

# Ways that are kept open: a program, a session or a pool of connections each. The one that rested longest makes room.
OPEN_MAX = 1_000
MCP_MODULE = ".mcp_servers"
TIMEOUT_SECONDS = 60.0
CHECK_SECONDS = 5.0


class Transports:
    """The ways to agents that are open, as `async with`. At the end all are closed, and no process is left."""

    def __init__(self, bus: Bus | None = None) -> None:
        self._bus = bus
        self._open: dict[Endpoint, _Way] = {}
        self._opening = asyncio.Lock()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def invoke(self, endpoint: Endpoint, call: Call, *, timeout_seconds: float = TIMEOUT_SECONDS) -> Any:
        """What the agent at the endpoint makes of the task. Cancelling it lets go of the call, wherever it is.

        Raises `TransportError`: `Unreachable`, `TimedOut`, `Lost`, `Refused`, `AgentFailed`, `BadAnswer`, …
        """
        call = msgspec.structs.replace(call, timeout_seconds=call.timeout_seconds or timeout_seconds)
        began, outcome = time.monotonic(), "cancelled"
        try:
            result = await self._within(timeout_seconds, endpoint, lambda way: way.invoke(call))
            outcome = "ok"
            return result
        except TransportError as error:
            outcome = error.outcome
            raise
        finally:
            self.calls[endpoint.transport, outcome] += 1
            self.seconds[endpoint.transport] += time.monotonic() - began

    async def check(self, endpoint: Endpoint, *, timeout_seconds: float = CHECK_SECONDS) -> None:
        """Whether the agent could be invoked now. Raises `TransportError`."""
        await self._within(timeout_seconds, endpoint, lambda way: way.check())

    async def leave(self, endpoint: Endpoint) -> None:
        """Let go of the way to an agent that is invoked no more."""
        if way := self._open.pop(endpoint, None):
            await way.transport.close()

    async def close(self) -> None:
        """Let go of all; what is under way is lost."""
        ways = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(way.transport.close() for way in ways))

    async def _within(self, timeout_seconds: float, endpoint: Endpoint, asked: Any) -> Any:
        try:
            async with asyncio.timeout(timeout_seconds):
                way = await self._way_to(endpoint)
                with way:
                    return await asked(way.transport)
        except TimeoutError:
            raise TimedOut(endpoint, timeout_seconds) from None

    async def _way_to(self, endpoint: Endpoint) -> _Way:
        async with self._opening:
            if (way := self._open.pop(endpoint, None)) is None:
                if len(self._open) >= OPEN_MAX:
                    await self._make_room(endpoint)
                way = _Way(await self._made(endpoint))
            self._open[endpoint] = way  # the last that was used stands last
            return way

    async def _make_room(self, endpoint: Endpoint) -> None:
        resting = next((one for one, way in self._open.items() if not way.in_use), None)
        if resting is None:
            raise TooManyOpen(endpoint, f"waits: {OPEN_MAX:,} agents are being invoked, which is as many as may be")
        await self.leave(resting)

    async def _made(self, endpoint: Endpoint) -> Transport:
        match endpoint.transport:
            case "rest":
                return RestTransport(endpoint)
            case "a2a":
                return A2aTransport(endpoint)
            case "rpc":
                return RpcTransport(endpoint)
            case "file":
                return FolderTransport(endpoint)
            case "nats" if self._bus is not None:
                return NatsTransport(endpoint, self._bus)
            case "nats":
                raise NotInstalled(endpoint, "can't be asked without a bus: give `Transports` one")
            case "mcp":
                return await _mcp(endpoint)


class _Way:
    """A transport, and how many use it right now."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.in_use = 0

    def __enter__(self) -> None:
        self.in_use += 1

    def __exit__(self, *_: object) -> None:
        self.in_use -= 1


async def _mcp(endpoint: Endpoint) -> Transport:
    """The SDK takes a second to import, and is installed only where somebody wants it."""
    try:
        module = await asyncio.to_thread(import_module, MCP_MODULE, __package__)
    except ImportError as error:
        reason = f"needs the MCP SDK ({error}): pip install 'rookery[mcp]'"
        raise NotInstalled(endpoint, reason) from None
    transport: Transport = module.McpTransport(endpoint)
    return transport
