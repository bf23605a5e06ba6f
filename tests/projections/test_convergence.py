"""The same events give the same tables: in any interleaving of origins, any batching, after any crash and a rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rookery.projections import Catalogue, CheckpointConflict, FoldFailed, LoadFailed, loader
from rookery.projections.digests import digests
from rookery.projections.engine import Engine
from rookery.projections.loader import Batch
from rookery.schemas import (
    AgentDeclared,
    AgentHeartbeatSent,
    AgentRegistered,
    AgentStateChanged,
    AgentUnregistered,
    AgentUpdated,
    AlertRaised,
    AssignmentCancelled,
    AssignmentCompleted,
    AssignmentCreated,
    AssignmentFailed,
    AssignmentReleased,
    AssignmentStarted,
    AssignmentTimedOut,
    BusDamaged,
    BusRegressed,
    CommitRecorded,
    DatasubjectForgotten,
    Event,
    EventData,
    FeedbackGiven,
    FeedbackGivenV1,
    InsightRecorded,
    LlmCallCompleted,
    LlmCallFailed,
    LogHealed,
    MemoryRecorded,
    MessageRecorded,
    NodeStarted,
    NodeStopped,
    OriginForked,
    ReactionCompleted,
    ReactionDiscarded,
    ReactionFailed,
    ReactionInstalled,
    ReactionParked,
    ReactionRedriven,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailureAttributed,
    RunProgressed,
    RunStarted,
    ToolCallCompleted,
    all_types,
)

from .colony import Colony, fact

entities = st.sampled_from(["x", "y", "z"])
maybe = st.none() | entities
scores = st.none() | st.sampled_from([0.0, 0.1, 1 / 3, 0.7, 1.0])
durations = st.none() | st.sampled_from([0.1, 0.2, 1.7, 3600.0])
tokens = st.none() | st.integers(0, 5_000)
dollars = st.none() | st.sampled_from(["0.1", "0.2", "0.0000001", "12.5"])
spend = {"run_id": maybe, "agent_id": maybe, "input_tokens": tokens, "output_tokens": tokens, "cost_usd": dollars}
models = {"provider": st.sampled_from(["p", "q"]), "request_model": st.sampled_from(["m", "n"])}
errors = {"error": maybe}
ends = {
    "agent_id": maybe,
    "skill": maybe,
    "reward": scores,
    "duration_seconds": durations,
    "assignment_id": maybe,
    "task_id": maybe,
}
answered = {"reaction": entities, "cause": st.just("east:1"), "entity": st.just("run/x")}
states = st.sampled_from(["alive", "suspect", "expired", "unregistered"])

chains = st.sampled_from(["0" * 16, "f" * 16])

FACTS: dict[type[EventData], dict[str, st.SearchStrategy[Any]]] = {
    AgentRegistered: {"name": entities, "role": maybe, "capabilities": st.lists(entities, max_size=2)},
    AgentUpdated: {"name": entities, "role": maybe, "capabilities": st.lists(entities, max_size=2)},
    AgentDeclared: {"name": entities, "role": maybe, "catalogue": maybe},
    AgentHeartbeatSent: {"active_assignments": tokens},
    AgentStateChanged: {"state": states},
    AgentUnregistered: {},
    AlertRaised: {"kind": entities, "severity": st.just("warning"), "text": entities, "agent_id": maybe},
    AssignmentCreated: {"kind": entities, "agent_id": maybe, "skill": maybe},
    AssignmentStarted: {"agent_id": entities, "run_id": maybe, "attempt": st.none() | st.integers(1, 3)},
    AssignmentReleased: {"agent_id": entities, "attempt": st.none() | st.integers(1, 3), "reason": maybe},
    AssignmentCompleted: {"agent_id": entities, "skill": maybe, "score": scores, "duration_seconds": durations},
    AssignmentFailed: {"agent_id": entities, "skill": maybe, "error": entities, "duration_seconds": durations},
    AssignmentTimedOut: {"agent_id": maybe, "skill": maybe},
    AssignmentCancelled: {"reason": maybe, "agent_id": maybe},
    BusDamaged: {"stream": entities, "lost_messages": tokens},
    BusRegressed: {"position": tokens, "agreed": tokens, "missing_events": tokens, "reason": entities},
    CommitRecorded: {
        "repository": entities,
        "message": entities,
        "author": maybe,
        "parents": st.lists(entities, max_size=2),
        "files": tokens,
        "insertions": tokens,
        "deletions": tokens,
    },
    DatasubjectForgotten: {
        "sealed_events": tokens,
        "events_by_origin": st.dictionaries(entities, tokens, max_size=2),
        "up_to": st.dictionaries(entities, tokens, max_size=2),
    },
    FeedbackGiven: {
        "kind": st.just("score"),
        "agent_id": maybe,
        "skill": maybe,
        "run_id": maybe,
        "score": scores,
        "assignment_id": maybe,
    },
    FeedbackGivenV1: {"run_id": entities, "stars": st.integers(1, 5)},
    InsightRecorded: {"kind": entities, "text": entities, "tags": st.lists(entities, max_size=2)},
    LlmCallCompleted: dict(**models, **spend, reasoning_output_tokens=tokens, cache_read_input_tokens=tokens),
    LlmCallFailed: dict(**models, **spend, error=entities),
    LogHealed: {"segment": entities, "first": tokens, "last": tokens, "giver": entities, "reason": entities},
    MemoryRecorded: {"text": entities, "key": maybe, "run_id": maybe, "agent_id": maybe},
    MessageRecorded: {"run_id": entities, "step": st.integers(0, 9), "role": st.just("user"), "content": maybe},
    NodeStarted: {"version": entities, "host": maybe},
    NodeStopped: {"reason": maybe},
    OriginForked: {
        "first_line": st.integers(1, 9),
        "own_chain": st.just("0" * 16),
        "peer_chain": st.just("f" * 16),
        "peer": entities,
    },
    ReactionCompleted: answered,
    ReactionDiscarded: {**answered, "reason": entities},
    ReactionFailed: {**answered, "attempts": st.integers(1, 5), "error": entities},
    ReactionInstalled: {"after": st.integers(0, 9)},
    ReactionParked: {**answered, "attempts": st.integers(1, 5), "error": entities},
    ReactionRedriven: {**answered, "reason": maybe},
    RunStarted: {"agent_id": maybe, "skill": maybe, "task": maybe},
    RunCompleted: {**ends, "success": st.none() | st.booleans()},
    RunFailed: {**ends, "error": entities},
    RunCancelled: {"reason": maybe},
    RunFailureAttributed: {"agent_id": entities, "step": st.integers(0, 9), "reason": entities},
    RunProgressed: {"text": entities, "progress": scores, "agent_id": maybe},
    ToolCallCompleted: {
        "tool": entities,
        "run_id": maybe,
        "agent_id": maybe,
        "duration_seconds": durations,
        "outcome": st.sampled_from([None, "ok", "denied"]),
        "error": maybe,
    },
}
moments = st.sampled_from([0.0, 1.0, 3_599.0, 3_600.0, 86_400.0, 864_000.0])
facts = st.one_of([st.builds(struct, **fields) for struct, fields in FACTS.items()])
events = st.builds(fact, facts, entities, moments, source=st.sampled_from(["/agents/x", "/nodes/n"]))
histories = st.fixed_dictionaries({"east": st.lists(events, max_size=25), "west": st.lists(events, max_size=25)})

relaxed = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
CATALOGUE = Catalogue.of_folder()


class Tables:
    """Read models in memory, folded batch by batch as a test says."""

    def __init__(self, colony: Colony) -> None:
        self.colony = colony
        self.con = duckdb.connect(config={"threads": 1})
        self.engine = Engine((self.con, self.con.cursor()), CATALOGUE, colony.log, colony.folder)
        self.engine.open()

    def fold(self, *batches: tuple[str, int, int]) -> None:
        for _ in self.engine.fold(Batch(*batch) for batch in batches):
            pass

    def digests(self) -> dict[str, str]:
        return digests(self.con, sorted(CATALOGUE.by_name))

    def rows_and_keys(self, name: str) -> tuple[int, int]:
        """How many rows a read model has, and how many keys they have; all rows of one without a key have the same."""
        key = ", ".join(CATALOGUE.by_name[name].key) or "1"
        asked = f"select (select count(*) from {name}), (select count(*) from (select distinct {key} from {name}))"
        ((rows, keys),) = self.con.execute(asked).fetchall()
        return rows, keys


class Unplugged(duckdb.Error):
    """What a connection says whose statement never got through."""


class Fuse:
    """Blows once, at the n-th statement from when `fails_at` was set to n."""

    fails_at = 0

    def blows(self) -> bool:
        self.fails_at -= 1
        return self.fails_at == 0


class Flaky:
    """A connection that breaks when its fuse blows."""

    def __init__(self, con: duckdb.DuckDBPyConnection, fuse: Fuse) -> None:
        self._con = con
        self._fuse = fuse

    def execute(
        self, statement: str | duckdb.Statement, parameters: list[Any] | None = None
    ) -> duckdb.DuckDBPyConnection:
        if self._fuse.blows():
            raise Unplugged
        return self._con.execute(statement, parameters)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """A fresh folder for every example."""
    return (tmp_path / str(number) for number in count())


def with_history(folder: Path, history: dict[str, list[Event]]) -> Colony:
    colony = Colony(folder)
    for origin, happened in history.items():
        colony.append(happened, origin)
    return colony


def schedule(draw: st.DrawFn, vector: dict[str, int]) -> list[tuple[str, int, int]]:
    """Batches of any size that interleave the origins in any way, each origin in its own order."""
    waiting: dict[str, list[tuple[str, int, int]]] = {}
    for origin, last in vector.items():
        cuts = sorted(draw(st.sets(st.integers(1, last), max_size=4)) | {last}) if last else []
        waiting[origin] = [(origin, first + 1, end) for first, end in zip([0, *cuts], cuts, strict=False)]
    order = []
    while ready := [origin for origin, batches in waiting.items() if batches]:
        order.append(waiting[draw(st.sampled_from(ready))].pop(0))
    return order


def folded_at_once(colony: Colony) -> dict[str, str]:
    tables = Tables(colony)
    tables.engine.catch_up()
    return tables.digests()


def test_the_histories_hold_every_type_of_event() -> None:
    assert FACTS.keys() == {known.struct for known in all_types()}


@relaxed
@given(history=histories, data=st.data())
def test_any_interleaving_and_any_batching_give_the_same_tables(
    folders: Iterator[Path], history: dict[str, list[Event]], data: st.DataObject
) -> None:
    with with_history(next(folders), history) as colony:
        tables = Tables(colony)
        tables.fold(*schedule(data.draw, colony.log.vector()))
        assert tables.digests() == folded_at_once(colony)
        assert tables.engine.vector() == {origin: last for origin, last in colony.log.vector().items() if last}


@relaxed
@given(history=histories)
def test_no_two_rows_have_the_same_key(folders: Iterator[Path], history: dict[str, list[Event]]) -> None:
    with with_history(next(folders), history) as colony:
        tables = Tables(colony)
        tables.engine.catch_up()
        for name in CATALOGUE.by_name:
            rows, keys = tables.rows_and_keys(name)
            assert rows == keys, name


@relaxed
@given(history=histories)
def test_sealed_segments_give_the_same_tables_as_the_open_one(
    folders: Iterator[Path], monkeypatch: pytest.MonkeyPatch, history: dict[str, list[Event]]
) -> None:
    with with_history(next(folders), history) as colony, Colony(next(folders), segment_events_max=4) as sealed:
        for origin, happened in history.items():
            sealed.append(happened, origin)
        sealed.log.seal_full_segments()
        with monkeypatch.context() as patched:
            patched.setattr(loader, "EVENTS_WORTH_A_SEGMENT", 1)
            assert folded_at_once(sealed) == folded_at_once(colony)


@relaxed
@given(history=histories, failing=st.integers(1, 40))
def test_a_fold_that_fails_at_any_statement_leaves_no_trace(
    folders: Iterator[Path], history: dict[str, list[Event]], failing: int
) -> None:
    with with_history(next(folders), history) as colony:
        tables = Tables(colony)
        half = {origin: last // 2 for origin, last in colony.log.vector().items()}
        tables.engine.catch_up(half)
        half = tables.engine.vector()
        before = tables.digests()
        fuse = Fuse()
        flaky = Flaky(tables.con, fuse), Flaky(tables.con.cursor(), fuse)
        engine = Engine(flaky, CATALOGUE, colony.log, colony.folder)  # type: ignore[arg-type]
        engine.open()
        fuse.fails_at = failing
        with suppress(FoldFailed, LoadFailed, Unplugged):
            engine.catch_up()
        if engine.vector() == half:
            assert tables.digests() == before
        tables.engine.open()
        tables.engine.catch_up()
        assert tables.digests() == folded_at_once(colony)


def test_a_batch_is_folded_once_and_only_where_the_tables_end(colony: Colony) -> None:
    colony.append([fact(RunStarted(), f"run-{index}") for index in range(4)])
    tables = Tables(colony)
    tables.fold(("here", 1, 2))
    before = tables.digests()
    for first in (1, 2, 4):
        with pytest.raises(CheckpointConflict) as refused:
            tables.fold(("here", first, 4))
        assert (refused.value.first, refused.value.checkpoint) == (first, 2)
    assert tables.digests() == before
    tables.fold(("here", 3, 4))
    assert tables.digests() == folded_at_once(colony)
