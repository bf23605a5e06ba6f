"""What the page on the graph says can be asked of it, with the answers that it gives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyoxigraph import QuerySolutions
from rookery.handlers.importers.sources import source_named
from rookery.projections.graph import PREFIXES, Graph
from rookery.schemas import AgentStateChanged, RunFailureAttributed, RunStarted

from ..colony import Colony, at, fact

PAGE = Path(__file__).parents[3] / "docs" / "ontology.md"
PAIR = re.compile(r"```sparql\n([^`]*)```\n\n```text\n([^`]*)```", re.DOTALL)


def ask(graph: Graph, query: str) -> list[list[str]]:
    found: Any = graph.store.query(query, prefixes=PREFIXES)
    assert isinstance(found, QuerySolutions)
    names = [variable.value for variable in found.variables]
    return [names, *([solution[name].value for name in names] for solution in found)]


def table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"


@pytest.fixture
def graph(colony: Colony, tmp_path: Path) -> Iterator[Graph]:
    with Graph.open(tmp_path / "graph", colony.log) as graph:
        yield graph


def test_the_examples_answer_as_the_page_says(colony: Colony, graph: Graph, recorded_data: Path) -> None:
    source = source_named("who-and-when")
    for path in source.files([recorded_data / "whoandwhen" / "Algorithm-Generated"]):
        with path.open("rb") as file:
            colony.append(found.payload for found in source.read(file, path.stem, time=at(0)))
    graph.catch_up()
    examples = PAIR.findall(PAGE.read_text())
    assert len(examples) >= 3
    for query, answer in examples:
        assert table(ask(graph, query)) == answer


def test_a_state_can_be_asked_for_as_of_any_time(colony: Colony, graph: Graph) -> None:
    colony.append(
        fact(AgentStateChanged(state=state), "coder", seconds)
        for state, seconds in (("alive", 0), ("suspect", 10), ("expired", 20))
    )
    graph.catch_up()
    (query,) = [
        query for query in re.findall(r"```sparql\n(.*?)```", PAGE.read_text(), re.DOTALL) if "validFrom" in query
    ]
    assert ask(graph, query)[1:] == [["coder", "suspect"]]
    assert ask(graph, query.replace("12:00:15", "12:00:05"))[1:] == [["coder", "alive"]]


def test_every_triple_that_an_event_says_leads_back_to_it(colony: Colony, graph: Graph) -> None:
    colony.append(
        [
            fact(RunStarted(task="x"), "run-1", 1),
            fact(RunFailureAttributed(agent_id="a b/ü", step=2, reason="r"), "run-1", 2),
        ]
    )
    graph.catch_up()
    query = """
        SELECT ?agent ?origin ?n ?teller ?time WHERE {
            GRAPH ?event { ?failure rk:madeBy ?who . ?event rk:origin ?origin ; rk:n ?n ;
                prov:wasAttributedTo ?teller ; prov:generatedAtTime ?time }
            ?who rk:id ?agent
        }"""
    assert ask(graph, query)[1:] == [["a b/ü", "here", "2", "urn:rookery:agent:coder-7", "2026-11-20T12:00:02Z"]]
