"""A later version of Rookery, as a program: it knows one type of event more, and prints what it makes of a folder."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
import msgspec
from rookery.handlers.reactions import Answer, Cause, Reactions, Tell
from rookery.ops.api.app import create_app
from rookery.ops.data_folder import DataFolder
from rookery.ops.node import Node, running_node
from rookery.ops.settings import Settings
from rookery.schemas import InsightRecorded
from rookery.schemas.registry import EventData, event_type


@event_type("gizmo.turned")
class GizmoTurned(EventData, frozen=True, kw_only=True):
    """It was turned."""

    agent_id: str | None = None


async def report_failed_run(cause: Cause) -> Answer:
    """A reaction that was there before, and now knows one type more to react to."""
    return [Tell(InsightRecorded(kind="turned", text=cause.entity.id), cause.entity.id)]


async def settled(node: Node) -> None:
    """Wait until the tables are today's, and there is nothing to react to any more."""
    while node.projections.outdated or not node.reactions.is_idle:
        await asyncio.sleep(0.02)
    await node.projector.wait_for(node.log.vector())


async def main(folder: Path) -> None:
    settings = Settings(data=folder, port=0, nats_port=0)
    tables = [Reactions("alerts", {GizmoTurned: [report_failed_run]})]
    with DataFolder(folder) as owned:
        async with running_node(owned, settings, tables=tables) as node:
            await settled(node)
            http = httpx.AsyncClient(transport=httpx.ASGITransport(create_app(node)), base_url="http://localhost")
            letters = (await http.get("/dead-letters")).json()
            fleet = (await http.get("/query/fleet")).json()["rows"][0]["events"]
            latest = (await http.get("/rebuild")).json()["latest"]
            live = await asyncio.to_thread(node.projections.digests)
            with node.projections.at(node.log.vector()) as then:
                as_of = then.rows("fleet").records()[0]["events"]
            rebuilt = (await asyncio.to_thread(node.projections.rebuild)).digests_after
            await http.aclose()
    told = {"letters": letters, "fleet": fleet, "by_itself": latest and latest["by_itself"], "as_of": as_of}
    print(msgspec.json.encode({**told, "same": live == rebuilt}).decode())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
