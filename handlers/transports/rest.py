"""REST: the task is posted as JSON, and the JSON that is answered is its result.

What the answer's status says is kept apart: 4xx is a refusal, save for those that say "later"; 5xx is a failure.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from .calls import ANSWER_BYTES_MAX, Call, Endpoint, shortened
from .errors import AgentFailed, BadAnswer, Lost, Refused, TransportError, Unreachable

CONNECT_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 100
_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)


class RestTransport:
    """One URL that tasks are posted to.

    The `Idempotency-Key` header is the task's id, the same at every attempt: who keeps what it answered under that key
    may answer it again.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            # How long an answer may take is whoever calls's to say, who cancels.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS_MAX),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            trust_env=False,
            verify=endpoint.address.startswith("https:"),  # a TLS context takes longer to make than most answers
        )

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`."""
        headers = {"content-type": "application/json", "accept": "application/json", "idempotency-key": call.id}
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        status, body = await self._answer("POST", content=msgspec.json.encode(call), headers=headers)
        if not 200 <= status < 300:
            raise self._problem(status, body)
        if not body:
            return None
        try:
            return msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = f"answered {status} with what is no JSON ({error}): {_shown(body)!r}"
            raise BadAnswer(self._endpoint, reason) from None

    async def check(self) -> None:
        """Whether anybody answers there, whatever the answer: HEAD is for no task."""
        await self._answer("HEAD")

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._http.aclose()

    async def _answer(self, method: str, **asked: Any) -> tuple[int, bytes]:
        try:
            async with self._http.stream(method, self._endpoint.address, **asked) as response:
                return response.status_code, await self._body(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
            raise Unreachable(self._endpoint, f"can't be reached: {_reason(error)}") from None
        except httpx.InvalidURL as error:
            raise Unreachable(self._endpoint, f"is no URL that can be asked: {error}") from None
        except httpx.HTTPError as error:
            raise Lost(self._endpoint, f"broke off before it had answered: {_reason(error)}") from None

    async def _body(self, response: httpx.Response) -> bytes:
        """All of the body, unless it is too large: then no more than that is read. What is packed may be anything."""
        body = bytearray()
        async for piece in response.aiter_raw():
            if response.headers.get("content-encoding", "identity") != "identity":
                raise BadAnswer(self._endpoint, "answered with a packed body, although it was asked for as it is")
            body += piece
            if len(body) > ANSWER_BYTES_MAX:
                raise BadAnswer(self._endpoint, f"answered with more than {ANSWER_BYTES_MAX:,} bytes")
        return bytes(body)

    def _problem(self, status: int, body: bytes) -> TransportError:
        said = f"answered {status}: {_detail(body)}"
        if status in _LATER or status >= 500:
            return AgentFailed(self._endpoint, said)
        return Refused(self._endpoint, said) if status >= 400 else BadAnswer(self._endpoint, said)


def _detail(body: bytes) -> str:
    """What a problem says, in the ways that APIs say it; else the beginning of the body."""
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _shown(body) or "nothing more"
    told = next((problem[name] for name in ("detail", "error", "message", "title") if problem.get(name)), None)
    return shortened(told) if isinstance(told, str) else _shown(body)


def _shown(body: bytes) -> str:
    return shortened(body[:200].decode(errors="replace"))


def _reason(error: httpx.HTTPError) -> str:
    return str(error) or type(error).__name__
