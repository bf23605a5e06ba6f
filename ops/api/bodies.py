"""Requests' bodies: read within bounds of size, number and time, and cut into events."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import islice

import msgspec
from fastapi import Request

from ...schemas import MalformedEvent, RookeryError

NDJSON = "application/x-ndjson"
NDJSON_ALIASES = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
BATCH = "application/cloudevents-batch+json"
REQUEST_BYTES_MAX = 64 * 1024 * 1024
REQUEST_EVENTS_MAX = 10_000
COMMAS_UNSORTED_MAX = 1_000_000
REQUESTS_BYTES_MAX = 4 * REQUEST_BYTES_MAX
BODY_SECONDS_MAX = 60.0
# Shorter than a body may take: those whose bodies don't come don't keep all others waiting without a word.
ROOM_SECONDS_MAX = 30.0

# A string may lack its end: what then follows is no token, either, and is looked at once.
_TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


class BodyTooLarge(RookeryError):
    """A request brings more than one request may."""

    def __init__(self, limit: int, unit: str) -> None:
        self.limit = limit
        self.unit = unit
        super().__init__(f"a request may bring {limit:,} {unit}, and this one brings more; send several")


class BodyTooSlow(RookeryError):
    """A request's body did not arrive in time."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(
            f"{size_bytes:,} bytes arrived in {BODY_SECONDS_MAX:g} s and the body was not complete; send smaller ones"
        )


class NoRoom(RookeryError):
    """The bodies of other requests take up all the memory that there is for them, and did so for long."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(
            f"other requests' bodies left no room for {size_bytes:,} bytes in {ROOM_SECONDS_MAX:g} s, and nothing of "
            "this one was taken; send it again later, with its Content-Length, or else it needs room for the largest"
        )


class BodyPacked(RookeryError):
    """A request's body is compressed, and its route does not unpack it."""

    def __init__(self, encoding: str) -> None:
        self.encoding = encoding
        super().__init__(f"Content-Encoding is {encoding!r}, and this takes bodies as they are; send it uncompressed")


class Room:
    """Room in memory for the bodies of all requests together. Whoever does not fit waits, first come, first served."""

    def __init__(self, bytes_max: int = REQUESTS_BYTES_MAX) -> None:
        self._free_bytes = bytes_max
        self._line = asyncio.Lock()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def for_body(self, request: Request, *, bytes_max: int = REQUEST_BYTES_MAX) -> AsyncIterator[None]:
        """Hold room for the request's body: for as much as it announces, or else for `bytes_max`, which it may bring.

        Raises `NoRoom`.
        """
        announced = request.headers.get("content-length", "")
        size_bytes = min(int(announced), bytes_max) if announced.isdecimal() else bytes_max
        await self._take(size_bytes)
        try:
            yield
        finally:
            self._free_bytes += size_bytes
            self._freed.set()

    async def _take(self, size_bytes: int) -> None:
        try:
            async with asyncio.timeout(ROOM_SECONDS_MAX), self._line:
                while self._free_bytes < size_bytes:
                    self._freed.clear()
                    await self._freed.wait()
                self._free_bytes -= size_bytes
        except TimeoutError:
            raise NoRoom(size_bytes) from None


async def read_body(request: Request, *, bytes_max: int = REQUEST_BYTES_MAX, may_be_packed: bool = False) -> bytes:
    """The request's body. Raises `BodyTooLarge`, `BodyTooSlow`, or, where it may not be so, `BodyPacked`.

    What is too large is read to its end and thrown away: a client that is still sending would not see the answer.
    """
    body = bytearray()
    size_bytes = 0
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.stream():
                size_bytes += len(chunk)
                if size_bytes <= bytes_max:
                    body += chunk
    except TimeoutError:
        raise BodyTooSlow(size_bytes) from None
    if size_bytes > bytes_max:
        raise BodyTooLarge(bytes_max, "bytes")
    encoding = request.headers.get("content-encoding", "")
    if encoding.strip().lower() not in ("", "identity") and not may_be_packed:
        raise BodyPacked(encoding)
    return bytes(body)


def events_in(body: bytes, content_type: str) -> list[bytes]:
    """The payloads in a body, each on one line. Raises `MalformedEvent` or `BodyTooLarge`."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in NDJSON_ALIASES:
        lines = (line.strip() for line in BytesIO(body))
        payloads = list(islice((line for line in lines if line), REQUEST_EVENTS_MAX + 1))
    else:
        payloads = _in_json(body.strip(), is_batch=media_type == BATCH)
    if len(payloads) > REQUEST_EVENTS_MAX:
        raise BodyTooLarge(REQUEST_EVENTS_MAX, "events")
    return payloads


def _in_json(body: bytes, *, is_batch: bool) -> list[bytes]:
    if not body:
        raise MalformedEvent("the body is empty; send a CloudEvent, an array of them, or one a line as " + NDJSON)
    try:
        if is_batch or body.startswith(b"["):
            _refuse_multitudes(body)
            return [_on_one_line(bytes(one)) for one in msgspec.json.decode(body, type=list[msgspec.Raw])]
        return [_on_one_line(body)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None


def _refuse_multitudes(body: bytes) -> None:
    """Refuse an array of too many elements before it is taken apart: one is two bytes there and a hundred here."""
    if body.count(b",") <= COMMAS_UNSORTED_MAX:
        return
    depth, left = 0, REQUEST_EVENTS_MAX
    for found in _TOKENS.finditer(body):
        token = found[0]
        if token in (b"[", b"{"):
            depth += 1
        elif token in (b"]", b"}"):
            depth -= 1
        elif token == b"," and depth == 1:
            left -= 1
            if not left:
                raise BodyTooLarge(REQUEST_EVENTS_MAX, "events")


def _on_one_line(payload: bytes) -> bytes:
    return msgspec.json.format(payload, indent=-1) if b"\n" in payload or b"\r" in payload else payload.strip()
