"""The graph's projector: it keeps the graph level with the log, and gives way to the read models."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops import giving_way
from rookery.ops.giving_way import GivingWay
from rookery.ops.health import Health
from rookery.ops.projector import Projector
from rookery.projections import Projections
from rookery.projections.graph import Graph
from rookery.schemas import Event, RunStarted, encode, subject_of


def append(log: Log, name: str) -> None:
    event = Event.of(RunStarted(agent_id="coder"), subject=name, source="/agents/coder")
    log.append("local", [Delivery(log.bus_sequence("local") + 1, subject_of(event), encode(event), datetime.now(UTC))])


async def test_the_graph_is_kept_level_with_the_log(tmp_path: Path) -> None:
    with Log.open(tmp_path / "log") as log, Graph.open(tmp_path / "graph", log) as graph:
        health = Health()
        projector = Projector(graph, health, "graph")
        task = asyncio.create_task(projector.run())
        for name in ("run-1", "run-2"):
            append(log, name)
            projector.wake()
            await projector.wait_for(log.vector())
            assert graph.store.query(f"ASK {{ GRAPH ?event {{ <urn:rookery:run:{name}> ?about ?it }} }}")
        assert health.subsystems.keys() <= {"graph"}
        task.cancel()
        await asyncio.wait([task])
        projector.close()


def test_the_graph_waits_longer_while_the_read_models_are_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("rookery.ops.giving_way.time.sleep", pauses.append)
    monkeypatch.setattr(giving_way, "BEHIND_EVENTS", 0)
    with Log.open(tmp_path / "log") as log, Projections.open(tmp_path / "projections.duckdb", log) as projections:
        give_way = GivingWay(log, projections)
        give_way(0.1)
        append(log, "run-1")
        give_way(0.1)
        projections.catch_up()
        give_way(0.1)
        give_way(1_000)
    assert pauses == [0.25, pytest.approx(0.4), 0.25, 0.5]  # what is between the bounds is a share of the work
