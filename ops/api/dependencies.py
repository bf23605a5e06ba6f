"""What the routes need of the application that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Request, Response

from ...projections import Leash, QueryFailed
from ..lanes import Lanes
from ..node import Node
from .bodies import Room

CLIENT_GONE = 499  # as nginx calls it: nobody is there to see it


# Asynchronous, although they await nothing: FastAPI would call plain functions in threads.
async def _node(request: Request) -> Node:
    node = request.app.state.node
    assert isinstance(node, Node)
    return node


async def _lanes(request: Request) -> Lanes:
    lanes = request.app.state.lanes
    assert isinstance(lanes, Lanes)
    return lanes


async def _room(request: Request) -> Room:
    room = request.app.state.room
    assert isinstance(room, Room)
    return room


ServingNode = Annotated[Node, Depends(_node)]
OpenLanes = Annotated[Lanes, Depends(_lanes)]
BodyRoom = Annotated[Room, Depends(_room)]


def json(content: Any, status: int = 200) -> Response:
    """A JSON response, encoded by msgspec."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def in_time(
    request: Request, lanes: Lanes, leash: Leash, answer: Callable[[], Response], *, of_past: bool = False
) -> Response:
    """What `answer` makes of queries on `leash`, in a thread; if nobody waits for it any more, they are interrupted.

    Questions about the past, with `as_of` or otherwise, have threads of their own.
    """
    lane = lanes.past if of_past or "as_of" in request.query_params else lanes.queries
    return await unless_gone(request, _on_leash(leash, lane.run(answer)))


async def unless_gone(request: Request, answering: Coroutine[Any, Any, Response]) -> Response:
    """The response, unless the client goes away before: then the work for it is cancelled."""
    answer = asyncio.create_task(answering)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else Response(status_code=CLIENT_GONE)
    finally:
        answer.cancel()
        gone.cancel()


async def _on_leash(leash: Leash, answering: Coroutine[Any, Any, Response]) -> Response:
    try:
        return await answering
    except asyncio.CancelledError:
        leash.cut()
        raise
    except MemoryError as error:
        raise QueryFailed("the answer needs more memory than there is; ask for less at once") from error
    except RecursionError as error:
        raise QueryFailed("a value of the answer nests too deeply to be told; ask for it as text") from error


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
