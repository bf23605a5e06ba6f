"""A peer that is reached over its HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from ...bus import shown_url
from ..client import InvalidUrl
from .peers import CHAINS_AT_ONCE_MAX, MANIFEST_LINES_MAX, Chain, Offer, PeerLied, PeerRefused, PeerUnreachable, Run
from .runs import ENCODED_BYTES_MAX, InvalidRun, decode_run

CONNECT_SECONDS_MAX = 5.0
SILENCE_SECONDS_MAX = 20.0  # between two pieces of an answer
ANSWER_SECONDS_MAX = 300.0  # of a whole one: a segment is some megabytes
ANSWER_BYTES_MAX = 4 * 2**20  # of an answer that is no events
PROBLEM_BYTES_MAX = 64 * 2**10

Answer = TypeVar("Answer")

_offer = msgspec.json.Decoder(Offer).decode
_chains = msgspec.json.Decoder(list[Chain]).decode


class HttpPeer:
    """Another node, by its URL. Close it in the end."""

    def __init__(self, url: str) -> None:
        url = url.rstrip("/")
        self._name = shown_url(url)
        timeout = httpx.Timeout(SILENCE_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
        tls = url.startswith("https:")  # a TLS context takes long to make
        try:
            self._http = httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=tls)
        except httpx.InvalidURL as error:
            raise InvalidUrl(url, str(error)) from None

    @property
    def name(self) -> str:
        """Its URL, without the password that it may carry."""
        return self._name

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    async def offer(self) -> Offer:
        """What it has."""
        return self._read("its offer", _offer, await self._get("/sync/vector", ANSWER_BYTES_MAX))

    async def chains(self, origin: str, numbers: Sequence[int]) -> list[str]:
        """The chain at each of these lines."""
        asked = list(numbers[:CHAINS_AT_ONCE_MAX])
        answer = await self._get(_path(origin, "chains"), ANSWER_BYTES_MAX, at=asked)
        return self._read(f"{origin}'s chains", _chains, answer)

    async def manifest(self, origin: str, after: int) -> list[bytes]:
        """The manifest's next lines for what is sealed after `after`."""
        answer = await self._get(_path(origin, "manifest"), ANSWER_BYTES_MAX, after=after, limit=MANIFEST_LINES_MAX)
        return answer.split(b"\n")[:-1]

    async def segment(self, origin: str, first: int, size_bytes: int) -> bytes:
        """The sealed file that begins with a line."""
        return await self._get(_path(origin, f"segments/{first}"), size_bytes)

    async def lines(self, origin: str, after: int, up_to: int) -> Run:
        """Some of the lines after `after`."""
        answer = await self._get(_path(origin, "lines"), ENCODED_BYTES_MAX, after=after, up_to=up_to)
        try:
            return await asyncio.to_thread(decode_run, answer)
        except InvalidRun as error:
            raise PeerLied(self._name, f"{origin}:{after + 1}", str(error)) from None

    async def _get(self, path: str, bytes_max: int, **parameters: Any) -> bytes:
        """The answer's bytes, of which there may be so many."""
        received = bytearray()
        async with self._answer(path, parameters) as response:
            if response.status_code != httpx.codes.OK:
                await self._refuse(response)
            async for piece in response.aiter_raw():
                received += piece
                if len(received) > bytes_max:
                    raise PeerLied(self._name, path, f"it is longer than the {bytes_max:,} bytes that it may have")
        return bytes(received)

    @asynccontextmanager
    async def _answer(self, path: str, parameters: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        try:
            async with (
                asyncio.timeout(ANSWER_SECONDS_MAX),
                self._http.stream("GET", path, params=parameters, headers={"accept-encoding": "identity"}) as response,
            ):
                yield response
        except TimeoutError:
            raise PeerUnreachable(self._name, f"no whole answer within {ANSWER_SECONDS_MAX:.0f} seconds") from None
        except httpx.HTTPError as error:
            raise PeerUnreachable(self._name, str(error) or type(error).__name__) from None

    async def _refuse(self, response: httpx.Response) -> None:
        """Raises `PeerRefused`, or `PeerUnreachable` where the same may work later."""
        content = b""
        async for piece in response.aiter_raw():
            content += piece
            if len(content) > PROBLEM_BYTES_MAX:
                break
        reason = f"it answered {response.status_code}{_detail(content)}"
        raise (PeerUnreachable if response.is_server_error else PeerRefused)(self._name, reason)

    def _read(self, what: str, decode: Callable[[bytes], Answer], answer: bytes) -> Answer:
        try:
            return decode(answer)
        except msgspec.MsgspecError as error:
            raise PeerLied(self._name, what, str(error)) from None


def _path(origin: str, rest: str) -> str:
    return f"/sync/{quote(origin, safe='')}/{rest}"


def _detail(content: bytes) -> str:
    try:
        return f", {msgspec.json.decode(content, type=dict[str, Any])['detail']}"
    except (msgspec.MsgspecError, KeyError):
        return ", and not as Rookery does"
