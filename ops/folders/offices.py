"""Where a folder's tasks are given and asked after: the node itself, or a node's HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

from ...bus import BusError
from ...projections import ProjectionError
from ...schemas import RookeryError
from .. import assignments
from ..assignments import Standing, Wanted
from ..client import Client, RequestRefused
from ..disk import DiskFull
from ..health import HeldUp

if TYPE_CHECKING:
    from ..node import Node

OVER = (Path(__file__).parent.parent / "sql" / "assignments_over.sql").read_text("utf-8")


class NotNow(RookeryError):
    """The node can't take it right now: the same again later may do."""


class Office(Protocol):
    """Who takes tasks and knows how they stand."""

    async def give(self, wanted: Wanted) -> Standing:
        """Give the task; under an id that is known, nothing is given twice. Raises `NotNow`, or what is refused."""

    async def over(self, ids: Collection[str]) -> list[Standing]:
        """Those of the assignments that are over. Raises `NotNow`."""


class NodeOffice:
    """The node that this is."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._looked_at: dict[str, int] = {}
        self._asked: set[str] = set()

    async def give(self, wanted: Wanted) -> Standing:
        """See `Office.give`."""
        try:
            return await assignments.give(self._node, wanted, "durable")
        except (BusError, DiskFull, HeldUp) as error:
            raise NotNow(str(error)) from None

    async def over(self, ids: Collection[str]) -> list[Standing]:
        """See `Office.over`: asked again only where the read models have moved on, or others are asked after.

        Whoever still asks after one that is over has not been told of it, or could not write that down.
        """
        held = self._node.projections.vector()
        if held == self._looked_at and self._asked.issuperset(ids):
            return []
        try:
            found = await asyncio.to_thread(self._over, ids)
            over = [await assignments.standing(self._node.bus, one) for one in found]
        except (BusError, ProjectionError) as error:
            raise NotNow(str(error)) from None
        self._looked_at, self._asked = held, set(ids).difference(found)
        return over

    def _over(self, ids: Collection[str]) -> list[str]:
        asked = {"ids": msgspec.json.encode(list(ids)).decode()}
        answer = self._node.projections.sql(OVER, asked, limit=len(ids))
        return [row["assignment_id"] for row in answer.records()]


class HttpOffice:
    """A node somewhere, by its HTTP API."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def give(self, wanted: Wanted) -> Standing:
        """See `Office.give`."""
        return await asyncio.to_thread(self._give, wanted)

    async def over(self, ids: Collection[str]) -> list[Standing]:
        """See `Office.over`."""
        return await asyncio.to_thread(self._over, ids)

    def _give(self, wanted: Wanted) -> Standing:
        return self._standing(lambda: self._client.post("/assignments", msgspec.json.encode(wanted), wait="durable"))

    def _over(self, ids: Collection[str]) -> list[Standing]:
        asked = {"sql": OVER, "parameters": {"ids": msgspec.json.encode(list(ids)).decode()}, "limit": len(ids)}
        try:
            rows = self._client.post("/sql", msgspec.json.encode(asked))["rows"]
        except RookeryError as error:
            raise NotNow(str(error)) from None
        return [self._one(row["assignment_id"]) for row in rows]

    def _one(self, assignment_id: str) -> Standing:
        return self._standing(lambda: self._client.get(f"/assignments/{quote(assignment_id, safe='')}"))

    def _standing(self, ask: Any) -> Standing:
        try:
            return msgspec.convert(ask(), Standing)
        except RequestRefused:
            raise
        except (RookeryError, msgspec.ValidationError) as error:
            raise NotNow(str(error)) from None
