"""How the node is: health for machines that watch it, status for people."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ..status import status_of
from .dependencies import OpenLanes, ServingNode, json

router = APIRouter(tags=["state"])


@router.get("/health")
async def health(node: ServingNode) -> Response:
    """200 when the node is ready to serve, 503 when it isn't; each subsystem with its state and since when."""
    found = node.look()
    ready = found.is_ready
    body = {"status": "ready" if ready else "not ready", "subsystems": found.subsystems}
    return json(body, 200 if ready else 503)


@router.get("/status")
async def status(node: ServingNode, lanes: OpenLanes) -> Response:
    """The node, its bus, its log by origin, and how far each read model is behind the log."""
    return json(await status_of(node, lanes.reads))
