"""Verification over HTTP: having the log held against what it must be, and how it was found the last time."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ..verifying import Verified, VerifyStatus
from .dependencies import ServingNode, json
from .shapes import answers

_VERIFIED = {
    "deep": False,
    "bytes": 55_738_576,
    "seconds": 0.09,
    "ended_at": "2026-11-20T12:00:00Z",
    "findings": [
        {
            "kind": "segment_altered",
            "origin": "local",
            "file": "local/00000000000000065537.ndjson.zst",
            "what": "its hash is not the manifest's, and what is at byte 1,204,224 does not decode",
            "remedy": "restore it from the archive, a peer or a backup",
            "first": 86_017,
            "last": 90_112,
            "offset": 1_204_224,
        }
    ],
    "more": False,
    "healed": [],
    "stream_drift": ["EVENTS: max_msgs is 10, not -1"],
}
_STATUS = {
    "running": {"bytes_done": 20_971_520, "bytes_total": 55_738_576},
    "latest": _VERIFIED,
    "rounds": 12,
    "bytes": 1_337_725_824,
}

Deep = Annotated[
    bool,
    Query(
        description="Decode every line, and look at what is derived, too; without it, files are hashed.",
        examples=[True],
    ),
]
Heal = Annotated[
    bool,
    Query(description="Heal what is found, from the archive, the bus or a peer, where one has it.", examples=[True]),
]

router = APIRouter(tags=["log"])


@router.post(
    "/verify",
    summary="Verify the log",
    response_class=Response,
    responses=answers(Verified, "What is wrong with it; no findings where nothing is.", _VERIFIED),
)
async def verify(node: ServingNode, deep: Deep = False, heal: Heal = False) -> Response:
    """Hold every byte of the log against its manifest, its signatures and its chain, as fast as it goes.

    The answer comes when it is done; meanwhile, `GET /verify` tells how far it is. What is lost is not served from then
    on: who asks for it gets 503. One verification runs at a time: 409 while there is one.
    """
    return json(await node.verifier.verify(deep=deep, heal=heal))


@router.get(
    "/verify",
    summary="How the log was found",
    response_class=Response,
    responses=answers(VerifyStatus, "The latest verification, and how far the present one is.", _STATUS),
)
async def status(node: ServingNode) -> Response:
    """What the latest verification found, one of the node's own rounds or one that somebody asked for."""
    return json(node.verifier.status())
