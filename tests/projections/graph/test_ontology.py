"""The graph keeps to its ontology: it reasons as OWL-RL does, and every fold has the shapes that are published."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import owlrl
import pyshacl
import pytest
from owlrl.OWLRL import OWLRL_Semantics
from pyoxigraph import NamedNode, RdfFormat, serialize
from rdflib import OWL, RDF, URIRef
from rdflib import Graph as Triples
from rookery.projections.graph import ONTOLOGY_FILE, SHAPES_FILE, Graph
from rookery.projections.graph.names import INFERRED, RK, URN
from rookery.projections.graph.names import OWL as OWL_TERMS
from rookery.schemas import (
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentStarted,
    Event,
    FeedbackGiven,
    FeedbackGivenV1,
    InsightRecorded,
    LlmCallCompleted,
    MessageRecorded,
    NodeStarted,
    RunCompleted,
    RunFailed,
    RunFailureAttributed,
    RunStarted,
    ToolCallCompleted,
)

from ..colony import Colony, fact

COLONY: list[Event] = [
    fact(NodeStarted(version="1"), "here", source="/nodes/here"),
    fact(AgentRegistered(name="Coder", role="coder", capabilities=["code.fix", "code.review"]), "coder", 0),
    fact(AgentRegistered(name="Boss", tier="coordinator", parent_agent_id="owner"), "boss", 1),
    fact(AgentStateChanged(state="suspect", reason="silent"), "coder", 10),
    fact(AgentUnregistered(), "coder", 20),
    fact(AssignmentCreated(kind="fix", agent_id="coder", skill="code.fix"), "as-1", 1),
    fact(AssignmentStarted(agent_id="coder", run_id="run-2"), "as-1", 2),
    fact(RunStarted(agent_id="boss", task_id="t-1", task="Ship it"), "run-1", 1),
    fact(RunStarted(agent_id="coder", parent_run_id="run-1", assignment_id="as-1", task="Fix: it!"), "run-2", 2),
    fact(RunStarted(skill="code.fix", parent_run_id="run-2", clock="none"), "run-3", 3),
    fact(ToolCallCompleted(tool="grep", run_id="run-2", agent_id="coder"), "call-1", 4),
    fact(LlmCallCompleted(provider="openai", request_model="gpt-4o", run_id="run-2"), "call-2", 4),
    fact(MessageRecorded(run_id="run-2", step=0, role="user", agent_id="helper", content="go"), "m-1", 4),
    fact(RunCompleted(success=True, reward=1.0), "run-1", 9),
    fact(RunFailed(error="Timed out."), "run-2", 8),
    fact(RunFailureAttributed(agent_id="helper", step=3, reason="It was not read.", attributed_by="judge"), "run-2", 9),
    fact(InsightRecorded(kind="lesson", text="Read it.", run_id="run-2", agent_id="helper", confidence=0.5), "in-1", 9),
    fact(InsightRecorded(kind="lesson", text="read  it", skill="code.fix", tags=["reading"]), "in-2", 9),
    fact(FeedbackGiven(kind="score", run_id="run-2", agent_id="coder", score=0.25), "f-1", 9),
    fact(FeedbackGivenV1(run_id="run-1", stars=5), "f-2", 9),
    fact(AssignmentFailed(agent_id="coder", error="timed out"), "as-1", 9),
    fact(AssignmentCompleted(agent_id="coder", score=1.0), "as-2", 9),
]


@pytest.fixture
def graph(colony: Colony, tmp_path: Path) -> Graph:
    """What the colony's events say, and what follows."""
    graph = Graph.open(tmp_path / "graph", colony.append(COLONY).log)
    graph.catch_up()
    return graph


def triples(graph: Graph, *, inferred: bool) -> Triples:
    """What events say, or what follows, as rdflib has it."""
    found = {
        quad.triple
        for quad in graph.store
        if isinstance(quad.graph_name, NamedNode)
        and (quad.graph_name == INFERRED if inferred else quad.graph_name.value.startswith(f"{URN}event:"))
    }
    return Triples().parse(serialize(found, format=RdfFormat.N_TRIPLES) or b"", format="nt")


def test_what_follows_is_what_an_owl_rl_reasoner_makes_of_the_same_facts(graph: Graph) -> None:
    said, followed = triples(graph, inferred=False), triples(graph, inferred=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        closed = Triples().parse(ONTOLOGY_FILE) + said
        owlrl.DeductiveClosure(OWLRL_Semantics, axiomatic_triples=False, datatype_axioms=False).expand(closed)
    ours = {triple for triple in followed if triple[1] != URIRef(f"{RK}id")} | set(said)
    things = {subject for subject, _, _ in said if isinstance(subject, URIRef)} | {
        value for _, _, value in said if isinstance(value, URIRef) and value.startswith(URN)
    }
    theirs = {
        (subject, predicate, value)
        for subject, predicate, value in closed
        if subject in things
        and predicate not in {OWL.sameAs}
        and not (predicate == RDF.type and str(value).startswith((OWL_TERMS, str(RDF))))
    }
    assert ours == theirs


def test_every_fold_has_the_published_shapes(graph: Graph) -> None:
    both = triples(graph, inferred=False) + triples(graph, inferred=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conforms, _, report = pyshacl.validate(both, shacl_graph=Triples().parse(SHAPES_FILE))
    assert conforms, report


def test_a_shape_finds_what_is_missing(graph: Graph) -> None:
    both = triples(graph, inferred=False) + triples(graph, inferred=True)
    both.remove((None, URIRef(f"{RK}atStep"), None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conforms, _, report = pyshacl.validate(both, shacl_graph=Triples().parse(SHAPES_FILE))
    assert not conforms
    assert "atStep" in report


def test_every_term_that_the_graph_uses_is_in_the_ontology(graph: Graph) -> None:
    declared = set(re.findall(r"^rk:(\w+) a owl:", ONTOLOGY_FILE.read_text(), re.MULTILINE))
    used = {
        node.removeprefix(RK)
        for triple in triples(graph, inferred=False) + triples(graph, inferred=True)
        for node in map(str, triple)
        if node.startswith(RK)
    }
    assert used <= declared
