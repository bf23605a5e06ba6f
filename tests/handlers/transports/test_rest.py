"""REST: what is posted, and what statuses mean."""

from __future__ import annotations

import pytest
import zstandard
from rookery.handlers.transports import AgentFailed, BadAnswer, Call, Endpoint, Lost, Refused, Transports
from starlette.types import Receive, Scope, Send

from .conftest import RestAgent, served
from .test_contract import call


async def test_the_task_travels_with_its_id_as_the_key_of_idempotency(transports: Transports) -> None:
    agent = RestAgent()
    task = Call(id="as-42", capability="echo", input=1, attempt=2, traceparent="00-0af7-b7ad-01")
    async with served(agent) as url:
        assert await transports.invoke(Endpoint.of("rest", url), task, timeout_seconds=9) == 1
    headers, body = agent.asked[0]
    assert headers["idempotency-key"] == "as-42"
    assert headers["traceparent"] == "00-0af7-b7ad-01"
    assert (body["id"], body["attempt"], body["timeout_seconds"]) == ("as-42", 2, 9)


@pytest.mark.parametrize(
    ("capability", "error", "is_final"),
    [("busy", AgentFailed, False), ("fail", AgentFailed, False), ("fly", Refused, True), ("away", BadAnswer, False)],
)
async def test_a_status_says_whether_trying_again_helps(
    transports: Transports, capability: str, error: type[AgentFailed], is_final: bool
) -> None:
    async with served(RestAgent()) as url:
        with pytest.raises(error) as raised:
            await transports.invoke(Endpoint.of("rest", url), call(capability))
    assert raised.value.is_final == is_final


async def test_an_answer_that_breaks_off_is_lost(transports: Transports) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionError

    async with served(broken) as url:
        with pytest.raises(Lost, match="broke off"):
            await transports.invoke(Endpoint.of("rest", url), call("echo"))


async def test_an_answer_without_a_body_is_null(transports: Transports) -> None:
    async def quiet(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with served(quiet) as url:
        assert await transports.invoke(Endpoint.of("rest", url), call("echo")) is None


@pytest.mark.parametrize("transport", ["rest", "a2a"])
async def test_a_packed_answer_is_refused_and_not_unpacked(transports: Transports, transport: str) -> None:
    encodings = []

    async def packing(scope: Scope, receive: Receive, send: Send) -> None:
        encodings.append(dict(scope["headers"])[b"accept-encoding"])
        headers = [(b"content-encoding", b"zstd")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": zstandard.compress(b"{}" + b" " * 1_000_000)})

    async with served(packing) as url:
        with pytest.raises(BadAnswer, match="packed"):
            await transports.invoke(Endpoint.of(transport, url), call("echo"))
    assert encodings == [b"identity"]
