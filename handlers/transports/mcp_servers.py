"""MCP: an agent that is a server of the Model Context Protocol, whose tools are its capabilities.

A server that is a command is talked to over its standard streams, and one that is a URL over streamable HTTP. The
official SDK speaks the protocol; what it leaves unbounded is bounded here: lines, bodies, time, and the process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    CallToolResult,
    Implementation,
    TextContent,
    jsonrpc_message_adapter,
)

from ... import __version__
from .calls import ANSWER_BYTES_MAX, Call, Endpoint, shortened
from .errors import AgentFailed, BadAnswer, Lost, Refused, TransportError, Unreachable
from .programs import LineTooLong, NotStarted, Program

OPEN_SECONDS_MAX = 20.0
CLOSE_SECONDS_MAX = 5.0
CONNECT_SECONDS_MAX = 10.0
TOOL_PAGES_MAX = 50
# Not INVALID_REQUEST: that is what a server says, too, that has forgotten the session.
_REFUSALS = frozenset({INVALID_PARAMS, METHOD_NOT_FOUND})

T = TypeVar("T")
Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


class McpTransport:
    """One server, for as long as it answers; connected to anew when it doesn't. The tool's name is the capability."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._connection: _Connection | None = None
        self._opening = asyncio.Lock()

    async def invoke(self, call: Call) -> Any:
        """See `Transport.invoke`. The input is the tool's arguments, and so an object, or nothing."""
        if not isinstance(call.input, dict | None):
            raise Refused(self._endpoint, f"takes its arguments as an object, and the input is {call.input!r:.100}")
        connection = await self._open()
        try:
            return _result_in(self._endpoint, await connection.call(call.capability, call.input or {}))
        except asyncio.CancelledError:
            if not connection.calls and connection is self._connection:  # it may hang, and nobody else waits for it
                await self.close()
            raise

    async def check(self) -> None:
        """Whether the server says what tools it has."""
        connection = await self._open()
        await connection.list_tools()

    async def close(self) -> None:
        """See `Transport.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _open(self) -> _Connection:
        async with self._opening:
            if self._connection is None or self._connection.is_over:
                await self.close()
                self._connection = await _Connection.open(self._endpoint)
            return self._connection


class _Connection:
    """The SDK's client, kept open by a task of its own: it must be closed by whoever opened it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._stop = asyncio.Event()
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._program: Program | None = None
        self._fault: str | None = None
        self._is_broken = False
        self._tools: frozenset[str] = frozenset()
        self.calls = 0
        self._keeping = asyncio.create_task(self._keep(), name=f"MCP server {endpoint.address}")

    @classmethod
    async def open(cls, endpoint: Endpoint) -> _Connection:
        connection = cls(endpoint)
        try:
            either: set[asyncio.Future[Any]] = {connection._opened, connection._keeping}
            async with asyncio.timeout(OPEN_SECONDS_MAX):
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not connection._opened.done():
                await connection._keeping  # raises what kept it from opening
                raise Lost(endpoint, "closed the connection before it was open")
        except TimeoutError:
            await connection.close()
            raise Unreachable(endpoint, f"did not open a session within {OPEN_SECONDS_MAX:g} s") from None
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def is_over(self) -> bool:
        has_ended = self._program is not None and self._program.has_ended
        return self._keeping.done() or self._is_broken or self._fault is not None or has_ended

    async def list_tools(self) -> frozenset[str]:
        """The names of the tools that the server has now."""
        names, cursor = set[str](), None
        for _ in range(TOOL_PAGES_MAX):
            page = await self._answered(self._opened.result().list_tools(cursor=cursor, cache_mode="bypass"))
            names.update(tool.name for tool in page.tools)
            cursor = page.next_cursor
            if not cursor:
                break
        self._tools = frozenset(names)
        return self._tools

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        self.calls += 1
        try:
            if tool not in self._tools and tool not in await self.list_tools():
                known = ", ".join(sorted(self._tools)[:20]) or "none"
                raise Refused(self._endpoint, f"has no tool {tool!r} (it has: {known})")
            return await self._answered(self._opened.result().call_tool(tool, arguments))
        finally:
            self.calls -= 1

    async def close(self) -> None:
        self._stop.set()
        await asyncio.wait([self._keeping], timeout=CLOSE_SECONDS_MAX if self._opened.done() else 0)
        while not self._keeping.done():
            self._keeping.cancel()
            await asyncio.wait([self._keeping], timeout=CLOSE_SECONDS_MAX)
        if not self._keeping.cancelled():
            self._keeping.exception()  # seen: who needed it had it raised

    async def _keep(self) -> None:
        try:
            async with AsyncExitStack() as stack:
                streams = self._http() if self._endpoint.is_url else self._stdio(await self._started(stack))
                client = Client(streams, client_info=Implementation(name="rookery", version=__version__))
                self._opened.set_result(await stack.enter_async_context(client))
                await self._stop.wait()
        except TransportError:
            raise
        except Exception as error:  # of a library with errors of many kinds, in groups
            raise self._failure(error, begun=self._opened.done()) from None

    async def _answered(self, asking: Coroutine[Any, Any, T]) -> T:
        """What the server answers, with the SDK's errors as ours; also when the connection breaks meanwhile."""
        asked = asyncio.create_task(asking)
        try:
            await asyncio.wait([asked, self._keeping], return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                await self._keeping
                ended = self._program.why() if self._program is not None else "was closed while it was at work"
                raise Lost(self._endpoint, ended)
            return asked.result()
        except TransportError:
            raise
        except Exception as error:
            raise self._failure(error, begun=True) from None
        finally:
            if not asked.done():
                asked.cancel()
                await asyncio.wait([asked], timeout=CLOSE_SECONDS_MAX)

    def _failure(self, error: Exception, *, begun: bool) -> TransportError:
        if self._fault is not None:
            return BadAnswer(self._endpoint, self._fault)
        first = _first_of(error)
        self._is_broken = self._endpoint.is_url  # a session that the server has forgotten: the next call opens another
        if isinstance(first, MCPError) and first.code in _REFUSALS:
            return Refused(self._endpoint, f"answered error {first.code}: {shortened(first.message)}")
        if self._program is not None and (self._program.has_ended or _is_closed(first)):
            return (Lost if begun else Unreachable)(self._endpoint, self._program.why())
        if isinstance(first, httpx2.ConnectError | httpx2.ConnectTimeout):
            return Unreachable(self._endpoint, f"can't be reached: {first or type(first).__name__}")
        if isinstance(first, httpx2.HTTPError) or _is_closed(first):
            return (Lost if begun else Unreachable)(self._endpoint, f"broke off: {first or type(first).__name__}")
        if isinstance(first, MCPError):
            return AgentFailed(self._endpoint, f"answered error {first.code}: {shortened(first.message)}")
        return BadAnswer(self._endpoint, f"answered what is no MCP ({type(first).__name__}: {shortened(str(first))})")

    # The ways there

    @asynccontextmanager
    async def _http(self) -> AsyncIterator[Any]:
        timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS_MAX)
        bounded = _BoundedBodies(verify=self._endpoint.address.startswith("https:"))
        async with (
            httpx2.AsyncClient(transport=bounded, timeout=timeout, trust_env=False) as http,
            streamable_http_client(
                self._endpoint.address, http_client=http, max_sse_event_size=ANSWER_BYTES_MAX
            ) as streams,
        ):
            yield streams

    async def _started(self, stack: AsyncExitStack) -> Program:
        try:
            self._program = await Program.start(self._endpoint.command)
        except NotStarted as error:
            raise Unreachable(self._endpoint, f"can't be started: {error}") from None
        stack.push_async_callback(self._program.end)
        return self._program

    @asynccontextmanager
    async def _stdio(self, program: Program) -> AsyncGenerator[Streams, None]:
        """The program's lines as the SDK's streams. Its own would take a line of any length."""
        heard, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, said = anyio.create_memory_object_stream[SessionMessage](0)
        talking = [
            asyncio.create_task(self._hear(program, heard), name=f"MCP from {program.pid}"),
            asyncio.create_task(self._say(program, said), name=f"MCP to {program.pid}"),
        ]
        try:
            yield incoming, outgoing
        finally:
            for task in talking:
                task.cancel()
            await asyncio.wait(talking)
            for stream in (heard, incoming, outgoing, said):
                stream.close()

    async def _hear(self, program: Program, heard: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Until it says no more, or nonsense: closing the stream ends every call."""
        line: bytes | None = None
        with heard, contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            try:
                while (line := await program.read()) is not None:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    await heard.send(SessionMessage(message))
                await program.end()  # so that it is known why, when the calls end
            except LineTooLong as error:
                self._fault = str(error)
            except ValueError:
                shown = shortened(line.decode(errors="replace")[:200]) if line else ""
                self._fault = f"wrote to stdout what is no MCP: {shown!r}; logs belong on stderr"

    async def _say(self, program: Program, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
        with said, contextlib.suppress(OSError):  # it has ended, which hearing tells
            async for one in said:
                await program.write(one.message.model_dump_json(by_alias=True, exclude_unset=True).encode())


class _BoundedBodies(httpx2.AsyncHTTPTransport):
    """HTTP, with bodies no larger than an answer may be. Of event streams the SDK bounds each event.

    What is packed is refused: it may unpack to anything.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["accept-encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.ReadError("answered with a packed body, although it was asked for as it is")
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream), "of an asynchronous request"
            response.stream = _Bounded(response.stream)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > ANSWER_BYTES_MAX:
                raise httpx2.ReadError(f"answered with more than {ANSWER_BYTES_MAX:,} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _result_in(endpoint: Endpoint, answer: CallToolResult) -> Any:
    """What a tool answered, as a result: its structured content, else its text, else its blocks as they came."""
    texts = [block.text for block in answer.content if isinstance(block, TextContent)]
    if answer.is_error:
        raise AgentFailed(endpoint, f"failed: {shortened(' '.join(texts)) or 'it did not say why'}")
    if answer.structured_content is not None:
        return answer.structured_content
    if len(texts) == len(answer.content):
        return "\n".join(texts) if texts else None
    return [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in answer.content]


def _first_of(error: BaseException) -> BaseException:
    """The error inside a group of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_closed(error: BaseException) -> bool:
    return (isinstance(error, MCPError) and error.code == CONNECTION_CLOSED) or isinstance(
        error, anyio.ClosedResourceError | anyio.BrokenResourceError | anyio.EndOfStream
    )
