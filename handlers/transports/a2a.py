"""A2A: the task is sent as a message to an agent of that protocol, and what its task comes to is the result.

What is to be done is in the message's metadata, as `skill`; the input is its one part, a text or data.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from .calls import Call, Endpoint, shortened
from .errors import AgentFailed, BadAnswer, Refused, TransportError
from .rest import RestTransport

# What an agent has begun is asked after at growing distances: whoever answers at once has answered by then.
ASK_SECONDS_MIN = 0.1
ASK_SECONDS_MAX = 5.0
METHOD_NOT_FOUND = -32601
# What asking again won't change: what was asked for is wrong, or not offered.
_FINAL = (-32600, -32601, -32602, -32004, -32005, -32008, -32009)
_OPEN = ("submitted", "working")
# What a task may wait for that nobody here can give it, or that it was turned down.
_STUCK = ("rejected", "input_required", "input-required", "auth_required", "auth-required", "unspecified")


class A2aTransport(RestTransport):
    """One JSON-RPC endpoint of A2A 1.0, or of 0.3 where it doesn't know the former's methods."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._is_old = False

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`."""
        told = await self._sent(call)
        pause_seconds = ASK_SECONDS_MIN
        while isinstance(told, dict) and _state(told) in _OPEN:
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, ASK_SECONDS_MAX)
            told = await self._asked("tasks/get" if self._is_old else "GetTask", {"id": told.get("id")}, call)
        return self._result_in(told)

    async def _sent(self, call: Call) -> Any:
        try:
            return await self._send(call)
        except _NoSuchMethod:
            if self._is_old:
                raise Refused(self._endpoint, "knows neither SendMessage nor message/send") from None
            self._is_old = True
            return await self._sent(call)

    async def _send(self, call: Call) -> Any:
        part = {"text": call.input} if isinstance(call.input, str) else {"data": call.input}
        message = {"messageId": call.id, "metadata": {"skill": call.capability}}
        if self._is_old:
            data = call.input if isinstance(call.input, dict) else {"input": call.input}
            old = {"kind": "text", **part} if "text" in part else {"kind": "data", "data": data}
            asked: dict[str, Any] = {"message": message | {"kind": "message", "role": "user", "parts": [old]}}
            return await self._asked("message/send", asked | {"configuration": {"blocking": True}}, call)
        answer = await self._asked("SendMessage", {"message": message | {"role": "ROLE_USER", "parts": [part]}}, call)
        return next((answer[name] for name in ("task", "message") if name in answer), answer)

    async def _asked(self, method: str, params: Any, call: Call) -> Any:
        headers = {"content-type": "application/json", "a2a-version": "0.3" if self._is_old else "1.0"}
        if call.traceparent:
            headers["traceparent"] = call.traceparent
        request = {"jsonrpc": "2.0", "id": call.id, "method": method, "params": params}
        status, body = await self._answer("POST", content=msgspec.json.encode(request), headers=headers)
        try:
            answer = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if not 200 <= status < 300:
                raise self._problem(status, body) from None
            shown = shortened(body[:200].decode(errors="replace"))
            raise BadAnswer(self._endpoint, f"answered {status} with what is no JSON-RPC: {shown!r}") from None
        if isinstance(error := answer.get("error"), dict):
            raise self._fault(error)
        if not isinstance(answer.get("result"), dict):
            raise self._problem(status, body) if status >= 300 else BadAnswer(self._endpoint, "answered with no result")
        return answer["result"]

    def _fault(self, error: dict[str, Any]) -> TransportError:
        code = error.get("code")
        said = f"answered error {code}: {shortened(str(error.get('message') or 'nothing more'))}"
        if code == METHOD_NOT_FOUND:
            return _NoSuchMethod(self._endpoint, said)
        return Refused(self._endpoint, said) if code in _FINAL else AgentFailed(self._endpoint, said)

    def _result_in(self, told: dict[str, Any]) -> Any:
        """What a message, or a task that is over, has in it."""
        state = _state(told)
        if state is None:
            return _contents(told.get("parts"))
        if state == "completed":
            parts = [part for artifact in _objects(told.get("artifacts")) for part in _objects(artifact.get("parts"))]
            return _contents(parts)
        said = told["status"].get("message") if isinstance(told["status"], dict) else None
        why = _contents(said.get("parts")) if isinstance(said, dict) else None
        text = f"says that its task is {state}: {shortened(str(why or 'and not why'))}"
        return self._over(state, text)

    def _over(self, state: str, text: str) -> Any:
        raise Refused(self._endpoint, text) if state in _STUCK else AgentFailed(self._endpoint, text)


class _NoSuchMethod(Refused):
    """It doesn't know the method, so that it may know what the version before called it."""


def _state(told: dict[str, Any]) -> str | None:
    """A task's state in one version's words; a message has none."""
    status = told.get("status")
    state = status.get("state") if isinstance(status, dict) else None
    return state.removeprefix("TASK_STATE_").lower() if isinstance(state, str) else None


def _contents(parts: Any) -> Any:
    """What parts bring: the one thing, or all; nothing, where there are none."""
    found = [_content(part) for part in _objects(parts)]
    return found[0] if len(found) == 1 else found or None


def _content(part: dict[str, Any]) -> Any:
    for name in ("text", "data"):
        if name in part:
            return part[name]
    return {name: value for name, value in part.items() if name not in ("kind", "metadata")}


def _objects(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
