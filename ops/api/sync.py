"""Sync over HTTP: what another node asks for to copy from this one's log, and having this one copy from others."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from ..syncing import BundlePeer, Offer, Pulled, SyncStatus, encode_run
from ..syncing.peers import CHAINS_AT_ONCE_MAX, MANIFEST_LINES_MAX, Chain
from .bodies import NDJSON
from .dependencies import OpenLanes, ServingNode, json
from .shapes import answers

NUMBER_MAX = 2**63 - 1
SEGMENT = "application/vnd.rookery.segment+zstd"
LINES = "application/vnd.rookery.lines+zstd"


def _found(media_type: str, description: str, content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {media_type: content}}}


_OFFER = {
    "own": "east",
    "origins": {
        "east": {
            "last": 70_000,
            "chain": "3f786850e387550f",
            "sealed": 65_536,
            "manifest": "89e6c98d92887913cadf06b2adb97f26cde4849b0b7a0f0a3c0f2f9a7a8d6f5e",
            "signer": None,
            "begin": 0,
        }
    },
}

_PULLED = {
    "peer": "http://east:8800",
    "events": {"east": 4_464},
    "segments": 0,
    "bytes": 2_012_000,
    "missing": {"east": 4_464},
    "behind": 0,
    "forks": [],
    "failures": {},
}
_STATUS = {
    "peers": [
        {
            "peer": "http://east:8800",
            "lag_events": 0,
            "last_success": "2026-11-20T12:00:00Z",
            "events": 70_000,
            "bytes": 6_400_000,
            "failed": None,
            "forks": [],
            "doing": None,
            "done": 0,
            "total": 0,
        }
    ]
}

_CHAINS = ["3f786850e387550f", "89e6c98d92887913"]
_MANIFEST = '{"segment":"00000000000000000001.ndjson.zst","first":1,"last":65536,"events":65536}\n'

OriginName = Annotated[str, InPath(description="The origin.", examples=["local"])]
After = Annotated[int, Query(ge=0, le=NUMBER_MAX, description="What comes behind this n.", examples=[65_536])]
Limit = Annotated[int, Query(ge=1, le=MANIFEST_LINES_MAX, description="At most so many.", examples=[100])]
UpTo = Annotated[int, Query(ge=1, le=NUMBER_MAX, description="Nothing beyond this n.", examples=[131_072])]

PEER = "^(https?|nats|tls|wss?)://."
_PEER_IS = "The peer's URL, also nats://host:4222/NODE, or nats:///NODE on this node's own bus."

router = APIRouter(prefix="/sync", tags=["sync"])


@router.get(
    "",
    summary="How sync goes",
    response_class=Response,
    responses=answers(SyncStatus, "Each peer, and what was copied from it.", _STATUS),
)
async def status(node: ServingNode) -> Response:
    """What was pulled from each peer since the node started, when that last worked, and what is wrong if it doesn't."""
    return json(node.syncing.status())


@router.post(
    "",
    summary="Copy what a peer has",
    response_class=Response,
    responses=answers(Pulled, "What came, and what could not be taken.", _PULLED),
)
async def pull(
    node: ServingNode,
    peer: Annotated[str, Query(pattern=PEER, description=_PEER_IS, examples=["http://host:8800"])],
) -> Response:
    """Copy into this node's log what the peer has and it lacks, verbatim, each byte checked before it is written.

    The answer comes when all is here; meanwhile, `GET /sync` tells how far it is. What breaks off goes on where it was.
    """
    return json(await node.pull_from(peer))


@router.post(
    "/bundle",
    summary="Import a bundle",
    response_class=Response,
    responses=answers(Pulled, "What came, and what could not be taken.", _PULLED),
)
async def take_bundle(request: Request, node: ServingNode) -> Response:
    """Copy into this node's log what a bundle has and it lacks. The body is the file that was exported.

    What is wrong with it is named, and nothing of that is kept. Sending the same bundle again changes nothing.
    """
    with TemporaryFile(dir=node.settings.data) as file:
        async for piece in request.stream():
            node.disk.ensure_room()
            await asyncio.to_thread(file.write, piece)
        file.seek(0)
        with await asyncio.to_thread(BundlePeer, Path("the bundle"), file) as bundle:
            return json(await node.syncing.pull(bundle))


@router.get(
    "/vector",
    summary="How far this node is",
    response_class=Response,
    responses=answers(Offer, "Each origin's last n, its chain there, and how far it is sealed.", _OFFER),
)
async def vector(node: ServingNode, lanes: OpenLanes) -> Response:
    """What this node has: nodes with the same `last` and `chain` of an origin have the same lines of it."""
    return json(await lanes.reads.run(node.offering.offer))


@router.get(
    "/{origin}/chains",
    summary="The chain at some lines",
    response_class=Response,
    responses=answers(list[Chain], "The chains, in the order of `at`.", _CHAINS),
)
async def chains(
    node: ServingNode,
    lanes: OpenLanes,
    origin: OriginName,
    at: Annotated[
        list[Annotated[int, Query(ge=0, le=NUMBER_MAX)]],
        Query(max_length=CHAINS_AT_ONCE_MAX, description="The lines' n.", examples=[[1, 65_536]]),
    ],
) -> Response:
    """The chain at each line, in the order that they are asked for: where two histories part, theirs do."""
    return json(await lanes.reads.run(partial(node.offering.chains, origin, at)))


@router.get(
    "/{origin}/manifest",
    summary="An origin's manifest",
    response_class=Response,
    responses=_found(NDJSON, "Its lines.", {"schema": {"type": "string"}, "example": _MANIFEST}),
)
async def manifest(
    node: ServingNode,
    lanes: OpenLanes,
    origin: OriginName,
    after: After = 0,
    limit: Annotated[
        int, Query(ge=1, le=MANIFEST_LINES_MAX, description="At most so many.", examples=[100])
    ] = MANIFEST_LINES_MAX,
) -> Response:
    """The manifest's lines for what is sealed behind `after`, verbatim."""
    lines = await lanes.reads.run(partial(node.offering.manifest, origin, after))
    return Response(b"".join(line + b"\n" for line in lines[:limit]), media_type=NDJSON)


@router.get(
    "/{origin}/segments/{first}",
    summary="A sealed segment",
    response_class=Response,
    responses=_found(SEGMENT, "The file.", {}),
)
async def segment(
    node: ServingNode,
    lanes: OpenLanes,
    origin: OriginName,
    first: Annotated[int, InPath(ge=1, le=NUMBER_MAX, description="The n that it begins with.", examples=[1])],
) -> Response:
    """The file of the segment that begins with this n, byte for byte; what the archive alone has is fetched first."""
    path = await lanes.reads.run(partial(node.offering.segment, origin, first))
    return FileResponse(path, media_type=SEGMENT)


@router.get(
    "/{origin}/lines",
    summary="Some lines",
    response_class=Response,
    responses=_found(LINES, "The lines, compressed.", {}),
)
async def lines(
    node: ServingNode,
    lanes: OpenLanes,
    origin: OriginName,
    after: After = 0,
    up_to: Annotated[
        int, Query(ge=1, le=NUMBER_MAX, description="Nothing beyond this n.", examples=[131_072])
    ] = NUMBER_MAX,
) -> Response:
    """Lines of one segment behind `after`, verbatim, in one zstd frame.

    The first line says with which n their segment begins; then come at least one, and as many as travel at once.
    """

    def run() -> bytes:
        return encode_run(node.offering.lines(origin, after, up_to))

    return Response(await lanes.reads.run(run), media_type=LINES)
