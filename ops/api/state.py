"""How the node is: health for machines that watch it, status for people."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Response

from ..health import Subsystem
from ..status import Status, status_of
from .dependencies import OpenLanes, ServingNode, json
from .shapes import answers, schema_of

router = APIRouter(tags=["state"])

READY, NOT_READY = "ready", "not ready"


class Live(msgspec.Struct, frozen=True):
    """That the process answers. `since` is when it started."""

    status: Annotated[str, msgspec.Meta(examples=["live"])]
    since: str


class Ready(msgspec.Struct, frozen=True):
    """Whether the node serves, and how each of its parts is, since when, and what is wrong with it."""

    status: str
    subsystems: dict[str, Subsystem]


_WELL = {"state": "ready", "since": "2026-11-20T12:00:00Z", "detail": ""}
_PARTS = dict.fromkeys(("bus", "disk", "graph", "ingest", "nats-server", "projector", "snapshot"), _WELL)
_ILL = {"state": "failed", "since": "2026-11-20T12:30:00Z", "detail": "no answer from nats://127.0.0.1:4222"}
_READY = {"status": READY, "subsystems": _PARTS}
_NOT_READY = {"status": NOT_READY, "subsystems": _PARTS | {"bus": _ILL}}
_STATUS = {
    "node": {"origin": "local", "version": "0.1.0", "state": "ready", "started_at": "2026-11-20T12:00:00Z"},
    "bus": {
        "url": "nats://127.0.0.1:4222",
        "connected": True,
        "messages": 4_711,
        "last_sequence": 4_711,
        "bytes": 2_097_152,
    },
    "events": 4_711,
    "origins": [{"name": "local", "events": 4_711, "lag_events": 0, "duplicates": 3}],
    "projections": [{"name": "runs", "version": 1, "lag_events": 0}],
    "graph_lag_events": 0,
    "dead_letters": 0,
    "subsystems": _PARTS,
}
HEALTH: dict[int | str, dict[str, Any]] = {
    **answers(Ready, "The node is ready to serve.", _READY),
    503: {
        "description": "It isn't; some part has failed, or is starting.",
        "content": {"application/json": {"schema": schema_of(Ready), "example": _NOT_READY}},
    },
}
LIVE = answers(Live, "The process answers.", {"status": "live", "since": "2026-11-20T12:00:00Z"})


@router.get("/health/live", summary="Whether the process answers", response_class=Response, responses=LIVE)
async def live(node: ServingNode) -> Response:
    """200 for as long as the process answers at all. Where it doesn't, starting it again may help."""
    return json({"status": "live", "since": node.started_at})


@router.get("/health/ready", summary="Whether the node serves", response_class=Response, responses=HEALTH)
async def ready(node: ServingNode) -> Response:
    """200 when the node is ready to serve, 503 when it isn't; each part with its state, since when, and the reason.

    A part without which the node serves all the same may be degraded while the node is ready: the snapshot file, or the
    projector, while outdated read models answer as of a while ago and are made anew.
    """
    return _health(node)


@router.get(
    "/health", summary="Whether the node serves: the same as /health/ready", response_class=Response, responses=HEALTH
)
async def health(node: ServingNode) -> Response:
    """200 when the node is ready to serve, 503 when it isn't; each part with its state, since when, and the reason."""
    return _health(node)


@router.get(
    "/status",
    summary="What the node holds, and how far each part is behind",
    response_class=Response,
    responses=answers(Status, "The node at a glance.", _STATUS),
)
async def status(node: ServingNode, lanes: OpenLanes) -> Response:
    """The node, its bus, its log by origin, and how far each read model is behind the log."""
    return json(await status_of(node, lanes.reads))


def _health(node: ServingNode) -> Response:
    found = node.look()
    is_ready = found.is_ready
    return json({"status": READY if is_ready else NOT_READY, "subsystems": found.subsystems}, 200 if is_ready else 503)
