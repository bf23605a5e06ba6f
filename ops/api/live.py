"""Live events over HTTP: what the log gains, as Server-Sent Events and over a WebSocket, from any position on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from ...schemas import RookeryError
from ..lanes import Lanes
from ..live import Reader, ReaderTooSlow
from ..node import Node
from ..seen import Filters, Seen, position_in

EVENT_STREAM = "text/event-stream"
LATEST_EVENTS = 100
HEARTBEAT_SECONDS = 15.0
# No empty line behind them: some clients take that for an event.
RETRY = b"retry: 2000\n"  # milliseconds
HEARTBEAT = b": still here\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}  # no proxy shall gather what should go out at once

# WebSocket close codes.
GOING_AWAY = 1001
FAILED = 1011
TRY_AGAIN_LATER = 1013

router = APIRouter(tags=["events"])


class Selection(NamedTuple):
    """Which events a request is about, and where it begins."""

    after: str | None
    last: int | None
    filters: Filters


async def _selection(
    after: Annotated[
        str | None, Query(description="Start behind this position, as in `local:41` or `east:10,west:7`.")
    ] = None,
    last: Annotated[int | None, Query(ge=0, description="Start so many events before each origin's end.")] = None,
    type: Annotated[list[str] | None, Query(description="Only these event types; `run.*` for all of a kind.")] = None,
    entity: Annotated[str | None, Query(description="Only this entity's, as in `run/run-9`.")] = None,
    agent: Annotated[str | None, Query(description="Only what this agent did, or what is about it.")] = None,
    source: Annotated[str | None, Query(description="Only from this source, as in `/agents/coder-7`.")] = None,
) -> Selection:
    return Selection(after, last, Filters.of(type, entity, agent, source))


Selected = Annotated[Selection, Depends(_selection)]


def asks_for_stream(connection: HTTPConnection) -> bool:
    """Whether the client wants Server-Sent Events."""
    return EVENT_STREAM in connection.headers.get("accept", "").lower()


def stream(connection: HTTPConnection, selection: Selection) -> Response:
    """The response that goes on for as long as the client, the node and the client's speed allow."""
    reader = _join(connection, selection)
    return Followed(reader, _frames(reader), headers=HEADERS, media_type=EVENT_STREAM)


@router.websocket("/events")
async def follow(websocket: WebSocket, selection: Selected) -> None:
    """Send what the log gains, gathered in messages of JSON: `{"position": "local:41", "events": […]}`.

    `position` is what `after` goes on from. Whatever the client sends is ignored.
    """
    with _join(websocket, selection) as reader:
        await websocket.accept()
        sending = asyncio.create_task(_send(websocket, reader))
        gone = asyncio.create_task(_gone(websocket))
        try:
            await asyncio.wait([sending, gone], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)


class Followed(StreamingResponse):
    """A response that says what a reader takes. The reader leaves with the client."""

    def __init__(self, reader: Reader, content: AsyncIterator[bytes], **how: Any) -> None:
        super().__init__(content, **how)
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the reader leave with the client, also with one that goes before anything was sent."""
        with self._reader:
            await super().__call__(scope, receive, send)


async def _frames(reader: Reader) -> AsyncIterator[bytes]:
    yield RETRY
    try:
        while (seen := await reader.take(HEARTBEAT_SECONDS)) is not None:
            yield b"".join(one.frame() for one in seen) or HEARTBEAT
    except ReaderTooSlow as slow:
        yield _notice("slow", position=slow.position, detail=str(slow))
    except RookeryError as error:
        yield _notice("failed", detail=str(error))


def _notice(name: str, **data: str) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


async def _send(websocket: WebSocket, reader: Reader) -> None:
    try:
        while (seen := await reader.take(HEARTBEAT_SECONDS)) is not None:
            if seen:
                await websocket.send_text(_message(seen))
        await websocket.close(GOING_AWAY, "the node is closing")
    except WebSocketDisconnect:
        return
    except ReaderTooSlow:
        await websocket.close(TRY_AGAIN_LATER, "too slow: go on behind the last position")
    except RookeryError:
        await websocket.close(FAILED, "the log can't be read; the node's health says why")


def _message(seen: list[Seen]) -> str:
    events = b",".join(one.line for one in seen)
    return (b'{"position":"%b","events":[%b]}' % (seen[-1].position.encode(), events)).decode()


async def _gone(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def _join(connection: HTTPConnection, selection: Selection) -> Reader:
    node, lanes = connection.app.state.node, connection.app.state.lanes
    assert isinstance(node, Node)
    assert isinstance(lanes, Lanes)
    position = _start(connection.headers.get("last-event-id") or selection.after, selection.last, node.log.vector())
    return node.live.join(position, selection.filters, lanes.reads)


def _start(after: str | None, last: int | None, end: Mapping[str, int]) -> dict[str, int]:
    if after is not None:
        return position_in(after, end)
    back = LATEST_EVENTS if last is None else last
    return {origin: max(0, n - back) for origin, n in end.items()}
