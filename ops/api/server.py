"""The HTTP server: uvicorn on a socket that was bound before anything else was started."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from ...schemas import RookeryError
from ..nats_server import PortInUse
from ..node import Node
from .app import create_app

CLOSE_SECONDS_MAX = 5
CONNECTIONS_MAX = 1_000
# Longer than clients keep a connection that nobody uses (httpx 5 s, aiohttp 15): who closes first must be the client,
# or else a request may meet the closing of its connection, and fail.
KEEP_ALIVE_SECONDS = 20
START_POLL_SECONDS = 0.005
WEBSOCKET_BYTES_MAX = 64 * 1024  # of what a client says over a WebSocket: there is nothing to say


class AddressUnusable(RookeryError):
    """The API can't listen where it was told to."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        self.reason = reason
        super().__init__(f"can't listen on {host}, port {port}: {reason}; choose others with --host and --port")


def bind(host: str, port: int) -> socket.socket:
    """The socket that the API will listen on. Raises `PortInUse` or `AddressUnusable`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it, every answer takes 40 ms longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(port, "--port") from None
        raise AddressUnusable(host, port, error.strerror or str(error)) from None
    return listener


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # the node decides what a signal means


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether uvicorn logs something else than a WebSocket's refusal, which it takes for an answer forgotten."""
    return "without completing handshake" not in record.getMessage()


def config_of(app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves the API."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=CLOSE_SECONDS_MAX,
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_BYTES_MAX,
        ws_per_message_deflate=False,  # it costs more than all else that a reader costs
    )


@asynccontextmanager
async def serving(node: Node, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `node` on `listener`; on the way out, let requests under way finish within a bound."""
    app = create_app(node)
    logging.getLogger("uvicorn.error").addFilter(_is_no_refusal)
    server = _Server(config_of(app))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    while not server.started and not task.done():
        await asyncio.sleep(START_POLL_SECONDS)  # uvicorn has no event to wait for
    try:
        yield
    finally:
        node.end_following()
        node.archiver.close()
        server.should_exit = True
        await task
        await app.state.mcp.close()
