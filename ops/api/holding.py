"""What who has work says of it over HTTP, each as the command of the same name on the bus (`cmd.assignments.start`)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from ...handlers.assignments import Complete, Fail, Release, Start
from ...schemas.envelope import EventId
from ..assignments import carry_out
from ..node import Node, Wait
from .agents import in_body
from .bodies import read_body
from .dependencies import BodyRoom, ServingNode, json

WORD_BYTES_MAX = 1024 * 1024

router = APIRouter(tags=["assignments"])

Id = Annotated[str, Path(min_length=1, max_length=256, description="The assignment's id.")]


class Starting(Start, frozen=True, kw_only=True):
    """`id` is the command's own: sent again under it, it is carried out once."""

    id: EventId | None = None


class Completing(Complete, frozen=True, kw_only=True):
    """`id` as in `Starting`."""

    id: EventId | None = None


class Failing(Fail, frozen=True, kw_only=True):
    """`id` as in `Starting`."""

    id: EventId | None = None


class Releasing(Release, frozen=True, kw_only=True):
    """`id` as in `Starting`."""

    id: EventId | None = None


Word = Starting | Completing | Failing | Releasing


@router.post("/assignments/{assignment_id:path}/start")
async def start(
    request: Request, node: ServingNode, room: BodyRoom, assignment_id: Id, wait: Wait = "visible"
) -> Response:
    """Begin work, as `agent_id`, in its next attempt: from now on that agent has it, and nobody else can end it.

    Who begins what another has takes it over: begin what was given to you, or what you were handed. With an `id`,
    sending it again after a failure is safe; this holds for what is said of work below, too.
    """
    async with room.for_body(request, bytes_max=WORD_BYTES_MAX):
        word = in_body(await read_body(request, bytes_max=WORD_BYTES_MAX), Starting)
        return await _said(node, assignment_id, word, wait)


@router.post("/assignments/{assignment_id:path}/complete")
async def complete(
    request: Request, node: ServingNode, room: BodyRoom, assignment_id: Id, wait: Wait = "visible"
) -> Response:
    """Say that the work is done, with its `result`. Refused (409) where it is over, or `agent_id` does not have it."""
    async with room.for_body(request, bytes_max=WORD_BYTES_MAX):
        word = in_body(await read_body(request, bytes_max=WORD_BYTES_MAX), Completing)
        return await _said(node, assignment_id, word, wait)


@router.post("/assignments/{assignment_id:path}/fail")
async def fail(
    request: Request, node: ServingNode, room: BodyRoom, assignment_id: Id, wait: Wait = "visible"
) -> Response:
    """Say that the work failed for good, with the `error`: nobody tries again. Refused as `complete` is."""
    async with room.for_body(request, bytes_max=WORD_BYTES_MAX):
        word = in_body(await read_body(request, bytes_max=WORD_BYTES_MAX), Failing)
        return await _said(node, assignment_id, word, wait)


@router.post("/assignments/{assignment_id:path}/release")
async def release(
    request: Request, node: ServingNode, room: BodyRoom, assignment_id: Id, wait: Wait = "visible"
) -> Response:
    """Give the work back, for a `reason`: it waits for who takes it up next. Who doesn't have it changes nothing."""
    async with room.for_body(request, bytes_max=WORD_BYTES_MAX):
        word = in_body(await read_body(request, bytes_max=WORD_BYTES_MAX), Releasing)
        return await _said(node, assignment_id, word, wait)


async def _said(node: Node, assignment_id: str, word: Word, wait: Wait) -> Response:
    return json(await carry_out(node, assignment_id, word, wait, id=word.id))
