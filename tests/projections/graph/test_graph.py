"""The graph: made anew when it is damaged or outdated, level with the log otherwise, and small where events repeat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pyoxigraph import DefaultGraph, Quad, Store
from rookery.eventstore.vault import Vault, seal
from rookery.projections.graph import Graph, GraphLocked, GraphUnusable, graph
from rookery.projections.graph.lessons import blocks, normalised, resemblance
from rookery.projections.graph.mapping import facts, sighting
from rookery.projections.graph.names import BOOKKEEPING, INFERRED, kind_and_id, rk, thing
from rookery.projections.graph.patterns import said
from rookery.schemas import (
    AgentHeartbeatSent,
    InsightRecorded,
    LlmCallCompleted,
    MessageRecorded,
    RunFailed,
    RunStarted,
    ToolCallCompleted,
)

from ..colony import Colony, fact

CALL = ToolCallCompleted(tool="grep", run_id="run-1", agent_id="coder", output="x" * 1_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "graph"


@pytest.fixture
def runs(colony: Colony) -> Colony:
    return colony.append(fact(RunStarted(agent_id="a", parent_run_id=f"run-{i}"), f"run-{i + 1}") for i in range(40))


def folded(folder: Path, colony: Colony) -> set[Quad]:
    with Graph.open(folder, colony.log) as one:
        one.catch_up()
        assert one.vector() == colony.log.vector()
        return {quad for quad in said(one.store) if quad.graph_name != BOOKKEEPING}


def test_a_graph_that_is_opened_again_goes_on_where_it_was(runs: Colony, folder: Path) -> None:
    folded(folder, runs)
    with Graph.open(folder, runs.log) as one:
        assert one.catch_up().events == 0
        runs.append([fact(RunStarted(), "late")])
        assert one.catch_up().events == 1


def test_a_graph_of_another_making_is_made_anew(runs: Colony, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = folded(folder, runs)
    monkeypatch.setattr(graph, "fingerprint", lambda: "another ontology")
    with Graph.open(folder, runs.log) as one:
        assert one.vector() == {}
    assert folded(folder, runs) == before


def test_a_damaged_graph_is_made_anew_at_the_start(runs: Colony, folder: Path) -> None:
    before = folded(folder, runs)
    (current,) = folder.glob("store-*/CURRENT")
    current.write_text("nonsense")
    assert folded(folder, runs) == before
    assert len(list(folder.iterdir())) == 1


def test_a_graph_that_turns_out_damaged_is_made_anew_while_it_runs(
    runs: Colony, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = folded(folder, runs)
    with Graph.open(folder, runs.log) as one, monkeypatch.context() as patched:
        runs.append([fact(AgentHeartbeatSent(), "coder")])
        patched.setattr(graph, "infer", _corrupt_once(patched))
        assert one.catch_up().events == 41
        assert {quad for quad in said(one.store) if quad.graph_name != BOOKKEEPING} == before


def _corrupt_once(patched: pytest.MonkeyPatch) -> object:
    whole = graph.infer

    def infer(*_: object) -> None:
        patched.setattr(graph, "infer", whole)
        raise RuntimeError("Corruption: block checksum mismatch")

    return infer


def test_after_trouble_that_is_no_damage_the_graph_is_opened_again_as_it_was(
    runs: Colony, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Path] = []

    def open_store(path: Path) -> Store:
        opened.append(path)
        return Store(path)

    def infer(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(graph, "Store", open_store)
    with Graph.open(folder, runs.log) as one:
        with monkeypatch.context() as patched:
            patched.setattr(graph, "infer", infer)
            with pytest.raises(GraphUnusable, match="No space left"):
                one.catch_up()
        assert one.vector() == {}
        assert one.catch_up().events == 40
    assert len(opened) == 2  # RocksDB would refuse every later write otherwise
    assert opened[0] == opened[1]


def test_what_rocksdb_keeps_in_memory_is_bounded_however_much_is_folded(
    runs: Colony, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbounded, bounded = folder.with_name("unbounded"), folder.with_name("bounded")
    before = folded(unbounded, runs)
    monkeypatch.setattr(graph, "BATCH_EVENTS_MAX", 5)
    monkeypatch.setattr(graph, "UNFLUSHED_QUADS_MAX", 50)
    seen: list[int] = []
    with Graph.open(bounded, runs.log) as one:
        one.catch_up(lambda *_: seen.append(_unflushed_bytes(bounded)))
    assert len(seen) == 8
    assert max(seen) < _unflushed_bytes(unbounded) / 3
    assert folded(bounded, runs) == before


def _unflushed_bytes(folder: Path) -> int:
    """The size of RocksDB's newest write-ahead log: what it has in memory, and would read again at a start."""
    return max(folder.glob("store-*/*.log"), key=lambda path: int(path.stem)).stat().st_size


def test_a_graph_is_open_in_one_process_at_a_time(colony: Colony, folder: Path) -> None:
    with Graph.open(folder, colony.log) as one:
        with pytest.raises(GraphLocked):
            Graph.open(folder, colony.log)
        (path,) = folder.iterdir()
        script = f"import pyoxigraph; pyoxigraph.Store({str(path)!r})"
        other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "lock" in other.stderr.lower()
        assert one.vector() == {}
    with pytest.raises(GraphUnusable, match="closed"):
        _ = one.store


def test_stopping_ends_a_fold_after_its_batch(runs: Colony, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "BATCH_EVENTS_MAX", 10)
    with Graph.open(folder, runs.log) as one:
        assert one.catch_up(lambda done, total: one.stop()).events == 10
        assert one.vector() == {"here": 10}


def test_what_is_above_a_run_is_known_up_to_a_bound(runs: Colony, folder: Path) -> None:
    above = {
        quad.object.value
        for quad in folded(folder, runs)
        if quad.graph_name == INFERRED and quad.subject == thing("run", "run-40") and quad.predicate == rk("partOfRun")
    }
    assert above == {thing("run", f"run-{number}").value for number in range(8, 40)}


def test_calls_that_repeat_what_a_run_used_add_nothing(colony: Colony, folder: Path) -> None:
    colony.append([fact(CALL, "call-1")])
    once = folded(folder, colony)
    colony.append(fact(CALL, f"call-{number}") for number in range(2, 50))
    assert folded(folder, colony) == once


def test_the_same_use_is_taken_once_from_each_origin(colony: Colony, folder: Path) -> None:
    for origin in ("east", "west"):
        colony.append((fact(CALL, f"{origin}-{number}") for number in range(3)), origin)
    used = {quad.graph_name.value for quad in folded(folder, colony) if quad.predicate == rk("usedTool")}
    assert used == {"urn:rookery:event:east:1", "urn:rookery:event:west:1"}


@pytest.mark.parametrize(
    "data",
    [
        CALL,
        ToolCallCompleted(tool="grep"),
        LlmCallCompleted(provider="p", request_model="m", run_id="run-1"),
        MessageRecorded(run_id="run-1", step=0, role="user", content="hello", agent_id="coder"),
        MessageRecorded(run_id="run-1", step=0, role="user"),
        AgentHeartbeatSent(),
    ],
    ids=lambda data: type(data).__name__,
)
def test_a_glance_at_a_line_tells_what_the_event_says(
    colony: Colony, data: ToolCallCompleted | LlmCallCompleted | MessageRecorded | AgentHeartbeatSent
) -> None:
    colony.append([fact(data, "x")])
    (record,) = colony.log.read("here")
    said = {(quad.subject, quad.predicate, quad.object) for quad in facts(record)}
    edges = sighting(record.line)
    assert set(edges or ()) == {triple for triple in said if triple[0] == thing("run", "run-1")}


def test_queries_see_each_triple_once_however_many_say_it(colony: Colony, folder: Path) -> None:
    for origin in ("east", "west"):
        colony.append([fact(CALL, f"{origin}-1")], origin)
    quads = folded(folder, colony)
    with Graph.open(folder, colony.log) as one:
        seen = [quad.triple for quad in one.store.quads_for_pattern(None, None, None, DefaultGraph())]
    assert len(quads) > len(seen) == len(set(seen))
    assert set(seen) == {quad.triple for quad in quads}


def test_what_is_no_event_says_nothing(colony: Colony, folder: Path) -> None:
    colony.append(
        [
            b'{"specversion":"1.0","id":"1","source":"/a","type":"run.started","subject":"r","time":"2026-11-20T12:00:00Z"'
            b',"data":{"agent_id":7}}',
            b"{}",
        ]
    )
    assert not [quad for quad in folded(folder, colony) if quad.graph_name.value.startswith("urn:rookery:event")]


def test_any_id_can_be_told_from_its_iri() -> None:
    for name in ("coder-7", "a b", "a/b:c", "ümlaut", "100 %", "%41", "x" * 256, '"<>\\{}|^`'):
        assert kind_and_id(thing("agent", name).value) == ("agent", name)
    assert kind_and_id(thing("model", "openai", "gpt:4o/x").value) == ("model", "openai/gpt:4o/x")


def test_near_equal_insights_say_lessons_that_resemble_each_other(colony: Colony, folder: Path) -> None:
    texts = [
        "The plan was made before the page had been read, and so it missed the second table.",
        "the plan was made before the page had been read and so it missed  the second table",
        "The plan was made before the page had been read, so it missed the second table!",
        "Nobody checked the units of the answer.",
    ]
    colony.append(fact(InsightRecorded(kind="k", text=text), f"in-{number}") for number, text in enumerate(texts))
    quads = folded(folder, colony)
    says = {quad.subject: quad.object for quad in quads if quad.predicate == rk("says")}
    first, second, third, fourth = (says[thing("insight", f"in-{number}")] for number in range(4))
    assert first == second
    assert {(quad.subject, quad.object) for quad in quads if quad.predicate == rk("resembles")} == {
        (first, third),
        (third, first),
    }
    assert fourth not in (first, third)


def test_texts_without_words_say_nothing() -> None:
    assert normalised(" …!? ") == ""
    assert blocks("") == ()
    assert resemblance("", "") == 0


@pytest.mark.parametrize("length", [10, 3_000])
def test_a_sealed_text_is_there_whole_or_not_at_all_and_makes_no_lesson(
    colony: Colony, folder: Path, tmp_path: Path, length: int
) -> None:
    key = Vault.open(tmp_path / "vault").keys_for(["user-17"])["user-17"]
    text = seal(key, "e", "text", "x" * length)
    colony.append([fact(InsightRecorded(kind="lesson", text=text), "i-1"), fact(RunFailed(error=text), "run-1")])
    quads = folded(folder, colony)
    assert {quad.predicate for quad in quads}.isdisjoint({rk("says"), rk("words"), rk("failedWith")})
    assert [quad.object.value for quad in quads if "sealed:" in str(quad.object)] == [text] * (length < 100)
