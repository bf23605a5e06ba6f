"""Work for agents over HTTP: giving it, and asking how it stands."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from ...projections import Leash
from ...schemas import MalformedEvent
from .. import assignments, distribution
from ..node import Wait
from . import holding
from .bodies import read_body
from .dependencies import BodyRoom, OpenLanes, ServingNode, in_time, json, unless_gone
from .past import AsOf, dated

ASSIGNMENT_BYTES_MAX = 1024 * 1024
WAIT_SECONDS_MAX = 60.0
LISTED = 100
LISTED_MAX = 10_000

Asked = TypeVar("Asked")

router = APIRouter(tags=["assignments"])
router.include_router(holding.router)

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
    async with room.for_body(request, bytes_max=ASSIGNMENT_BYTES_MAX):
        wanted = _in_body(await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX), assignments.Wanted)
        return json(await assignments.give(node, wanted, wait), HTTPStatus.ACCEPTED)


Status = Annotated[
    str | None,
    Query(description="Only those that stand so, as in `pending`; several with commas.", examples=["pending"]),
]
Kind = Annotated[str | None, Query(description="Only tasks of this kind.", examples=["code.review"])]
Holder = Annotated[
    str | None, Query(alias="agent_id", description="Only those that this agent has, or had.", examples=["coder-7"])
]
SkillAsked = Annotated[
    str | None, Query(alias="skill", description="Only those that ask for this skill.", examples=["code.review"])
]
Limit = Annotated[int, Query(ge=1, le=LISTED_MAX, description="At most so many.", examples=[LISTED])]
Cursor = Annotated[
    str | None, Query(description="Go on behind a page: the `next` of its answer.", examples=["WyJhIl0"])
]


@router.get("/assignments")
async def listed(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    status: Status = None,
    kind: Kind = None,
    agent_id: Holder = None,
    skill: SkillAsked = None,
    limit: Limit = LISTED,
    cursor: Cursor = None,
    moment: AsOf = None,
) -> Response:
    """Assignments, the latest first: each as the read model `assignments` has it. All filters must hold."""
    sought = {"status": status, "kind": kind, "agent_id": agent_id, "skill": skill}
    question = assignments.question_of(sought, cursor)
    leash = Leash(node.settings.query_seconds_max)

    def answer() -> Response:
        with node.projections.at(moment, [assignments.MODEL], leash) as models:
            found = models.rows(assignments.MODEL, question, limit=limit, leash=leash)
            return json({"assignments": found.records(), "next": found.next})

    return dated(await in_time(request, lanes, leash, answer), moment)


@router.post("/assignments/distribute", status_code=HTTPStatus.ACCEPTED)
async def distribute(request: Request, node: ServingNode, room: BodyRoom, wait: Wait = "visible") -> Response:
    """Give practice to the agents whose gaps are greatest, `count` pieces of it, and nobody more than it has room for.

    An agent has a gap at a capability of its own that it is bad at, or of which too little is known. Each piece is an
    assignment of that kind with the `input` that is given here, `metadata.practice` and, in `chosen`, the reasons.
    `skills` says which are to be practised. Where nobody has a gap, nothing is given.
    """
    async with room.for_body(request, bytes_max=ASSIGNMENT_BYTES_MAX):
        body = await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX)
        practice = _in_body(body, distribution.Practice) if body else distribution.Practice()
        return json(await distribution.distribute(node, practice, wait), HTTPStatus.ACCEPTED)


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
    async with room.for_body(request, bytes_max=ASSIGNMENT_BYTES_MAX):
        body = await read_body(request, bytes_max=ASSIGNMENT_BYTES_MAX)
        why = _in_body(body, CalledOff) if body else CalledOff()
        return json(await assignments.cancel(node, assignment_id, why.reason, wait))


@router.post("/assignments/{assignment_id:path}/retry", status_code=HTTPStatus.ACCEPTED)
async def retry(node: ServingNode, assignment_id: Id, wait: Wait = "visible") -> Response:
    """Give what failed, timed out or was called off once more, as a new assignment; `metadata.retry_of` names the old.

    How the old one ended stays as it is. Asked for twice, it is given once.
    """
    return json(await assignments.retry(node, assignment_id, wait), HTTPStatus.ACCEPTED)


@router.get("/assignments/{assignment_id:path}/history")
async def history(node: ServingNode, assignment_id: Id) -> Response:
    """All that happened to an assignment, in order: who had it when, each attempt, each release, its end."""
    happened = await assignments.history(node.bus, assignment_id)
    return json({"assignment_id": assignment_id, "history": happened})


@router.get("/assignments/{assignment_id:path}")
async def standing(
    request: Request,
    node: ServingNode,
    lanes: OpenLanes,
    assignment_id: Id,
    wait_seconds: WaitSeconds = 0.0,
    wait: Wait = "visible",
    moment: AsOf = None,
) -> Response:
    """How an assignment stands, what came of it, or why it failed: at once, or when it is over.

    Who waits for its end is told when the record of that is as far as `wait` says: by default, queries show it by then.
    How it stood at a moment of the past is told at once.
    """

    async def answer() -> Response:
        if moment is not None:
            return json(await lanes.reads.run(partial(assignments.stood, node.log, assignment_id, moment)))
        return json(await assignments.until_over(node, assignment_id, wait_seconds, lanes.reads, wait))

    return dated(await unless_gone(request, answer()), moment)


def _in_body(body: bytes, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedEvent(str(error), "body") from None
