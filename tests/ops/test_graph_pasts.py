"""Questions about the graph as it was: what they see, what is kept of it, and what is left when nobody waits."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rookery.bus import Delivery
from rookery.eventstore import Log
from rookery.ops import graph_pasts, graph_workers
from rookery.ops.graph_pasts import CopyUnreadable, Sources
from rookery.ops.graph_workers import GraphWorkers
from rookery.projections.graph import Graph, PastGraphNotMade
from rookery.projections.graph.exchange import Imports
from rookery.schemas import AgentRegistered, Event, RunStarted, encode, subject_of

from .graph_processes import processes

AGENTS = 20
TRIPLES = "SELECT ?s ?p ?o {?s ?p ?o} ORDER BY ?s ?p ?o"
AGENT_COUNT = "SELECT (COUNT(DISTINCT ?a) AS ?n) {?a a rk:Agent}"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log in which an agent registers with every odd event, and begins a run with the next."""
    with Log.open(tmp_path / "log") as log:
        events = [
            Event.of(data, subject=subject, source="/people/operator")
            for number in range(AGENTS)
            for data, subject in (
                (AgentRegistered(name=f"agent {number}", capabilities=["sql"]), f"a{number}"),
                (RunStarted(agent_id=f"a{number}", parent_run_id=f"r{number - 1}"), f"r{number}"),
            )
        ]
        deliveries = [Delivery(n, subject_of(event), encode(event), NOON) for n, event in enumerate(events, start=1)]
        log.append("here", deliveries)
        yield log


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    return Imports(tmp_path / "imports")


@pytest.fixture
def graph(tmp_path: Path, log: Log) -> Iterator[Graph]:
    """The graph of all of the log."""
    with Graph.open(tmp_path / "graph", log) as graph:
        graph.catch_up()
        yield graph


@pytest.fixture
async def workers(graph: Graph, log: Log, imports: Imports, tmp_path: Path) -> AsyncIterator[GraphWorkers]:
    workers = GraphWorkers(
        lambda: graph.store,
        graph.vector,
        tmp_path / "graph" / "copies",
        seconds_max=10,
        sources=Sources(log.folder, imports, graph.vector, lambda: None),
    )
    yield workers
    await workers.close()
    assert kept(tmp_path) == []
    assert processes() == []


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The moments that were made, by how far they went."""
    found: list[int] = []
    make = graph_workers._make

    async def noted(options: dict[str, Any]) -> dict[str, int]:
        found.append(options["vector"].get("here", 0))
        return await make(options)

    monkeypatch.setattr(graph_workers, "_make", noted)
    return found


async def ask(workers: GraphWorkers, n: int, query: str = AGENT_COUNT) -> str:
    answer = await workers.ask("sparql", as_of={"here": n}, text=query, media_type="text/csv", rows_max=10_000)
    return answer.decode()


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "graph" / "past").glob("*"))


async def test_the_past_answers_as_a_node_that_had_stopped_then(
    workers: GraphWorkers, log: Log, tmp_path: Path
) -> None:
    for n in (38, 3, 21, 0):
        with Graph.open(tmp_path / f"stopped-{n}", log) as stopped:
            stopped.go_to({"here": n} if n else {})
            wanted = sum(1 for _ in stopped.store.query(TRIPLES))  # type: ignore[union-attr]
        assert len((await ask(workers, n, TRIPLES)).splitlines()) == wanted + 1
        assert await ask(workers, n) == f"n\r\n{(n + 1) // 2}\r\n"


async def test_who_asks_for_the_same_moment_at_once_waits_for_the_same_graph(
    made: list[int], workers: GraphWorkers
) -> None:
    assert len({*await asyncio.gather(*(ask(workers, 7) for _ in range(5)))}) == 1
    await ask(workers, 7)
    assert made == [7]


async def test_few_moments_are_kept_and_the_longest_unused_goes(
    made: list[int], workers: GraphWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_pasts, "PASTS_KEPT_MAX", 2)
    for n in (10, 20, 10, 30, 10, 20):
        await ask(workers, n)
    assert made == [10, 20, 30, 20]
    assert len(kept(tmp_path)) == 2


async def test_a_moment_that_nobody_has_looked_at_for_long_goes(
    made: list[int], workers: GraphWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_pasts, "KEPT_SECONDS_MAX", 0.0)
    await ask(workers, 7)
    await workers.ask("stats")  # the worker looks elsewhere
    assert kept(tmp_path) == []
    await ask(workers, 7)
    assert made == [7, 7]


async def test_a_graph_that_nobody_waits_for_any_more_is_given_up(workers: GraphWorkers, tmp_path: Path) -> None:
    asking = [asyncio.create_task(ask(workers, n)) for n in (5, 5, 9)]
    while not processes():
        await asyncio.sleep(0)
    for one in asking:
        one.cancel()
    await asyncio.wait(asking)
    assert await ask(workers, 9) == "n\r\n5\r\n"
    assert len(kept(tmp_path)) == 1
    assert len(processes()) == 1


async def test_a_graph_that_takes_too_long_is_gone_on_with_when_it_is_asked_for_again(
    workers: GraphWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(graph_pasts, "MAKING_SECONDS_MAX", 0)
        with pytest.raises(PastGraphNotMade, match="as of here:9: not done after 0 seconds; ask again"):
            await ask(workers, 9)
    assert await ask(workers, 9) == "n\r\n5\r\n"


async def test_a_graph_that_was_damaged_is_made_again(made: list[int], workers: GraphWorkers, tmp_path: Path) -> None:
    await ask(workers, 9)
    (folder,) = kept(tmp_path)
    await ask(workers, 11)  # the worker looks elsewhere
    shutil.rmtree(folder)
    with pytest.raises(CopyUnreadable):
        await ask(workers, 9)
    assert await ask(workers, 9) == "n\r\n5\r\n"
    assert made == [9, 11, 9]


async def test_a_graph_that_cant_be_made_says_why_and_leaves_nothing(
    workers: GraphWorkers, log: Log, tmp_path: Path
) -> None:
    past = tmp_path / "graph" / "past"
    past.write_text("in the way")
    with pytest.raises(PastGraphNotMade, match="Not a directory"):
        await ask(workers, 9)
    past.unlink()
    assert await ask(workers, 9) == "n\r\n5\r\n"


async def test_reference_data_is_in_the_graph_of_every_moment(
    workers: GraphWorkers, graph: Graph, imports: Imports
) -> None:
    assert await ask(workers, 1) == "n\r\n1\r\n"
    imports.add(b"<urn:x> a <https://rookery.dev/ns#Agent> .", "text/turtle", graph.store)
    assert await ask(workers, 1) == "n\r\n2\r\n"
