"""Work for agents over HTTP: giving it, and asking how it stands."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from ...schemas import MalformedEvent
from .. import assignments
from ..node import Wait
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, json, unless_gone
from .past import AsOf, dated

ASSIGNMENT_BYTES_MAX = 1024 * 1024
WAIT_SECONDS_MAX = 60.0

Asked = TypeVar("Asked")

router = APIRouter(tags=["assignments"])

Id = Annotated[str, Path(min_length=1, max_length=256, description="The assignment's id.")]
WaitSeconds = Annotated[
    float,
    Query(ge=0, le=WAIT_SECONDS_MAX, description="Answer when it is over, or else after so many seconds."),
]


@router.post("/assignments", status_code=HTTPStatus.ACCEPTED)
async def assign(request: Request, node: ServingNode, room: BodyRoom, wait: Wait = "visible") -> Response:
    """Give work to whoever has the capability, to the agent that is named, or, with `best`, to the best.

    It waits until an agent takes it up; `wait` says how far the record of it must be before this answers.
    `timeout_seconds` is how long an attempt at it may take, `deadline_seconds` how long the whole, waiting included,
    and `attempts_max` how often it is tried. Who is chosen is told with what the choice was made of. An agent that is
    dead is given nothing (409). With an `id`, sending it again after a failure is safe: what is under way or over under
    that id is left as it is, and told.
    """
    async with room.for_body(request):
        wanted = _in_body(await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX), assignments.Wanted)
        return json(await assignments.give(node, wanted, wait), HTTPStatus.ACCEPTED)


class CalledOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why work is called off."""

    reason: str | None = None


@router.post("/assignments/{assignment_id:path}/cancel")
async def cancel(
    request: Request, node: ServingNode, room: BodyRoom, assignment_id: Id, wait: Wait = "visible"
) -> Response:
    """Call work off: no agent begins it, and what comes of it, if one has, counts no longer. What is over is refused.

    The body may say why. Calling the same off twice changes nothing.
    """
    async with room.for_body(request):
        body = await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX)
        why = _in_body(body, CalledOff) if body else CalledOff()
        return json(await assignments.cancel(node, assignment_id, why.reason, wait))


@router.get("/assignments/{assignment_id:path}")
async def standing(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    assignment_id: Id,
    wait_seconds: WaitSeconds = 0.0,
    moment: AsOf = None,
) -> Response:
    """How an assignment stands, what came of it, or why it failed: at once, or when it is over.

    How it stood at a moment of the past is told at once.
    """

    async def answer() -> Response:
        if moment is not None:
            return json(await lanes.reads.run(partial(assignments.stood, node.log, assignment_id, moment)))
        return json(await assignments.until_over(node, assignment_id, wait_seconds, lanes.reads))

    return dated(await unless_gone(request, answer()), moment)


def _in_body(body: bytes, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None
