"""The graph's projector: it keeps the graph level with the log, and gives way to the read models."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops import giving_way
from rookery.ops.giving_way import GivingWay, step_back
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


def test_the_graph_waits_for_those_who_are_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Log.open(tmp_path / "log") as log, Projections.open(tmp_path / "projections.duckdb", log) as projections:
        give_way = GivingWay(log, projections)
        assert give_way(0.1) == pytest.approx(0.025)
        append(log, "run-1")
        assert give_way(0.1) == pytest.approx(0.4)
        assert give_way(0.001) == giving_way.PAUSE_SECONDS_MIN
        monkeypatch.setattr(giving_way, "BEHIND_EVENTS", 0)
        assert give_way(0.1) == pytest.approx(0.9)
        projections.catch_up()
        assert give_way(0.1) == pytest.approx(0.025)


def test_a_graph_that_waits_is_closed_at_once(tmp_path: Path) -> None:
    with Log.open(tmp_path / "log") as log:
        append(log, "run-1")
        graph = Graph.open(tmp_path / "graph", log)
        waits = threading.Event()

        def pace(_: float) -> float:
            waits.set()
            return 3_600

        graph.pace = pace
        folding = threading.Thread(target=graph.catch_up)
        folding.start()
        waits.wait()
        graph.close()
        folding.join()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all threads of a process have one niceness")
def test_only_the_thread_that_steps_back_is_nicer() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    before = niceness()
    with ThreadPoolExecutor(1, initializer=step_back) as nice:
        assert nice.submit(niceness).result() == giving_way.NICENESS
    assert niceness() == before
