"""Proofs over HTTP: that an event is in the log, as it is there."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Response

from ...eventstore import Proof
from ...eventstore.proofs import prove as prove_line
from .dependencies import OpenLanes, ServingNode, json
from .shapes import answers

LINE_N_MAX = 2**63 - 1
_EXAMPLE = {
    "format": "rookery.proof.v1",
    "origin": "local",
    "n": 2,
    "line": '{"n":2,"seq":2,"recordedtime":"2026-11-20T13:53:04.530453Z","specversion":"1.0"}',
    "audit_path": ["6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"],
    "manifest": ['{"segment":"00000000000000000001.ndjson.zst","first":1,"last":2,"events":2}'],
    "head": "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}

router = APIRouter(tags=["proofs"])


@router.get(
    "/prove/{origin}/{n}",
    summary="Prove that a line is in the log",
    response_class=Response,
    responses=answers(Proof, "The proof, to be kept or handed on.", _EXAMPLE),
)
async def prove(
    node: ServingNode,
    lanes: OpenLanes,
    origin: Annotated[str, Path(description="The origin.", examples=["local"])],
    n: Annotated[int, Path(ge=1, le=LINE_N_MAX, description="The line's number.", examples=[17])],
) -> Response:
    """The line's bytes, their Merkle path in their segment, and the manifest from there on: checked by hashing alone.

    404 for a line that the log does not have, 409 while its segment is not sealed: ask again when it is.
    """
    return json(await lanes.reads.run(partial(prove_line, node.log, origin, n)))
