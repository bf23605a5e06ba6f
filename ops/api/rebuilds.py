"""Rebuilds over HTTP: have the read models made anew, checked or rolled back, and see how far that is."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response

from ..node import Node
from ..rebuilds import Kind, RebuildStatus, Report
from .dependencies import ServingNode, json
from .problems import problem
from .shapes import answers, schema_of

router = APIRouter(tags=["rebuild"])

Wait = Annotated[
    bool, Query(description="Answer with the report, when it is done; false: at once, with how it stands (202).")
]


class Previous(msgspec.Struct, frozen=True):
    """The version of the read models before the live one, which a roll-back brings back."""

    live_until: datetime
    size_bytes: int


class Rebuilds(msgspec.Struct, frozen=True):
    """The latest rebuild; why the read models are outdated, where they are; how far they are; the version before."""

    latest: RebuildStatus | None
    outdated: str | None
    checkpoint: dict[str, int]
    previous: Previous | None


_DIGESTS = {"runs": "12-1f0e4e6d2a118c3b"}
_REPORT = {"events": 4_711, "seconds": 0.9, "changed": [], "digests_before": _DIGESTS, "digests_after": _DIGESTS}
_LATEST = {
    "number": 1,
    "kind": "rebuild",
    "by_itself": False,
    "state": "running",
    "started_at": "2026-11-20T12:00:00Z",
    "seconds": 3.0,
    "events_done": 3_000_000,
    "events_total": 4_000_000,
    "seconds_left": 1.0,
    "report": None,
    "failure": None,
}
_STANDING = {
    "latest": _LATEST,
    "outdated": None,
    "checkpoint": {"local": 4_000_000},
    "previous": {"live_until": "2026-11-19T09:30:00Z", "size_bytes": 5_517_312},
}
STANDING = answers(Rebuilds, "How it stands.", _STANDING)
_BEGUN = {
    "description": "How it stands; ask GET /rebuild how it goes on.",
    "content": {"application/json": {"schema": schema_of(RebuildStatus), "example": _LATEST}},
}
BEGUN: dict[int | str, dict[str, Any]] = {202: _BEGUN}
REPORT = answers(Report, "What the rebuild did.", _REPORT) | BEGUN


@router.get("/rebuild", summary="How the latest rebuild stands", responses=STANDING, response_class=Response)
async def standing(node: ServingNode) -> Response:
    """The latest rebuild since the node's start: how far it is or how it ended, with a report or what went wrong.

    While `outdated` is a text, the read models answer as of `checkpoint`, until a rebuild has replaced them.
    """
    latest, outdated = node.rebuilds.latest, node.projections.outdated
    status = latest.status() if latest else None
    previous = await asyncio.to_thread(_previous, node.projections.previous)
    return json(Rebuilds(status, str(outdated) if outdated else None, node.projections.vector(), previous))


@router.post("/rebuild", summary="Build the read models anew", responses=REPORT, response_class=Response)
async def rebuild(node: ServingNode, wait: Wait = True) -> Response:
    """Build all read models anew from the log, beside the live ones, which answer until the new ones take their place.

    One at a time (409). Whoever goes away does not end it; DELETE does. `changed` names the read models that turned out
    otherwise than they were, which no code of today's made. The version before is kept for POST /rebuild/rollback.
    """
    return await _begun(node, "rebuild", wait=wait)


@router.post(
    "/rebuild/verify",
    summary="Prove that the read models are what the log says",
    responses=REPORT,
    response_class=Response,
)
async def verify(node: ServingNode, wait: Wait = True) -> Response:
    """Build all read models anew and compare them with the live ones, which stay in their place in any case.

    `changed` names those that differ: none where all is well.
    """
    return await _begun(node, "verify", wait=wait)


@router.post(
    "/rebuild/rollback", summary="Take the version before the latest rebuild", responses=REPORT, response_class=Response
)
async def roll_back(node: ServingNode, wait: Wait = True) -> Response:
    """Bring back the read models that the latest rebuild replaced, level with the log; another one undoes it.

    409 where there are none, or where other projections than today's made them.
    """
    return await _begun(node, "rollback", wait=wait)


@router.delete(
    "/rebuild", summary="End the rebuild that is under way", status_code=202, response_class=Response, responses=BEGUN
)
async def abandon(node: ServingNode) -> Response:
    """Let the rebuild that is under way come to nothing; the read models stay as they are. 404 where there is none.

    One that the node began because its read models are outdated is begun again after a while.
    """
    if (ended := await node.rebuilds.abandon()) is None:
        return problem(HTTPStatus.NOT_FOUND, "no rebuild is under way")
    return json(ended.status(), HTTPStatus.ACCEPTED)


async def _begun(node: Node, kind: Kind, *, wait: bool) -> Response:
    begun = node.rebuilds.begin(kind)
    if not wait:
        return json(begun.status(), HTTPStatus.ACCEPTED)
    return json(await asyncio.shield(begun.work))


def _previous(path: Path | None) -> Previous | None:
    try:
        found = os.stat(path) if path else None
    except FileNotFoundError:
        return None
    return Previous(datetime.fromtimestamp(found.st_mtime, UTC), found.st_size) if found else None
