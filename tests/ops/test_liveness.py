"""A node watches the agents of its bus: the dead are told, also by an alert, and a node that starts gives grace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rookery.bus import Entity
from rookery.handlers.fleet.beats import Beat, beat_subject
from rookery.ops.api.app import create_app
from rookery.ops.data_folder import DataFolder
from rookery.ops.liveness import watch_of
from rookery.ops.node import Node, running_node
from rookery.ops.settings import Settings
from rookery.schemas import (
    AgentRegistered,
    AgentStateChanged,
    AssignmentCompleted,
    AssignmentFailed,
    Event,
    LlmCallCompleted,
    decode,
    encode,
)

CONDITION_SECONDS = 20.0


@asynccontextmanager
async def node_at(folder: Path, **settings: Any) -> AsyncIterator[tuple[Node, httpx.AsyncClient]]:
    chosen = Settings(data=folder, port=0, nats_port=0, verify_megabytes_per_second=0, **settings)
    with DataFolder(folder) as data:
        async with running_node(data, chosen) as node:
            transport = httpx.ASGITransport(create_app(node))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield node, http


async def states_of(node: Node, agent_id: str) -> list[str]:
    history = await node.bus.history(Entity("agent", agent_id))
    told = [decode(one.payload).payload() for one in history.deliveries]
    return [getattr(one, "state", "registered") for one in told]


async def the_dead_can_claim_nothing(http: httpx.AsyncClient) -> None:
    """Over HTTP; what they spent is taken all the same."""
    spent = LlmCallCompleted(provider="openai", request_model="gpt-4o", agent_id="dead")
    for source, fact, status in (
        ("/agents/dead", AssignmentCompleted(agent_id="dead"), 409),
        ("/agents/dead", spent, 202),
        ("/agents/slow", AssignmentCompleted(agent_id="slow"), 202),
        ("/people/ann", AssignmentFailed(agent_id="dead", error="it died"), 202),
    ):
        event = Event.of(fact, subject="x", source=source)
        answer = await http.post("/events", content=encode(event))
        assert answer.status_code == status, answer.text
        if status == 409:
            problem = answer.json()
            assert "agent 'dead' (incarnation 1) can commit nothing" in problem["detail"]
            assert [(one["error"], one["field"]) for one in problem["refusals"]] == [("Fenced", "source")]


async def rows(http: httpx.AsyncClient, name: str) -> list[dict[str, Any]]:
    answer = await http.get(f"/query/{name}")
    return msgspec.json.decode(answer.content)["rows"]  # type: ignore[no-any-return]


async def test_the_dead_are_told_with_an_alert_and_a_restart_gives_the_living_grace(tmp_path: Path) -> None:
    register = b'{"subject":"%s","data":{"heartbeat_interval_seconds":%s}}'
    async with node_at(tmp_path) as (node, http):
        await node.bus.request("cmd.agent.register", register % (b"dead", b"0.2"))
        await node.bus.request("cmd.agent.register", register % (b"slow", b"1000"))
        beat = Beat(time=datetime.now(UTC), incarnation=1, active_assignments=2)
        async with asyncio.timeout(CONDITION_SECONDS):
            while len(node.watch.tracker) < 2:
                await asyncio.sleep(0.01)
            await node.bus.send(beat_subject("slow"), msgspec.json.encode(beat))
            await node.bus.send(beat_subject("nobody"), msgspec.json.encode(beat))
            while not (alerts := await rows(http, "alerts")):
                await asyncio.sleep(0.02)
        assert (alerts[0]["kind"], alerts[0]["agent_id"]) == ("agent_expired", "dead")
        assert await states_of(node, "dead") == ["registered", "suspect", "expired"]
        told = {row["agent_id"]: row for row in await rows(http, "agents")}
        assert (told["dead"]["state"], told["dead"]["incarnation"], told["slow"]["state"]) == ("expired", 1, "alive")
        sighting = node.watch.tracker.seen("slow")
        assert sighting is not None
        assert sighting.active_assignments == 2
        await the_dead_can_claim_nothing(http)
        metrics = (await http.get("/metrics")).text
        assert 'rookery_agents_watched{state="expired"} 1.0' in metrics
        assert 'rookery_agent_beats_total{outcome="unknown"} 1.0' in metrics
        assert 'rookery_agent_steps_total{step="expire"} 1.0' in metrics
    async with node_at(tmp_path, agent_evict_seconds=0.01) as (node, http):
        async with asyncio.timeout(CONDITION_SECONDS):
            while node.watch.tracker.record("dead").state != "evicted":
                await asyncio.sleep(0.01)
        assert node.watch.tracker.record("slow").state == "alive"
        assert await states_of(node, "dead") == ["registered", "suspect", "expired", "evicted"]


async def test_of_the_gone_a_watch_begins_with_those_who_went_last(tmp_path: Path) -> None:
    async with node_at(tmp_path) as (node, _):
        for agent_id in ("alive", "b", "m", "z"):
            born = AgentRegistered(name=agent_id, heartbeat_interval_seconds=1_000)
            await node.bus.publish(Event.of(born, subject=agent_id, source="/people/ann"))
        for agent_id in ("z", "b", "m"):
            died = AgentStateChanged(state="evicted", incarnation=1)
            receipt = await node.bus.publish(Event.of(died, subject=agent_id, source="/people/ann"))
        await node.until(receipt.sequence, "visible")
        for gone_max, known in ((1, {"b": "unknown", "m": "evicted", "alive": "alive"}), (3, {"z": "evicted"})):
            watch = watch_of(node, gone_max=gone_max)
            running = asyncio.create_task(watch.run())
            async with asyncio.timeout(CONDITION_SECONDS):
                while not watch.is_watching:
                    await asyncio.sleep(0.01)
            assert {agent_id: watch.tracker.record(agent_id).state for agent_id in known} == known
            assert watch.tracker.is_complete == (gone_max == 3)
            running.cancel()
            await asyncio.wait([running])
