"""The node as the MCP tools ask it: its HTTP API, whose bounds, sandboxes and words for errors are everybody's."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx
import msgspec

from ...schemas import RookeryError

CONNECT_SECONDS_MAX = 10.0
# A tool's answer is read by a model: more than this helps nobody, and fills its context.
ANSWER_BYTES_MAX = 256 * 1024


class ToolFailed(RookeryError):
    """A tool did not do what it was asked for; the text says why, and what to do."""


class NodeApi:
    """One node's API, over HTTP from another process, or within the node itself. To be closed."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @classmethod
    def at(cls, url: str) -> Self:
        """The API of the node at the URL."""
        timeout = httpx.Timeout(CONNECT_SECONDS_MAX, read=None)  # the node bounds how long it works
        tls = url.startswith("https:")
        return cls(httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=tls))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at the path. Raises `ToolFailed`."""
        return _decoded(await self._asked("GET", path, params=_given(parameters)))

    async def lines(self, path: str, **parameters: Any) -> list[Any]:
        """The JSON lines at the path. Raises `ToolFailed`."""
        content = await self._asked("GET", path, params=_given(parameters))
        return [_decoded(line) for line in content.splitlines()]

    async def post(self, path: str, body: Any, **parameters: Any) -> Any:
        """What the node answers to the body. Raises `ToolFailed`."""
        content, headers = msgspec.json.encode(body), {"content-type": "application/json"}
        return _decoded(await self._asked("POST", path, content=content, headers=headers, params=_given(parameters)))

    async def delete(self, path: str, **parameters: Any) -> Any:
        """What the node answers to having it go. Raises `ToolFailed`."""
        return _decoded(await self._asked("DELETE", path, params=_given(parameters)))

    async def _asked(self, method: str, path: str, **asked: Any) -> bytes:
        try:
            async with self._http.stream(method, path, **asked) as response:
                content = await _content(response)
        except httpx.TransportError as error:
            where = self._http.base_url
            reason = f"no node answers at {where} ({error or type(error).__name__}): start one with `rookery up`"
            raise ToolFailed(reason) from None
        if response.is_error:
            raise ToolFailed(_detail(response.status_code, content))
        return content


async def _content(response: httpx.Response) -> bytes:
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > ANSWER_BYTES_MAX:
            raise ToolFailed(
                f"the answer has more than {ANSWER_BYTES_MAX:,} bytes: ask for fewer rows (limit), for fewer columns "
                "(select), or for sums"
            )
    return bytes(content)


def _detail(status: int, content: bytes) -> str:
    try:
        problem = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return f"the node answered {status}, and not as Rookery does"
    return str(problem.get("detail") or f"the node answered {status}")


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except msgspec.MsgspecError:
        raise ToolFailed("what answers there is not Rookery") from None


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if value is not None}
