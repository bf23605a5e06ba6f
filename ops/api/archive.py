"""The archive over HTTP: where the events are, and having them archived."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ..archive import KEEP_DAYS_MAX, ArchiveReport
from ..archiver import ArchiveStatus
from .dependencies import OpenLanes, ServingNode, json
from .shapes import answers

_REPORT = {
    "archive": "s3://colony/archive",
    "vector": {"local": 1_000_000},
    "bytes": 457_220_000,
    "compressed_bytes": 55_738_576,
    "copied_objects": 3,
    "copied_bytes": 4_200_000,
    "trimmed_segments": 1,
    "freed_bytes": 3_650_373,
    "waiting_bytes": 0,
    "seconds": 0.41,
}
_STATUS = {
    "archive": "s3://colony/archive",
    "hours": 1.0,
    "keep_days": 90.0,
    "running": {"doing": "log/local/00000000000000983041.ndjson.zst", "done": 16, "total": 19},
    "failed": None,
    "origins": {
        "local": {
            "events": 1_000_000,
            "hot": {"events": 917_504, "segments": 14, "bytes": 51_000_000},
            "cold": {"events": 65_536, "segments": 1, "bytes": 3_650_373},
            "open_events": 16_960,
            "archive": "s3://colony/archive",
            "archived": 983_040,
            "verified_at": "2026-11-20T12:00:00Z",
        }
    },
}

Trim = Annotated[
    float | None,
    Query(
        ge=0,
        le=KEEP_DAYS_MAX,
        description="Leave only in the archive what is older than so many days; without it, nothing is let go of.",
        examples=[90],
    ),
]
Verify = Annotated[
    bool, Query(description="Read what was archived before, and copy it anew where it is damaged.", examples=[True])
]

router = APIRouter(prefix="/hobby", tags=["archive"])


@router.post(
    "/archive",
    summary="Archive the log",
    response_class=Response,
    responses=answers(ArchiveReport, "What was copied, and what the archive holds now.", _REPORT),
)
async def archive(node: ServingNode, trim_days: Trim = None, verify: Verify = False) -> Response:
    """Copy what the archive lacks of the log, read each object back, and let go of what the archive alone may keep.

    The place is the node's setting `archive`. The answer comes when it is done; meanwhile, `GET /hobby/archive` tells
    how far it is. One archiving runs at a time: 409 while there is one, or where no archive is set. A client that goes
    away leaves it running.
    """
    return json(await node.archiver.archive(keep_days=trim_days, verify=verify))


@router.get(
    "/archive",
    summary="What is here, and what only the archive has",
    response_class=Response,
    responses=answers(ArchiveStatus, "Where the events are.", _STATUS),
)
async def status(node: ServingNode, lanes: OpenLanes) -> Response:
    """Each origin's events: `hot` in sealed segments here, `cold` in the archive alone, and not sealed yet.

    `archived` is up to which event the archive has sealed segments, each of which was read back when it was copied, the
    latest at `verified_at`. Cold events are fetched by themselves when somebody asks for them.
    """
    return json(await lanes.reads.run(node.archiver.status))
