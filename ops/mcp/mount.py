"""MCP over HTTP: a node's own API serves it at `/mcp`, statelessly, from the first request on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import httpx
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from .node_api import NodeApi
from .server import server_of

REQUEST_BYTES_MAX = 2 * 1024 * 1024
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 # what a host may be said to be, not what is listened on


class McpMount:
    """The SDK's HTTP server, which lives in a task of its own, asking the application that it is mounted on.

    Each request stands for itself: there is no session to be kept, to run out or to be taken over.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._api = NodeApi(httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost"))
        self._manager = StreamableHTTPSessionManager(
            server_of(self._api),
            json_response=True,
            stateless=True,
            security_settings=_security(host),
            max_request_body_size=REQUEST_BYTES_MAX,
        )
        self._stop = asyncio.Event()
        self._ready = asyncio.Event()
        self._running = asyncio.create_task(self._run(), name="mcp")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._ready.wait()
        await self._manager.handle_request(scope, receive, send)

    async def close(self) -> None:
        """Answer no more."""
        self._stop.set()
        with suppress(Exception):
            await self._running

    async def _run(self) -> None:
        async with self._api, self._manager.run():
            self._ready.set()
            await self._stop.wait()


def _security(host: str) -> TransportSecuritySettings:
    """Whom a browser may come from: nobody else's page, and no name that somebody made point to here."""
    if host in EVERYWHERE:  # it has names that only its network knows
        return TransportSecuritySettings(enable_dns_rebinding_protection=False)
    names = ["127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host]
    allowed = [each for name in names for each in (name, f"{name}:*")]
    origins = [f"{scheme}://{each}" for scheme in ("http", "https") for each in allowed]
    return TransportSecuritySettings(allowed_hosts=allowed, allowed_origins=origins)
