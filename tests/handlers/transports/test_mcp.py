"""MCP: servers made with the official SDK are invoked both ways, and servers that misbehave are ended."""

from __future__ import annotations

import gzip
import json
import shlex
import sys
from typing import Any

import pytest
from rookery.handlers.transports import (
    AgentFailed,
    BadAnswer,
    Call,
    Endpoint,
    Lost,
    Refused,
    TimedOut,
    TransportError,
    Transports,
    Unreachable,
)
from rookery.tests.ports import vacant_port
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from .conftest import HERE, is_alive, program, served, until_nobody_runs
from .official_mcp_server import server
from .test_contract import call

SERVER_INFO = {"name": "forgetful", "version": "1"}
OFFICIAL = Endpoint.of("mcp", shlex.join([sys.executable, str(HERE / "official_mcp_server.py")]))


async def check_official(transports: Transports, endpoint: Endpoint) -> None:
    await transports.check(endpoint, timeout_seconds=20)
    assert await transports.invoke(endpoint, call("add", {"a": 2, "b": 3})) == {"result": 5}
    assert await transports.invoke(endpoint, call("say", {"text": "Grüß Gott"})) == "Grüß Gott"
    with pytest.raises(AgentFailed, match="division by zero"):
        await transports.invoke(endpoint, call("divide", {"a": 1, "b": 0}))
    with pytest.raises(AgentFailed, match="validation error"):
        await transports.invoke(endpoint, call("add", {"a": "two"}))
    with pytest.raises(Refused, match=r"no tool 'fly' \(it has: add, divide, say\)"):
        await transports.invoke(endpoint, call("fly"))


async def test_the_official_server_over_stdio(transports: Transports) -> None:
    await check_official(transports, OFFICIAL)


@pytest.mark.parametrize("stateless", [True, False])
async def test_the_official_server_over_streamable_http(transports: Transports, stateless: bool) -> None:
    async with served(server.streamable_http_app(stateless_http=stateless), lifespan="on") as url:
        await check_official(transports, Endpoint.of("mcp", f"{url}/mcp"))
        await transports.close()


class Forgetful:
    """A server of before 2026, which keeps sessions until it forgets them."""

    def __init__(self) -> None:
        self.session = 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        question = json.loads(await request.body() or b"{}")
        if request.method != "POST":
            response = Response(status_code=405)
        elif question["method"] == "initialize":
            told = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": SERVER_INFO}
            response = self._answer(question, told)
            response.headers["mcp-session-id"] = str(self.session)
        elif request.headers.get("mcp-session-id") != str(self.session):
            response = Response(status_code=404 if "mcp-session-id" in request.headers else 400)
        elif "id" not in question:
            response = Response(status_code=202)
        elif question["method"] == "tools/list":
            response = self._answer(question, {"tools": [{"name": "session", "inputSchema": {"type": "object"}}]})
        else:
            response = self._answer(question, {"content": [{"type": "text", "text": str(self.session)}]})
        await response(scope, receive, send)

    def _answer(self, question: dict[str, Any], result: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": question["id"], "result": result})


async def test_a_server_that_forgot_the_session_is_connected_to_anew(transports: Transports) -> None:
    agent = Forgetful()
    async with served(agent) as url:
        endpoint = Endpoint.of("mcp", url)
        assert await transports.invoke(endpoint, call("session"), timeout_seconds=20) == "1"
        agent.session = 2
        with pytest.raises(TransportError):
            await transports.invoke(endpoint, call("session"), timeout_seconds=20)
        assert await transports.invoke(endpoint, call("session"), timeout_seconds=20) == "2"
        await transports.close()


async def test_nobody_at_the_url_is_unreachable(transports: Transports) -> None:
    with vacant_port() as port, pytest.raises(Unreachable):
        await transports.invoke(Endpoint.of("mcp", f"http://127.0.0.1:{port}/mcp"), call("add"))


async def test_a_url_that_is_no_mcp_server_is_an_error_of_ours(transports: Transports) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"<html>"})

    async with served(page) as url:
        with pytest.raises(TransportError, match=r"Unexpected content type|no MCP"):
            await transports.invoke(Endpoint.of("mcp", url), call("add"), timeout_seconds=5)
        await transports.close()


async def test_a_body_that_never_ends_is_cut_off(transports: Transports) -> None:
    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        for _ in range(40):
            await send({"type": "http.response.body", "body": b" " * 65536, "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with served(flood) as url:
        with pytest.raises(TransportError, match="1,048,576 bytes"):
            await transports.invoke(Endpoint.of("mcp", url), call("add"), timeout_seconds=20)
        await transports.close()


async def test_a_packed_answer_is_refused_and_not_unpacked(transports: Transports) -> None:
    async def packing(scope: Scope, receive: Receive, send: Send) -> None:
        answer = gzip.compress(b"{" + b" " * 2_000_000 + b"}")
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        assert dict(scope["headers"])[b"accept-encoding"] == b"identity"
        await Response(answer, headers=headers)(scope, receive, send)

    async with served(packing) as url:
        with pytest.raises(TransportError, match="packed"):
            await transports.invoke(Endpoint.of("mcp", url), call("echo"), timeout_seconds=20)


async def test_a_server_that_hangs_before_the_session_is_open_is_ended(transports: Transports) -> None:
    deaf = Endpoint.of("mcp", program("mcp_agent", "deaf"))
    with pytest.raises(TimedOut):
        await transports.invoke(deaf, call("echo"), timeout_seconds=0.5)
    await until_nobody_runs(deaf.address)


async def test_a_server_that_talks_to_people_on_stdout_is_told_on(transports: Transports) -> None:
    with pytest.raises(BadAnswer, match=r"Welcome to the server!.*logs belong on stderr"):
        await transports.invoke(Endpoint.of("mcp", program("mcp_agent", "gibberish")), call("echo"))


async def test_a_server_that_dies_says_why_and_another_takes_its_place(transports: Transports) -> None:
    agent = Endpoint.of("mcp", program("mcp_agent"))
    first = (await transports.invoke(agent, call("pid")))["pid"]
    with pytest.raises(Lost, match="exit code 7; it last said: out of cheese"):
        await transports.invoke(agent, call("die"))
    second = (await transports.invoke(agent, call("pid")))["pid"]
    assert first != second
    assert not is_alive(first)
    await transports.close()
    assert not is_alive(second)


async def test_a_command_that_is_no_server_is_unreachable(transports: Transports) -> None:
    with pytest.raises(Unreachable, match="exit code 1"):
        await transports.invoke(Endpoint.of("mcp", "false"), call("echo"))


async def test_arguments_are_an_object(transports: Transports) -> None:
    with pytest.raises(Refused, match="as an object"):
        await transports.invoke(OFFICIAL, Call(id="as-1", capability="add", input=[1, 2]))
