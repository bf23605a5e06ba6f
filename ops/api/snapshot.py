"""The snapshot file over HTTP: having it written, and taking it along."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from ...projections import Snapshot
from ..lanes import Lane
from .dependencies import OpenLanes, ServingNode, json
from .problems import problem

DUCKDB = "application/vnd.duckdb"
CHUNK_BYTES = 1024 * 1024

EXAMPLE = {
    "path": "rookery-data/snapshot/rookery.duckdb",
    "size_bytes": 5_517_312,
    "written_at": "2026-11-20T12:00:00Z",
    "seconds": 0.21,
    "checkpoint": {"local": 4_711},
}
WRITTEN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Where the file lies, and what it holds.",
        "content": {"application/json": {"example": EXAMPLE}},
    }
}
FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {DUCKDB: {"schema": {"type": "string", "format": "binary"}}}}
}

router = APIRouter(tags=["snapshot"])


@router.post("/snapshot", summary="Write the snapshot file", response_class=Response, responses=WRITTEN)
async def write(node: ServingNode) -> Response:
    """Copy all read models into a DuckDB file of plain tables, which replaces the snapshot before it at once.

    It holds what could be queried when the request came. Where nothing is new since the latest one, that one is it.
    `checkpoint` is the last event of each origin that it holds.
    """
    return json(_shown(await node.snapshot.write()))


@router.get("/snapshot", summary="Download the snapshot file", response_class=Response, responses=FILE)
async def download(node: ServingNode, lanes: OpenLanes) -> Response:
    """The latest snapshot: a DuckDB file that DuckDB 1.3 and everything newer reads. 404 before there is one."""
    try:
        file = await lanes.reads.run(partial(_opened, node.snapshot.path))
    except FileNotFoundError:
        return problem(HTTPStatus.NOT_FOUND, "there is no snapshot yet; POST /snapshot writes one")
    headers = {
        "content-length": str(os.fstat(file.fileno()).st_size),
        "content-disposition": f'attachment; filename="{node.snapshot.path.name}"',
    }
    return StreamingResponse(_chunks(file, lanes.reads), media_type=DUCKDB, headers=headers)


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    return snapshot._asdict() | {"path": str(snapshot.path)}


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


async def _chunks(file: BinaryIO, reads: Lane) -> AsyncIterator[bytes]:
    """The file that was opened, although another one may have its name by now."""
    with file:
        while chunk := await reads.run(partial(file.read, CHUNK_BYTES)):
            yield chunk
