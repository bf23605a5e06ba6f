"""The HTTP server's socket."""

from __future__ import annotations

import asyncio
import socket

import httpx
from fastapi import FastAPI
from rookery.ops.api.server import bind, config_of


async def test_answers_leave_at_once_instead_of_waiting_to_fill_a_packet() -> None:
    no_delay: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def look(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted: socket.socket = writer.get_extra_info("socket")
        no_delay.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bind("127.0.0.1", 0)
    async with await asyncio.start_server(look, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await no_delay
        writer.close()
        await writer.wait_closed()


def test_a_client_lets_go_of_an_idle_connection_before_the_server_does() -> None:
    """Where both do at once, a request meets the closing: of 2,000 after almost five seconds, 42 failed."""
    kept_seconds = httpx.Limits().keepalive_expiry
    assert kept_seconds is not None
    assert kept_seconds < config_of(FastAPI()).timeout_keep_alive
